"""Printed requests hold whatever address they are given as text, and nothing else."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from model_loop.serving.http.client_code import client_code
from trip_duration.dataset import TRIPS

URL = """http://127.0.0.1:9/it's/"quoted"/$(echo run)/`echo run`"""


def test_curl() -> None:
    """The shell reads the address as one word."""
    words = shlex.split(client_code("curl", URL, TRIPS))
    assert f"{URL}/predict" in words
    json.loads(words[words.index("--data") + 1])


def test_python() -> None:
    """The address is one text."""
    tree = ast.parse(client_code("python", URL, TRIPS))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert f"{URL}/predict" in texts


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:8090", "http://127.0.0.1:8090/"])
def test_javascript(url: str) -> None:
    """JSON's texts are JavaScript's."""
    code = client_code("javascript", url, TRIPS)
    text, _ = json.JSONDecoder().raw_decode(code.removeprefix("fetch("))
    assert text == f"{url.rstrip('/')}/predict"

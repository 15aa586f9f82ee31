"""Printed requests hold whatever address they are given as text, and nothing else."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from model_loop.client.code import request_code
from model_loop.serving.http.openapi import example_row
from trip_duration.dataset import TRIPS

ROW = example_row(TRIPS)

URL = """http://127.0.0.1:9/it's/"quoted"/$(echo run)/`echo run`"""


def test_curl() -> None:
    """The shell reads the address as one word."""
    words = shlex.split(request_code("curl", URL, ROW))
    assert f"{URL}/predict" in words
    json.loads(words[words.index("--data") + 1])


def test_python() -> None:
    """The address is one text."""
    tree = ast.parse(request_code("python", URL, ROW))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert f"{URL}/predict" in texts


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:8090", "http://127.0.0.1:8090/"])
def test_javascript(url: str) -> None:
    """JSON's texts are JavaScript's."""
    code = request_code("javascript", url, ROW)
    text, _ = json.JSONDecoder().raw_decode(code.removeprefix("fetch("))
    assert text == f"{url.rstrip('/')}/predict"

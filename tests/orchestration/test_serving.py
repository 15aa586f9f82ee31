"""The application inside the api-server: built beside the requests, and once."""

from __future__ import annotations

import threading
import time

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from model_loop.orchestration.web.mounting import LazyApp, WarmOnStart

ANSWER = PlainTextResponse("built")


def server(lazy: LazyApp) -> Starlette:
    """A server that mounts the application, as Airflow does."""
    return Starlette(
        routes=[Mount("/model-loop", lazy)], middleware=[Middleware(WarmOnStart, lazy=lazy)]
    )


def test_it_is_built_once_when_the_server_has_started() -> None:
    """Before anybody asks; who asks meanwhile waits for the same."""
    begun, go_on, built = threading.Event(), threading.Event(), []

    def build() -> ASGIApp:
        begun.set()
        assert go_on.wait(10)
        built.append(threading.current_thread().name)
        return ANSWER

    app = server(LazyApp(build))
    assert not begun.wait(0.05), "nothing is built where no server starts"
    with TestClient(app) as client:
        assert begun.wait(10), "the start of the server builds it"
        threading.Timer(0.1, go_on.set).start()
        assert client.get("/model-loop/").text == "built"
    assert built == ["model-loop-warm"]


def test_what_could_not_be_built_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """The server starts all the same, and the first request tries again."""
    tried: list[float] = []

    def build() -> ASGIApp:
        tried.append(time.monotonic())
        if len(tried) == 1:
            message = "no settings"
            raise OSError(message)
        return ANSWER

    with TestClient(server(LazyApp(build))) as client:
        deadline = time.monotonic() + 10
        while "no settings" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert client.get("/model-loop/").text == "built"
    assert len(tried) == 2

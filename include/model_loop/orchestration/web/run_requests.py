"""Runs that are asked for over REST: what is wrong with the request is said before a run exists.

Airflow takes fields that a form does not have, quotes the whole schema of a field whose value it
refuses, and lets the run of a paused DAG wait for ever. Requests for other DAGs pass untouched.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from model_loop.orchestration.lazy import lazy_function

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PATH = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/?\Z")
#: A longer body passes unread; Airflow's own checks apply to it.
_MOST_BYTES = 16_000_000

_refusal_of = lazy_function("model_loop.orchestration.web.refusals", "refusal_of")


class CheckedTriggers:
    """Middleware that refuses a run whose form is wrong, or whose DAG is paused.

    Parameters
    ----------
    app
        Airflow's application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        asked = _PATH.search(scope.get("path", "")) if scope.get("method") == "POST" else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        body, again = await _read(receive)
        refused = await _refusal_of(scope, unquote(asked[1]), body)
        await (refused or self._app)(scope, again, send)


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """Read a body; return it, and what gives the application the same messages again."""
    messages: list[Message] = []
    size = 0
    while size <= _MOST_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    body = b"".join(message.get("body", b"") for message in messages)

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return body if size <= _MOST_BYTES else b"", again

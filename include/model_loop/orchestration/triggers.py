"""Runs that are asked for over REST: what is wrong with the request is said before a run exists.

Airflow takes fields that a form does not have, quotes the whole schema of a field whose value it
refuses, and lets the run of a paused DAG wait for ever. What is asked of other DAGs passes
untouched.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from model_loop.orchestration.conventions import Tag

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

_PATH = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/?\Z")
#: A longer body passes unread; Airflow's own checks apply to it.
_MOST_BYTES = 16_000_000
_BAD_REQUEST, _CONFLICT = 400, 409


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
        refused = await _refusal(scope, unquote(asked[1]), body)
        if refused is None:
            await self._app(scope, again, send)
            return
        from starlette.responses import JSONResponse

        status, detail = refused
        await JSONResponse({"detail": detail}, status)(scope, again, send)


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


async def _refusal(scope: Scope, dag_id: str, body: bytes) -> tuple[int, str] | None:
    """Return why a run is refused, with the status; None where Airflow is to answer."""
    from starlette.concurrency import run_in_threadpool

    from model_loop.orchestration.serving import authenticate
    from model_loop.serving.http.requests import RequestRefusedError

    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict):
        return None
    try:
        # What a form has is told to nobody who may not trigger it.
        await authenticate(scope, dag_id, "POST")
    except RequestRefusedError:
        return None
    # Airflow's UI shows that a DAG is paused, and unpauses it beside the request.
    by_program = not any(name == b"referer" for name, _ in scope["headers"])
    return await run_in_threadpool(_find_fault, scope["app"], dag_id, asked, by_program)


def _find_fault(
    app: Any,  # noqa: ANN401 - Airflow's application
    dag_id: str,
    asked: dict[str, Any],
    by_program: bool,  # noqa: FBT001 - `run_in_threadpool` passes it on
) -> tuple[int, str] | None:
    from airflow.api_fastapi.common.dagbag import get_latest_version_of_dag
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from fastapi import HTTPException

    from model_loop.orchestration.form_checks import find_mistakes

    # Airflow's other sessions of this thread are not ours.
    with create_session(scoped=False) as session:
        found = session.get(DagModel, dag_id)
        if found is None or found.is_stale:
            return None
        try:
            dag = get_latest_version_of_dag(app.state.dag_bag, dag_id, session)
        except HTTPException:
            return None
        paused = bool(found.is_paused)
    if Tag.MODEL_LOOP not in dag.tags:
        return None
    conf = asked.get("conf")
    mistakes = find_mistakes(conf, dag.params) if isinstance(conf, dict) else []
    if mistakes:
        return _BAD_REQUEST, " ".join(map(str, mistakes))
    if paused and by_program:
        detail = (
            f"The DAG {dag_id} is paused, and a run of it would wait without an end. Unpause it in "
            f'the Airflow UI, or with PATCH /api/v2/dags/{dag_id} and {{"is_paused": false}}.'
        )
        return _CONFLICT, detail
    return None

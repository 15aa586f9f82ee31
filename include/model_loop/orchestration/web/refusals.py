"""Reasons for refusing a run that is requested over REST."""

from __future__ import annotations

import json
from typing import Any

from airflow.api_fastapi.common.dagbag import get_latest_version_of_dag
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.types import Scope

from model_loop.orchestration.conventions import Tag
from model_loop.orchestration.forms.checks import find_mistakes
from model_loop.orchestration.web.login import authenticate
from model_loop.serving.http.requests import RequestRefusedError

_BAD_REQUEST, _CONFLICT = 400, 409


async def refusal_of(scope: Scope, dag_id: str, body: bytes) -> JSONResponse | None:
    """Return the refusal of a run, which says why; None where Airflow is to answer."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict):
        return None
    try:
        # The fields of a form are shown to users who may trigger it, and to no others.
        await authenticate(scope, dag_id, "POST")
    except RequestRefusedError:
        return None
    # Airflow's UI shows that a DAG is paused, and unpauses it beside the request.
    by_program = not any(name == b"referer" for name, _ in scope["headers"])
    fault = await run_in_threadpool(_find_fault, scope["app"], dag_id, asked, by_program)
    return None if fault is None else JSONResponse({"detail": fault[1]}, fault[0])


def _find_fault(
    app: Any,  # noqa: ANN401 - Airflow's application
    dag_id: str,
    asked: dict[str, Any],
    by_program: bool,  # noqa: FBT001 - `run_in_threadpool` passes it on
) -> tuple[int, str] | None:
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

"""Airflow user of a request, and the user's permissions."""

from __future__ import annotations

from typing import Literal

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api import security
from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Scope

from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.request_log.tables import CALLER_LENGTH

Method = Literal["GET", "POST"]
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


async def authenticate(scope: Scope, dag_id: str, method: Method | None = None) -> str:
    """The name of Airflow's user, by its token or the cookie of its UI.

    Parameters
    ----------
    dag_id
        DAG whose runs the user has to have access to.
    method
        Method of access; that of the request, if left out.

    Raises
    ------
    RequestRefusedError
        If nobody is logged in (401), or the role does not allow it (403).
    """
    request = Request(scope)
    method = method or ("GET" if request.method in _READING else "POST")
    needed = f"{'trigger' if method == 'POST' else 'see'} the DAG {dag_id}"
    refused = "is refused by Airflow"
    try:
        credentials = await security.bearer_scheme(request)
        user = await security.get_user(request, None, credentials)
    except HTTPException as error:
        # To Airflow, a token that it has not made is forbidden: nobody has logged in with it.
        raise RequestRefusedError(
            401,
            "The request",
            f"{refused} ({error.detail})",
            "Log in, or send a token from /auth/token as `Bearer` in the header `Authorization`, "
            f"of a user who may {needed}.",
        ) from error
    try:
        allowed = security.requires_access_dag(method, DagAccessEntity.RUN, dag_id)
        await run_in_threadpool(allowed, request, user)
    except HTTPException as error:
        # A token of their own does not help a user who is logged in and lacks the right.
        remedy = f"Your role may not {needed}: ask an administrator for one that may."
        raise RequestRefusedError(
            403, "The request", f"{refused} ({error.detail})", remedy
        ) from error
    return str(user.get_name())[:CALLER_LENGTH]

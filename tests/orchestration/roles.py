"""Ask every route, DAG and form as every role: ``python -m tests.orchestration.roles``.

Runs in a process of its own, since a process of Airflow has one auth manager. Prints JSON: statuses
by role and request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow.api_fastapi.app import create_app
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagbundle import DagBundleModel
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from starlette.routing import Mount

from model_loop.serving.http.asgi import OPEN_PATHS

DAGS = Path(__file__).parents[2] / "dags"
#: Nobody is a caller without a login.
ROLES = ("nobody", "Viewer", "User", "Op", "Admin")
#: A caller whose token Airflow has not made.
STRANGER = "stranger"
#: Role that the declaration of bikes gives access, and nothing else does.
RIDER = "Rider"

#: Name that no store holds: a caller who may ask for it is answered 404.
_NONE = "none"
_RUN = f"/api/v2/dags/prediction/dagRuns/{_NONE}"
_TASK = f"{_RUN}/taskInstances/{_NONE}"

Request = tuple[str, str, object]


def main() -> None:
    """Print what each role is answered."""
    initdb()
    with get_application_builder() as builder:
        builder.sm.sync_roles()
        # A role of a declaration has to be there before DAGs name it.
        builder.sm.add_role(RIDER)
        for role in (*ROLES[1:], RIDER):
            found = builder.sm.find_role(role)
            builder.sm.add_user(role, role, role, f"{role}@example.com", [found], password=role)
    bag = DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="roles")
    with create_session() as session:
        session.add(DagBundleModel(name="roles"))
        session.flush()
        sync_bag_to_db(bag, "roles", None, session=session)
    app = create_app(apps="core")
    asked = {**of_airflow(sorted(bag.dags)), **of_this_package()}
    answers: dict[str, dict[str, dict[str, int]]] = {}
    asked[f"as {RIDER}"] = of_one_dataset()
    for role in (*ROLES, STRANGER, RIDER):
        client = TestClient(app, base_url="http://localhost")
        if role == STRANGER:
            client.headers["Authorization"] = "Bearer nonsense"
        elif role != "nobody":
            login = {"username": role, "password": role}
            token = client.post("/auth/token", json=login).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
        for action, requests in asked.items():
            answers.setdefault(action, {})[role] = {
                f"{method} {path}": client.request(method, path, json=body).status_code
                for method, path, body in requests
            }
    print(json.dumps(answers))  # noqa: T201 - the answer


def of_airflow(dags: Sequence[str]) -> dict[str, list[Request]]:
    """List requests of Airflow's own interface by action, with every DAG where there is one."""

    def each(method: str, path: str, body: object = None) -> list[Request]:
        return [(method, f"/api/v2/dags/{dag}{path}", body) for dag in dags]

    run = {"dag_run_id": _NONE, "logical_date": None, "conf": {"no such field": 1}}
    return {
        "see DAGs, runs, logs and results": [
            *each("GET", ""),
            *each("GET", "/dagRuns"),
            ("GET", f"{_TASK}/logs/1", None),
            ("GET", f"{_TASK}/xcomEntries/{_NONE}", None),
        ],
        "start runs of every DAG": each("POST", "/dagRuns", run),
        "pause a DAG": each("PATCH", "", {"is_paused": False}),
        "clear, mark and delete runs and tasks": [
            *each("POST", "/clearTaskInstances", {"dry_run": True}),
            *each("PATCH", f"/dagRuns/{_NONE}", {"state": "failed"}),
            *each("DELETE", f"/dagRuns/{_NONE}"),
            ("PATCH", _TASK, {"new_state": "success"}),
        ],
        "approve a promotion": [
            ("PATCH", f"{_TASK}/-1/hitlDetails", {"chosen_options": ["Approve"]})
        ],
        "announce data (an asset event)": [("POST", "/api/v2/assets/events", {"asset_id": 0})],
        "write results of tasks (XCom)": [
            ("POST", f"{_TASK}/xcomEntries", {"key": _NONE, "value": 1}),
        ],
        "read pools": [("GET", f"/api/v2/pools/{_NONE}", None)],
        "read variables and connections": [
            ("GET", f"/api/v2/{kind}/{_NONE}", None) for kind in ("variables", "connections")
        ],
        "change variables, connections, pools": [
            ("DELETE", f"/api/v2/{kind}/{_NONE}", None)
            for kind in ("variables", "connections", "pools")
        ],
        "see and change users and roles": [
            ("GET", "/auth/fab/v1/users", None),
            ("DELETE", f"/auth/fab/v1/users/{_NONE}", None),
            ("GET", "/auth/fab/v1/roles", None),
        ],
    }


def of_one_dataset() -> list[Request]:
    """List requests that are about bikes, and the same about trips."""
    run = {"dag_run_id": _NONE, "logical_date": None, "conf": {"no such field": 1}}
    found: list[Request] = []
    for prefix, path, query in (
        ("bikes__", "/bikes", "?dataset=bikes"),
        ("", "", "?variant=green"),
    ):
        found += [
            ("GET", f"/api/v2/dags/{prefix}monitoring", None),
            ("GET", f"/api/v2/dags/{prefix}monitoring/dagRuns", None),
            ("POST", f"/api/v2/dags/{prefix}data_preparation/dagRuns", run),
            ("PATCH", f"/api/v2/dags/{prefix}data_preparation", {"is_paused": False}),
            ("GET", f"/model-loop/dashboard/data{query}", None),
            ("POST", f"/model-loop{path}/predict", None),
        ]
    return found


def of_this_package() -> dict[str, list[Request]]:
    """List requests of the routes below `/model-loop` by action, with every one of them."""
    from model_loop.orchestration.web.application import make_airflow_app
    from model_loop.orchestration.web.mounting import URL_PREFIX

    guard = make_airflow_app()
    reading: list[Request] = []
    asking: list[Request] = []
    for path, methods in _routes(guard.app):
        if path in OPEN_PATHS:
            continue
        for method in methods - {"HEAD"}:
            filled = re.sub(r"{[^}]*}", _NONE, f"{URL_PREFIX}{path}")
            (reading if method == "GET" else asking).append((method, filled, None))
    return {
        "read pages, models, metrics, health and log": reading,
        "predict, explain and give feedback": asking,
    }


def _routes(app: Any, prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    for route in app.routes:
        if isinstance(route, Mount):
            yield from _routes(route, prefix + route.path)
        else:
            yield prefix + route.path, route.methods or {"GET"}


if __name__ == "__main__":
    main()

"""What the application takes of the api-server's memory: it imports nothing that is not light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = ("pandas", "pyarrow", "sklearn", "scipy", "skops", "xgboost", "mlflow", "matplotlib")

PROGRAM = f"""
import json, sys
from airflow.api_fastapi.main import app
from starlette.testclient import TestClient
brought = {{*sys.modules}}
from model_loop.dashboard.pages import PAGES
from model_loop.orchestration.web import dashboard
from model_loop.orchestration.web.application import make_airflow_app

async def anybody(*_):
    return "anybody"

dashboard.authenticate = anybody
client = TestClient(make_airflow_app().app)
paths = ("/health", "/health/metrics", *(f"/dashboard/{{name}}" for name in PAGES))
answers = {{path: client.get(path).status_code for path in paths}}
heavy = sorted({{*{HEAVY!r}}} & {{*sys.modules}} - brought)
with open(sys.argv[1], "w") as file:
    json.dump([answers, heavy], file)
"""


def test_the_api_server_imports_nothing_heavy(tmp_path: Path) -> None:
    """Not for its routes, nor for the health and the pages, nor for what these are made of."""
    environment = {
        **os.environ,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MODEL_LOOP_TRACKING_URI": "http://127.0.0.1:1",
        "MODEL_LOOP_SERVING_FOLDER": str(tmp_path),
        "MODEL_LOOP_STORAGE_ROOT": tmp_path.as_uri(),
    }
    found = tmp_path / "found.json"
    subprocess.run([sys.executable, "-c", PROGRAM, str(found)], env=environment, check=True)
    answers, heavy = json.loads(found.read_text())
    assert set(answers.values()) == {200}
    assert len(answers) == 7
    assert heavy == []

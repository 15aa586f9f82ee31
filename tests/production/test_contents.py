"""The image has what the code and the commands of docker-compose.yaml import."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from tests.production.compose import ROOT, filled, services
from tests.production.contents import foreign, without_the_rest

from model_loop.production.environment import fresh_environment

SERVICES = services()
OURS = sorted(name for name, one in SERVICES.items() if "build" in one)
#: Runs on a developer's machine, with an extra of its own.
LOCAL = ROOT / "include" / "model_loop" / "local"

#: Opens what each variable names as the programs do. Nothing listens, so they may fail, but later.
OPENING = """
import os, sys


def database(url):
    from sqlalchemy import create_engine
    create_engine(url)


def store(url):
    import fsspec
    fsspec.filesystem("s3")
    if name == "MLFLOW_ARTIFACTS":
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
        try:
            get_artifact_repository(url).list_artifacts()
        except Exception as error:
            if not type(error).__module__.startswith("botocore"):
                raise


def queue(url):
    from kombu import Connection
    Connection(url).transport


def backend(url):
    from celery.app.backends import by_url
    by_url(url)
    database(url.removeprefix("db+"))


openers = {"postgresql+psycopg": database, "postgresql": lambda _: __import__("psycopg"),
           "s3": store, "redis": queue, "db+postgresql+psycopg": backend}
for name, value in sorted(os.environ.items()):
    scheme = value.partition("://")[0] if "://" in value else None
    if scheme in openers:
        openers[scheme](value)
        print("opened", name)
    elif scheme and scheme not in {"http", "https", "file"} and " " not in scheme:
        sys.exit(f"{name}: nothing here opens {scheme}")
    elif name.startswith("AIRFLOW__") and value.startswith(("airflow.", "model_loop.")):
        from airflow.sdk._shared.module_loading import import_string
        import_string(value)
        print("opened", name)
"""


def imported(file: Path) -> Iterator[str]:
    """Yield the name of every module that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def test_the_image_has_what_the_code_imports() -> None:
    """Every import of the library, the DAGs and the plugins is of something that is installed."""
    found = {}
    for folder in ("include", "dags", "plugins"):
        for file in (ROOT / folder).rglob("*.py"):
            if LOCAL not in file.parents and (missing := foreign(imported(file))):
                found[str(file.relative_to(ROOT))] = missing
    assert not found


def test_the_image_opens_what_its_services_are_told(tmp_path: Path) -> None:
    """Drivers of databases, queues and stores that an address names are installed."""
    secrets = dict(dotenv_values(stream=StringIO(fresh_environment())))
    told = {
        name: filled(str(value), {it: word or "" for it, word in secrets.items()})
        for service in OURS
        for name, value in SERVICES[service].get("environment", {}).items()
    }
    environment = told | {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
        "PYTHONPATH": str(ROOT / "include"),
    }
    done = subprocess.run(
        [sys.executable, "-c", OPENING],
        env=without_the_rest(tmp_path / "image", environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    opened = {line.removeprefix("opened ") for line in done.stdout.splitlines()}
    assert {"MLFLOW_ARTIFACTS", "MLFLOW_DATABASE_URL", "AIRFLOW__CELERY__BROKER_URL"} <= opened

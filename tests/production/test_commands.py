"""What `init` makes, and that each of it is safe to repeat."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import alembic.command
import pytest
from alembic.script import ScriptDirectory
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from moto.server import ThreadedMotoServer
from sqlalchemy import create_engine, inspect
from tests.production.compose import ROOT, filled, services

from model_loop.production.buckets import make_bucket
from model_loop.production.databases import migrate_mlflow
from model_loop.production.environment import VARIABLES
from model_loop.production.scraping import PROMETHEUS, serving_token
from model_loop.serving.http.tokens import TokenFile, digest


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An object store of this machine, by the environment."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    yield
    server.stop()


@pytest.mark.usefixtures("store")
def test_a_bucket_is_made_once() -> None:
    """The second time it is there."""
    assert [make_bucket("production-once"), make_bucket("production-once")] == [True, False]


def test_prometheus_has_one_token(tmp_path: Path) -> None:
    """It is made once, known to the server, made again when its file is lost, and no one else's."""
    tokens, target = TokenFile(tmp_path / "tokens.json"), tmp_path / "serving.token"
    assert [serving_token(tokens, target), serving_token(tokens, target)] == [True, False]
    first = target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    target.unlink()
    assert serving_token(tokens, target)
    (known,) = tokens.read()
    assert (known.name, known.sha256) == (PROMETHEUS, digest(target.read_text()))
    assert target.read_text() != first


def test_an_older_mlflow_database_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow refuses the tables of an earlier one; after the migration it does not."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    url = f"sqlite:///{tmp_path / 'mlflow.db'}"
    engine = create_engine(url)
    migrate_mlflow(url)
    assert not inspect(engine).get_table_names(), "a fresh one is the server's"

    # As MLflow makes its tables, but not up to its newest.
    InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(url)  # type: ignore[no-untyped-call]  # MLflow says no types
    newest = ScriptDirectory.from_config(config).get_revision("head")
    alembic.command.upgrade(config, str(newest.down_revision))
    with pytest.raises(MlflowException, match="out-of-date database schema"):
        utils._verify_schema(engine)  # type: ignore[no-untyped-call]  # as above
    migrate_mlflow(url)
    utils._verify_schema(engine)  # type: ignore[no-untyped-call]  # as above


@pytest.mark.parametrize("command", ["init", "mlflow", "scrape-token"])
def test_what_is_missing_is_named(command: str) -> None:
    """Without its environment a command says which variable it needs, and what to do."""
    done = subprocess.run(
        [sys.executable, "-m", "model_loop.production", command],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "include")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "is needed" in done.stderr
    assert "make secrets" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("told", [{}, {"SMTP_PORT": "587", "SMTP_DISABLE_TLS": "false"}])
def test_the_mail_server_is_a_connection(told: dict[str, str]) -> None:
    """Whatever the variables, the connection is JSON with numbers and truth values."""
    secrets = {one.name: "x" for one in VARIABLES if one.make}
    environment = services()["worker"]["environment"]
    found = json.loads(filled(environment["AIRFLOW_CONN_SMTP_DEFAULT"], {**secrets, **told}))
    assert isinstance(found["port"], int)
    assert found["extra"]["disable_tls"] is (not told)

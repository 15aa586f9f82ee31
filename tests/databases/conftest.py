"""A server of Postgres, and a file of DuckDB, with a table each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.databases.tables import Runs, Storage
from tests.servers import postgres_server


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
    """Port of a server that wants a password."""
    pytest.importorskip("adbc_driver_postgresql")
    with postgres_server("scram-sha-256") as port:
        yield port


@pytest.fixture(params=["postgres", "duckdb"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Run statements in an empty database, which is the connection *warehouse*."""
    return runs_of(request.param, request, tmp_path, monkeypatch)


@pytest.fixture
def postgres(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Runs:
    """Run statements in Postgres."""
    return runs_of("postgres", request, tmp_path, monkeypatch)


def runs_of(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Runs:
    """Return what runs statements in a kind of database."""
    if kind == "duckdb":
        return of_duckdb(tmp_path / "warehouse.duckdb", monkeypatch)
    return of_postgres(request.getfixturevalue("postgres_port"), monkeypatch)


def of_postgres(port: int, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Return what runs statements on a server."""
    from adbc_driver_postgresql import dbapi

    address = f"postgres://tests:secret%20word@127.0.0.1:{port}/postgres"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", address)

    def run(*statements: str) -> list[tuple[Any, ...]]:
        with (
            dbapi.connect(
                address.replace("postgres://", "postgresql://", 1), autocommit=True
            ) as opened,
            opened.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    return run


def of_duckdb(path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Return what runs statements in a file."""
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"duckdb:///{path}")

    def run(*statements: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(path)) as opened:
            opened.execute("CREATE SCHEMA IF NOT EXISTS public; SET TimeZone = 'UTC'")
            for statement in statements:
                found = opened.execute(statement)
            return list(found.fetchall())

    return run


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """An empty storage."""
    return Storage(tmp_path / "storage")

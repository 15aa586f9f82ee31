"""Refusals of PostgreSQL, each with its remedy, and none with a password."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.databases.tables import Runs, Storage, declared, fill, read

from model_loop.databases.postgres import PostgresSession
from model_loop.databases.sessions import Bounds
from model_loop.errors import InvalidInputError, ModelLoopError, SourceError, TransientSourceError

OTHER = "another-word"


def refused(
    storage: Storage, kind: type[ModelLoopError], rule: str, **changes: str
) -> ModelLoopError:
    """Return the error of a read; nothing is left of it, and nothing in it is secret."""
    with pytest.raises(kind, match=rule) as found:
        storage.find(declared(**changes))
    error: BaseException | None = found.value
    assert isinstance(error, ModelLoopError)
    assert "warehouse" in error.given
    assert error.remedy
    while error is not None:
        assert "secret" not in str(error)
        assert OTHER not in str(error)
        error = error.__cause__
    assert [path for path in storage.folder.rglob("*") if path.is_file()] == []
    return found.value


def test_a_wrong_login_is_refused(
    postgres: Runs, storage: Storage, postgres_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password, user or database is no matter of trying again."""
    fill(postgres)
    for login, database in (("tests", "postgres"), ("nobody-there", "postgres"), ("tests", "none")):
        word = "secret%20word" if database == "none" else OTHER
        address = f"postgres://{login}:{word}@127.0.0.1:{postgres_port}/{database}"
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", address)
        error = refused(storage, SourceError, "is refused by its server")
        assert not isinstance(error, TransientSourceError)
        assert "AIRFLOW_CONN_WAREHOUSE" in error.remedy


def test_a_server_that_does_not_answer(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may answer later."""
    pytest.importorskip("adbc_driver_postgresql")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"postgres://tests:{OTHER}@127.0.0.1:1/postgres")
    refused(storage, TransientSourceError, "does not answer")


def test_a_table_without_a_right(
    postgres: Runs, storage: Storage, postgres_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy is a grant."""
    fill(postgres)
    postgres("DROP ROLE IF EXISTS narrow", "CREATE ROLE narrow LOGIN PASSWORD 'secret word'")
    address = f"postgres://narrow:secret%20word@127.0.0.1:{postgres_port}/postgres"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", address)
    error = refused(storage, SourceError, "may not be read with this login")
    assert "Grant SELECT" in error.remedy


def test_a_locked_table_is_not_waited_for(postgres: Runs, storage: Storage) -> None:
    """After the time-out of requests, the read gives up, and may be tried again."""
    from adbc_driver_postgresql import dbapi

    from model_loop.databases.connections import connection_of

    fill(postgres)
    storage.timeout_seconds = 0.5
    with dbapi.connect(connection_of("warehouse").address) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE public.rides IN ACCESS EXCLUSIVE MODE")
        refused(storage, TransientSourceError, "is locked by another session")
        other.rollback()
    assert len(storage.find(declared())) == 4


def test_a_statement_has_a_longest_time(postgres: Runs, storage: Storage) -> None:
    """The time is that of the declaration."""
    fill(postgres)
    slow = (
        'query = "SELECT r.*, pg_sleep(0.05)::text AS slept FROM public.rides AS r"\n'
        'statement_timeout = "0.005 minutes"'
    )
    refused(storage, SourceError, "takes longer than it may", table=slow)


def test_a_function_that_writes_is_refused(postgres: Runs, storage: Storage) -> None:
    """The transaction only reads, whatever a SELECT calls."""
    fill(postgres)
    postgres("DROP SEQUENCE IF EXISTS counter", "CREATE SEQUENCE counter")
    query = "query = \"SELECT r.*, nextval('counter') AS n FROM public.rides AS r\""
    refused(storage, InvalidInputError, "writes, and a source is only read", table=query)
    assert postgres("SELECT nextval('counter')") == [(1,)]


def test_a_connection_that_is_lost_leaves_nothing(
    postgres: Runs, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that breaks off leaves no copy; the next one makes it as if nothing had happened."""
    fill(postgres, rows=200_000)
    postgres("UPDATE public.rides SET area = repeat('x', 400)")
    declaration = declared(partition='partition = "whole"')
    batches = PostgresSession.batches

    def broken(
        session: PostgresSession, statement: str, bounds: Bounds
    ) -> Iterator[pa.RecordBatch]:
        for place, batch in enumerate(batches(session, statement, bounds)):
            yield batch
            if place and "ORDER BY" in statement:
                postgres(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND usename = 'tests'"
                )

    with monkeypatch.context() as patched:
        patched.setattr(PostgresSession, "batches", broken)
        refused(
            storage, TransientSourceError, "connection was lost", partition='partition = "whole"'
        )
    (file,) = storage.find(declaration)
    assert read(declaration, [file]).rows_read == 200_000
    assert storage.find(declaration) == (file,)


def test_what_changes_while_it_is_read_is_not_mixed(
    postgres: Runs, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digest and rows are of one moment, whatever is written meanwhile."""
    fill(postgres)
    declaration = declared()
    (before,) = Storage(storage.folder / "before").find(declaration, "2024-01")
    batches = PostgresSession.batches

    def meanwhile(
        session: PostgresSession, statement: str, bounds: Bounds
    ) -> Iterator[pa.RecordBatch]:
        if "ORDER BY" in statement:
            postgres("UPDATE public.rides SET minutes = minutes + 1")
        yield from batches(session, statement, bounds)

    with monkeypatch.context() as patched:
        patched.setattr(PostgresSession, "batches", meanwhile)
        (found,) = storage.find(declaration, "2024-01")
    assert (found.digest, found.copy_digest) == (before.digest, before.copy_digest)
    assert storage.find(declaration, "2024-01")[0].digest != before.digest


@pytest.mark.parametrize(
    ("module", "extra", "address"),
    [
        ("adbc_driver_postgresql", "postgres", "postgres://127.0.0.1:1/postgres"),
        ("duckdb", "duckdb", "duckdb:////nowhere.duckdb"),
    ],
)
def test_a_missing_driver_is_named(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, module: str, extra: str, address: str
) -> None:
    """The error says which extra to install."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", address)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidInputError, match="is not installed") as error:
        storage.find(declared())
    assert f"model-loop[{extra}]" in error.value.remedy


def test_memory_does_not_grow_with_the_rows(postgres: Runs, tmp_path: Path) -> None:
    """A partition of 300 MB adds less than a third of that to what one of 3 MB has taken."""
    postgres(
        "DROP TABLE IF EXISTS public.rides",
        "CREATE TABLE public.rides AS SELECT CASE WHEN i < 6000 THEN TIMESTAMPTZ '2024-01-10' "
        "ELSE TIMESTAMPTZ '2024-02-10' END AS began, i AS id, i % 9 AS minutes, i % 2 = 0 AS rain, "
        "md5(i::text) || repeat('x', 470) AS area FROM generate_series(1, 600000) AS g(i)",
    )
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.databases.tables import Storage, declared\n"
        "for key in ('2024-01', '2024-02'):\n"
        "    Storage(Path(sys.argv[1])).find(declared(), key)\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    print(status.split('VmHWM:')[1].split()[0])"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("reads the peak of its memory from Linux")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    small, large = map(int, done.stdout.split())
    assert large - small < 100_000, (small, large)

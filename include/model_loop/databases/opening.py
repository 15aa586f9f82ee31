"""Sessions of any database, by the connection of a source."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from model_loop.databases.connections import connection_of
from model_loop.databases.embedded import open_duckdb
from model_loop.databases.postgres import open_postgres
from model_loop.databases.sessions import Session
from model_loop.datasets.declaration import DatabaseSource
from model_loop.datasets.declaration_types import seconds_of


@contextlib.contextmanager
def open_session(source: DatabaseSource, timeout_seconds: float) -> Iterator[Session]:
    """Open a session of the connection that a source names.

    Parameters
    ----------
    timeout_seconds
        Longest wait for the server, and for a lock.

    Raises
    ------
    InvalidInputError
        If there is no such connection, or its driver is not installed.
    SourceError
        If the database cannot be reached, or refuses the login.
    """
    connection = connection_of(source.connection)
    statement_seconds = seconds_of(source.statement_timeout)
    if connection.kind == "postgres":
        with open_postgres(connection, source, timeout_seconds, statement_seconds) as session:
            yield session
    else:
        with open_duckdb(connection, source, statement_seconds) as session:
            yield session

"""Sessions of DuckDB, the embedded database: a file that is opened to be read."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Timer
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from model_loop.databases.connections import DatabaseConnection
from model_loop.databases.sessions import Bounds, Session, TimeKind, quoted
from model_loop.datasets.declaration import DatabaseSource, Time
from model_loop.datasets.declaration_types import Part
from model_loop.errors import (
    InvalidInputError,
    ModelLoopError,
    SourceError,
    TransientSourceError,
)

_BATCH_ROWS = 2**16
#: Memory of the database itself; what it sorts beyond that is on the disk.
_MEMORY = "512MB"
_KEYS: Mapping[Part, str] = MappingProxyType(
    {"month": "%Y-%m", "week": "%G-W%V", "day": "%Y-%m-%d"}
)
_TYPES: Mapping[TimeKind, str] = MappingProxyType(
    {"zoned": "TIMESTAMPTZ", "clocks": "TIMESTAMP", "day": "TIMESTAMP"}
)
#: Errors of DuckDB: kind of ours, rule and remedy.
_RULES: Mapping[str, tuple[type[ModelLoopError], str, str]] = MappingProxyType(
    {
        "CatalogException": (
            SourceError,
            "names a table that is not there",
            "Correct table or query: names are as the database has them, with their schema.",
        ),
        "BinderException": (
            SourceError,
            "names a column that is not there, or of another type",
            "Correct [time] column, changed_on or the query.",
        ),
        "ParserException": (
            InvalidInputError,
            "is not a SELECT that is read as a table",
            "Let query be one SELECT, and each of its columns have a name.",
        ),
        "PermissionException": (
            SourceError,
            "reads beyond its file",
            "Let query read tables of the file alone.",
        ),
        "InterruptException": (
            SourceError,
            "takes longer than it may",
            "Raise statement_timeout in [source].",
        ),
        "OutOfMemoryException": (
            TransientSourceError,
            "needs more memory or disk than there is",
            "Free some, or ask for fewer columns.",
        ),
        "IOException": (
            TransientSourceError,
            "cannot be read: its file is missing, or another process writes to it",
            "Check the path of the connection; try again when that has ended.",
        ),
    }
)


class DuckdbSession(Session):
    """A transaction of DuckDB that reads one snapshot."""

    hash_of_row = "md5_number_lower(CAST(r AS VARCHAR))"
    text_of = "CAST({} AS VARCHAR)"

    def __init__(
        self,
        connection: DatabaseConnection,
        source: DatabaseSource,
        opened: Any,  # noqa: ANN401 - the driver is an extra
        seconds: float,
    ) -> None:
        super().__init__(connection, source)
        self._opened, self._seconds = opened, seconds

    def batches(self, statement: str, bounds: Bounds) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a SELECT; see `Session.batches`."""
        timer = Timer(self._seconds, self._opened.interrupt)
        timer.start()
        try:
            with refusals(self.source):
                if len(self._opened.extract_statements(statement)) > 1:
                    raise InvalidInputError(
                        f"The source {self.source}",
                        "has several statements",
                        "Let query be one SELECT.",
                    )
                used = {name: value for name, value in bounds.items() if f"${name}" in statement}
                found = self._opened.sql(statement, params=used or None)
                if found is None:
                    raise InvalidInputError(
                        f"The source {self.source}", "is not a SELECT", "Let query be one SELECT."
                    )
                reader = found.to_arrow_reader(_BATCH_ROWS)
                yield pa.RecordBatch.from_pylist([], reader.schema)
                yield from reader
        finally:
            timer.cancel()

    def readable(self, column: pa.Field, *, as_text: bool) -> str | None:
        """Return the expression by which a column is read; see `Session.readable`."""
        kind, name = column.type, quoted(column.name)
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return None
        if pa.types.is_decimal(kind):
            return f"CAST({name} AS {'VARCHAR' if as_text else 'DOUBLE'})"
        if pa.types.is_timestamp(kind):
            return f"CAST({name} AS {'TIMESTAMP' if kind.tz is None else 'TIMESTAMPTZ'})"
        if any(each(kind) for each in (*_PLAIN, pa.types.is_date, pa.types.is_time)):
            return name
        return f"CAST({name} AS VARCHAR)"

    def key_of(self, column: str, kind: TimeKind, part: Part, time: Time) -> str:
        """Return the expression of the key of the partition of a time."""
        name = quoted(column)
        if kind == "clocks" and time.stored_in != time.time_zone:
            name, kind = f"timezone('{time.stored_in}', {name})", "zoned"
        if kind == "zoned":
            name = f"timezone('{time.time_zone}', {name})"
        return f"strftime({name}, '{_KEYS[part]}')"

    def bound(self, name: str, kind: TimeKind) -> str:
        """Return the expression of a bound, by its name."""
        return f"CAST(${name} AS {_TYPES[kind]})"


_PLAIN = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


@contextlib.contextmanager
def open_duckdb(
    connection: DatabaseConnection, source: DatabaseSource, statement_seconds: float
) -> Iterator[DuckdbSession]:
    """Open a session; see `sessions.open_session`."""
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ImportError:
        raise InvalidInputError(
            f"The connection {connection.name}",
            "is of DuckDB, which is not installed",
            "Install it: pip install 'model-loop[duckdb]'.",
        ) from None
    path = Path(connection.database)
    if not path.is_file():
        raise SourceError(
            f"The connection {connection.name}",
            f"names the file {path}, which is not there",
            "Correct its path, which begins with a slash.",
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(_turn(source, path, statement_seconds))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="model-loop-duckdb-"))
        config: dict[str, Any] = {"memory_limit": _MEMORY, "temp_directory": folder}
        with refusals(source):
            opened = stack.enter_context(duckdb.connect(str(path), read_only=True, config=config))
            # A query reads the tables of this file, and no other files and addresses.
            opened.execute("SET enable_external_access = false")
            opened.execute("SET enable_progress_bar = false")
            opened.execute("SET TimeZone = 'UTC'")
            opened.execute("SET lock_configuration = true")
            opened.execute("BEGIN TRANSACTION READ ONLY")
        yield DuckdbSession(connection, source, opened, statement_seconds)


#: One for each file: DuckDB lets a process open a file by one configuration at a time.
_TURNS: defaultdict[Path, threading.RLock] = defaultdict(threading.RLock)


@contextlib.contextmanager
def _turn(source: DatabaseSource, path: Path, seconds: float) -> Iterator[None]:
    """Wait until no other thread of this process has the file open.

    Raises
    ------
    TransientSourceError
        If another one has it for too long.
    """
    turn = _TURNS[path.resolve()]
    if not turn.acquire(timeout=seconds):
        raise TransientSourceError(
            f"The source {source}",
            f"has been read by another thread for {seconds:g} s",
            "Try again later.",
        )
    try:
        yield
    finally:
        turn.release()


@contextlib.contextmanager
def refusals(source: DatabaseSource) -> Iterator[None]:
    """Turn an error of the database into one that names the source, the rule and the remedy.

    Raises
    ------
    InvalidInputError, TransientSourceError, SourceError
        As `postgres.refusals`.
    """
    import duckdb  # noqa: PLC0415 - an extra

    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        named = type(error).__name__
        if "INTERRUPT" in said.upper():
            named = "InterruptException"
        if "read-only mode" in said:
            raise InvalidInputError(
                f"The source {source}",
                f"writes, and a source is only read ({said})",
                "Let query be a SELECT that changes nothing.",
            ) from error
        kind, rule, remedy = _RULES.get(
            named, (SourceError, "is refused by its database", "Correct it.")
        )
        raise kind(f"The source {source}", f"{rule} ({said})", remedy) from error

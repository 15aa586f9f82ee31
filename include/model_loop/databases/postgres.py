"""Sessions of PostgreSQL, which give their rows as batches of Arrow (ADBC, by COPY)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from model_loop.databases.connections import DatabaseConnection, variable_of
from model_loop.databases.sessions import Bounds, Session, TimeKind, quoted, type_of
from model_loop.datasets.declaration import DatabaseSource, Time
from model_loop.datasets.declaration_types import Part
from model_loop.errors import (
    InvalidInputError,
    ModelLoopError,
    SourceError,
    TransientSourceError,
)

#: Bytes of a batch, about.
_BATCH_BYTES = 8 * 2**20
#: Types whose values are read as they are.
_PLAIN = frozenset(
    {
        *("int2", "int4", "int8", "float4", "float8", "bool"),
        *("text", "varchar", "name", "date", "timestamp", "timestamptz", "time"),
    }
)
_NUMBERS = frozenset({"numeric", "money"})
#: Types that are texts as well, and hold no single value all the same.
_NO_VALUES = frozenset({"bytea", "record"})
_KEYS: Mapping[Part, str] = MappingProxyType(
    {"month": "YYYY-MM", "week": 'IYYY-"W"IW', "day": "YYYY-MM-DD"}
)
_TYPES: Mapping[TimeKind, str] = MappingProxyType(
    {"zoned": "timestamptz", "clocks": "timestamp", "day": "timestamp"}
)
#: Words by which the texts of values, and so their checksums, are the same in every session.
_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "TimeZone": "UTC",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "iso_8601",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "lc_monetary": "C",
    }
)
_STATE = re.compile(r"SQLSTATE: (\w{5})")
_BEFORE_MESSAGE = re.compile(r"^[A-Z_]+: (\[libpq\] )?")
#: Codes by the words of errors that come in the middle of a stream of rows, without their codes.
_STATES: Mapping[str, str] = MappingProxyType(
    {
        "due to statement timeout": "57014",
        "due to lock timeout": "55P03",
        "in a read-only transaction": "25006",
        "permission denied for": "42501",
        "division by zero": "22012",
        "invalid input syntax": "22P02",
        "out of range": "22003",
    }
)
#: Words of servers that refuse a login, for which the driver has no code.
_OF_LOGINS = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "is not permitted to log in",
    "permission denied for database",
)
#: Beginnings of codes after which the same request may succeed.
_LOST = ("08", "53", "57P", "40")
#: Beginnings of codes of PostgreSQL: kind of the error, rule and remedy.
_RULES: tuple[tuple[tuple[str, ...], type[ModelLoopError], str, str], ...] = (
    (
        ("42P01", "3F000"),
        SourceError,
        "names a table that is not there",
        "Correct table or query: names are as the database has them, with their schema.",
    ),
    (
        ("42703",),
        SourceError,
        "names a column that is not there",
        "Correct [time] column, changed_on or the query.",
    ),
    (
        ("42501",),
        SourceError,
        "may not be read with this login",
        "Grant SELECT on it to the login of the connection.",
    ),
    (
        ("55P03",),
        TransientSourceError,
        "is locked by another session",
        "Try again when that has ended.",
    ),
    (
        ("57014",),
        SourceError,
        "takes longer than it may",
        "Raise statement_timeout in [source], or add an index on the time.",
    ),
    (
        ("25006",),
        InvalidInputError,
        "writes, and a source is only read",
        "Let query be a SELECT that changes nothing.",
    ),
    (
        ("42601",),
        InvalidInputError,
        "is not a SELECT that is read as a table",
        "Let query be one SELECT, and each of its columns have a name.",
    ),
)


class PostgresSession(Session):
    """A transaction of PostgreSQL that reads one snapshot."""

    hash_of_row = (
        "('x' || encode(substr(sha256(convert_to(r::text, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint"
    )
    text_of = "{}::text"

    def __init__(
        self,
        connection: DatabaseConnection,
        source: DatabaseSource,
        opened: Any,  # noqa: ANN401 - the driver is an extra
    ) -> None:
        super().__init__(connection, source)
        self._opened = opened

    def batches(self, statement: str, bounds: Bounds) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a SELECT; see `Session.batches`."""
        with refusals(self.connection, self.source), self._opened.cursor() as cursor:
            for name, value in bounds.items():
                # COPY has no parameters; a setting of the transaction has, and is one.
                cursor.execute("SELECT set_config($1, $2, true)", (f"model_loop.{name}", value))
                cursor.fetchall()
            cursor.adbc_statement.set_options(
                **{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)}
            )
            cursor.execute(statement)
            reader = cursor.fetch_record_batch()
            yield pa.RecordBatch.from_pylist([], reader.schema)
            yield from reader

    def readable(self, column: pa.Field, *, as_text: bool) -> str | None:
        """Return the expression by which a column is read; see `Session.readable`."""
        kind, name = type_of(column), quoted(column.name)
        if kind.startswith("_") or kind in _NO_VALUES or pa.types.is_nested(column.type):
            return None
        if kind in _PLAIN:
            return name
        if kind in _NUMBERS and not as_text:
            return f"{name}::numeric::double precision"
        return f"{name}::text"

    def key_of(self, column: str, kind: TimeKind, part: Part, time: Time) -> str:
        """Return the expression of the key of the partition of a time."""
        name = quoted(column)
        if kind == "zoned":
            name = f"{name} AT TIME ZONE '{time.time_zone}'"
        elif kind == "clocks" and time.stored_in != time.time_zone:
            name = f"{name} AT TIME ZONE '{time.stored_in}' AT TIME ZONE '{time.time_zone}'"
        return f"to_char({name}, '{_KEYS[part]}')"

    def bound(self, name: str, kind: TimeKind) -> str:
        """Return the expression of a bound, by its name."""
        return f"current_setting('model_loop.{name}')::{_TYPES[kind]}"


@contextlib.contextmanager
def open_postgres(
    connection: DatabaseConnection,
    source: DatabaseSource,
    timeout_seconds: float,
    statement_seconds: float,
) -> Iterator[PostgresSession]:
    """Open a session; see `sessions.open_session`."""
    try:
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - an extra
    except ImportError:
        raise InvalidInputError(
            f"The connection {connection.name}",
            "is of PostgreSQL, whose driver is not installed",
            "Install it: pip install 'model-loop[postgres]'.",
        ) from None
    settings = {
        "statement_timeout": f"{statement_seconds * 1_000:.0f}",
        "lock_timeout": f"{timeout_seconds * 1_000:.0f}",
        **_SETTINGS,
    }
    mark = "&" if connection.options else "?"
    address = f"{connection.address}{mark}connect_timeout={max(2, round(timeout_seconds))}"
    with contextlib.ExitStack() as stack:
        with refusals(connection, source):
            opened = dbapi.connect(address, autocommit=True)
            stack.callback(_close, opened)
            cursor = stack.enter_context(opened.cursor())
            cursor.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for name, value in settings.items():
                cursor.execute("SELECT set_config($1, $2, true)", (name, value))
                cursor.fetchall()
        yield PostgresSession(connection, source, opened)


def _close(opened: Any) -> None:  # noqa: ANN401 - the driver is an extra
    # A transaction that has only read ends here; a connection that is lost says so again.
    with contextlib.suppress(Exception):
        opened.close()


@contextlib.contextmanager
def refusals(connection: DatabaseConnection, source: DatabaseSource) -> Iterator[None]:
    """Turn an error of the database into one that names the source, the rule and the remedy.

    Raises
    ------
    InvalidInputError
        If the query is not a SELECT.
    TransientSourceError
        If the server does not answer, or a lock is held for too long.
    SourceError
        If anything else is refused.
    """
    from adbc_driver_manager import Error  # noqa: PLC0415 - an extra

    try:
        yield
    except (Error, pa.ArrowException, OSError) as error:
        # The driver may repeat an address: what is shown is masked, and nothing is chained.
        raise _refusal(connection, source, error) from None


def _refusal(connection: DatabaseConnection, source: DatabaseSource, error: Exception) -> Exception:
    said = " ".join(connection.masked(str(error)).split())
    said = _BEFORE_MESSAGE.sub("", said).partition(". SQLSTATE:")[0].partition(" Query was:")[0]
    state = getattr(error, "sqlstate", None) or next(iter(_STATE.findall(str(error))), "")
    state = state or next((code for words, code in _STATES.items() if words in said), "")
    login = next((words for words in _OF_LOGINS if words in said), None)
    if login and not state.startswith(("42", "3F")):
        return SourceError(
            f"The connection {connection.name}",
            f"is refused by its server ({said})",
            f"Correct its login or the name of its database in Airflow, or in "
            f"{variable_of(connection.name)}.",
        )
    for states, kind, rule, remedy in _RULES:
        if state.startswith(states):
            return kind(f"The source {source}", f"{rule} ({said})", remedy)
    if not state or state.startswith(_LOST):
        return TransientSourceError(
            f"The source {source}",
            f"cannot be read: its server does not answer, or the connection was lost ({said})",
            "Check the host of the connection and the network; try again.",
        )
    return SourceError(
        f"The source {source}", f"is refused by its database ({said})", "Correct it."
    )

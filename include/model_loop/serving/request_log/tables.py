"""Tables of the request log, in SQLite or Postgres."""

from __future__ import annotations

import functools
import itertools
import logging
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    text,
)
from sqlalchemy.exc import (
    ArgumentError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from model_loop.datasets.stored import DIGEST_LENGTH
from model_loop.errors import InvalidInputError
from model_loop.intervals.grid import LEVEL, LOWER, UPPER
from model_loop.scoring.limits import LABEL, PROBABILITIES
from model_loop.serving.request_log.inputs import columns_of_their_own

#: Characters of a caller's name that are kept: Postgres refuses longer ones.
CALLER_LENGTH = 100

#: Rows that SQLite is given in one statement.
_ROWS = 50

metadata = MetaData()

logger = logging.getLogger(__name__)

#: Characters of a variant's key.
_SERVICE_LENGTH = 100

#: Columns of the interval around a prediction; see `scoring.limits`.
LIMITS = (LOWER, UPPER, LEVEL)

#: Columns of a predicted class: its label, and as JSON the probability of each class by its label,
#: of the answer and of the shadow. Missing of numbers.
OF_CLASSES = (LABEL, PROBABILITIES, f"shadow_{PROBABILITIES}")

#: One row for each prediction, `minutes` by its name of before 0.2. Times are seconds since 1970:
#: `at` in UTC, those of inputs on the table's clocks. What was asked stands in `inputs`, or in
#: columns of its own; see `inputs`. It is missing where inputs are left out.
predictions = Table(
    "predictions",
    metadata,
    Column("prediction_id", String(32), primary_key=True),
    Column("at", Float(53), nullable=False),
    Column("service", String(_SERVICE_LENGTH), nullable=False),
    Column("version", Integer, nullable=False),
    Column("part", String(10), nullable=False),
    Column("caller", String(CALLER_LENGTH), nullable=False),
    Column("key", String(200)),
    Column("minutes", Float(53), nullable=False),
    Column("latency_ms", Float(53), nullable=False),
    Column("shadow_version", Integer),
    Column("shadow_minutes", Float(53)),
    *(
        Column(one.field, Float(53) if one.kind == "number" else BigInteger)
        for one in columns_of_their_own()
    ),
    Column("inputs", Text),
    Column("declaration", String(DIGEST_LENGTH)),
    *(Column(name, Float(53)) for name in LIMITS),
    *(Column(name, Text) for name in OF_CLASSES),
    Index("predictions_at", "at"),
)

#: Stored declarations by which predictions were read, by their digests; see `datasets.stored`.
declarations = Table(
    "declarations",
    metadata,
    Column("declaration", String(DIGEST_LENGTH), primary_key=True),
    Column("text", Text, nullable=False),
)

#: Label of a true class.
ACTUAL_LABEL = "actual_label"

#: True values, by the name of the first dataset; the last one of a prediction counts. Of a class it
#: is the code, by the declaration of the day on which it arrived, and the label beside it.
feedback = Table(
    "feedback",
    metadata,
    Column("prediction_id", String(32), primary_key=True),
    Column("at", Float(53), nullable=False),
    Column("actual_minutes", Float(53), nullable=False),
    Column("caller", String(CALLER_LENGTH), nullable=False),
    Column(ACTUAL_LABEL, Text),
)

#: Predictions that were answered and not logged, in all, by the spool that has counted them.
losses = Table(
    "losses",
    metadata,
    Column("spool", String(40), primary_key=True),
    Column("at", Float(53), nullable=False),
    Column("predictions", Integer, nullable=False),
)

#: Losses as versions before 0.2 have written them, a row for each time; read, and no longer
#: written.
dropped = Table(
    "dropped",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("predictions", Integer, nullable=False),
)


def open_log(url: str, folder: Path, *, must_answer: bool = True) -> Engine:
    """The database of the request log, with its tables.

    Parameters
    ----------
    url
        SQLAlchemy address; empty for SQLite in *folder*.
    must_answer
        Whether the tables have to be there now; a server makes them when it can write.

    Raises
    ------
    InvalidInputError
        If the address is invalid, or its driver is not installed.
    sqlalchemy.exc.SQLAlchemyError
        If the database has to answer, and does not.
    """
    if not url:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        engine = create_engine(url or f"sqlite:///{folder / 'requests.db'}", pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidInputError(
            "The address of the request log",
            f"cannot be used ({error})",
            "Give one of SQLAlchemy's, such as postgresql+psycopg://host/name, and install "
            "its driver.",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    try:
        make_tables(engine)
    except SQLAlchemyError as error:
        if must_answer:
            raise
        logger.warning("The request log does not answer, so predictions wait: %s", error)
    return engine


def make_tables(engine: Engine) -> None:
    """Make the tables that are missing, and bring those of earlier versions up to date.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the database does not answer.
    """
    metadata.create_all(engine)
    changes = []
    added = {
        predictions.name: {
            "inputs": "TEXT",
            "declaration": f"VARCHAR({DIGEST_LENGTH})",
            **dict.fromkeys(LIMITS, "DOUBLE PRECISION"),
            **dict.fromkeys(OF_CLASSES, "TEXT"),
        },
        feedback.name: {ACTUAL_LABEL: "TEXT"},
    }
    for table, columns in added.items():
        names = _columns(engine, table)
        changes += [
            f"ALTER TABLE {table} ADD COLUMN {name} {kind}"
            for name, kind in columns.items()
            if name not in names
        ]
    there = _columns(engine, predictions.name)
    length = getattr(there["service"]["type"], "length", None) or _SERVICE_LENGTH
    if engine.dialect.name == "postgresql" and length < _SERVICE_LENGTH:
        wide = f"VARCHAR({_SERVICE_LENGTH})"
        changes.append(f"ALTER TABLE {predictions.name} ALTER COLUMN service TYPE {wide}")
    for change in changes:
        try:
            with engine.begin() as connection:
                connection.execute(text(change))
        except (OperationalError, ProgrammingError):
            # Another server may have done the same a moment ago.
            if any(
                not columns.keys() <= _columns(engine, table).keys()
                for table, columns in added.items()
            ):
                raise
        else:
            logger.info("The request log was brought up to date: %s", change)


def _columns(engine: Engine, table: str) -> dict[str, Any]:
    """Return the columns of a table of the database by their names."""
    return {column["name"]: column for column in inspect(engine).get_columns(table)}


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DBAPI connection
    # Readers do not wait for the writer, and what is committed survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def insert_predictions(connection: Connection, values: list[list[Any]]) -> None:
    """Insert rows of the table `predictions`, values in the order of its columns; NaN is unknown.

    SQLite takes many at once. One after another, each of them would ask for the interpreter's lock
    twice, for which the answers are waiting.
    """
    if connection.dialect.name == "sqlite":
        for first in range(0, len(values), _ROWS):
            rows = values[first : first + _ROWS]
            # SQLite reads NaN as NULL.
            given = tuple(itertools.chain.from_iterable(rows))
            connection.exec_driver_sql(_insert_rows(len(rows)), given)
        return
    names = [column.name for column in predictions.columns]
    connection.execute(
        insert(predictions),
        [
            # Only NaN differs from itself.
            {name: one if one == one else None for name, one in zip(names, row, strict=True)}  # noqa: PLR0124
            for row in values
        ],
    )


@functools.cache
def _insert_rows(count: int) -> str:
    """The statement for so many rows, which SQLite prepares once."""
    names = predictions.columns.keys()
    row = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {predictions.name} ({', '.join(names)}) VALUES {', '.join([row] * count)}"  # noqa: S608 - our own names

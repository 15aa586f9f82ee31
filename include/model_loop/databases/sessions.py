"""Sessions of databases: one transaction that reads, and sees no change of others."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from model_loop.databases.connections import DatabaseConnection
from model_loop.datasets.declaration import DatabaseSource, Time
from model_loop.datasets.declaration_types import Part
from model_loop.errors import SourceError

#: Kinds of the column of a time: with a time zone, on some clocks, or a day.
TimeKind = Literal["zoned", "clocks", "day"]
#: Bounds of a partition by their names, ISO 8601.
Bounds = Mapping[str, str]
FIRST, AFTER = "first", "after"


class Session(abc.ABC):
    """A transaction that reads.

    Parameters
    ----------
    connection
        Connection that it is of.
    source
        Table or query that is read, whose name errors bear.
    """

    def __init__(self, connection: DatabaseConnection, source: DatabaseSource) -> None:
        self.connection, self.source = connection, source

    @abc.abstractmethod
    def batches(self, statement: str, bounds: Bounds) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a SELECT, some megabytes at a time.

        Raises
        ------
        SourceError, InvalidInputError
            If the database refuses it, or the connection is lost.
        """

    @abc.abstractmethod
    def readable(self, column: pa.Field, *, as_text: bool) -> str | None:
        """Return the expression by which a column is read; None if it holds no single value.

        Parameters
        ----------
        as_text
            Whether numbers are codes, all of whose digits count.
        """

    @abc.abstractmethod
    def key_of(self, column: str, kind: TimeKind, part: Part, time: Time) -> str:
        """Return the expression of the key of the partition of a time."""

    @abc.abstractmethod
    def bound(self, name: str, kind: TimeKind) -> str:
        """Return the expression of a bound, by its name."""

    #: Expression of a whole number of 64 bits that identifies rows ``r``.
    hash_of_row: str
    #: Expression of a time as text, with {} in its place.
    text_of: str

    def rows(self, statement: str, bounds: Bounds) -> list[tuple[Any, ...]]:
        """Return the few rows of a SELECT."""
        return [
            tuple(row.values())
            for batch in self.batches(statement, bounds)
            for row in batch.to_pylist()
        ]

    def schema(self) -> pa.Schema:
        """Return the columns of the source, without reading a row."""
        statement = f"SELECT * FROM {relation_of(self.source)} LIMIT 0"  # noqa: S608 - of the operator
        schema: pa.Schema | None = None
        for batch in self.batches(statement, {}):
            schema = batch.schema
        if schema is None:
            raise AssertionError(statement)
        return schema


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def relation_of(source: DatabaseSource) -> str:
    """Return the table or the query of a source, as a FROM takes it."""
    if source.table is not None:
        return ".".join(map(quoted, source.table.split(".")))
    # The line break ends a remark in the last line; a second statement is a mistake of syntax.
    query = str(source.query).strip().removesuffix(";")
    return f"({query}\n) AS {quoted('the query')}"


def columns_read(
    session: Session, texts: Sequence[str] = (), ignored: Sequence[str] = ()
) -> tuple[pa.Schema, dict[str, str]]:
    """Return the columns of a source, and the expression by which each is read.

    Parameters
    ----------
    texts
        Columns whose numbers are codes.
    ignored
        Columns that may hold anything, as nothing is read of them.

    Raises
    ------
    SourceError
        If a column holds lists, records or bytes.
    """
    schema = session.schema()
    found: dict[str, str] = {}
    for column in schema:
        expression = session.readable(column, as_text=column.name in texts)
        if expression is None and column.name not in ignored:
            raise SourceError(
                f"The column {column.name!r} of {session.source}",
                f"is of the type {type_of(column)}, and holds no single value",
                'Declare its type as "ignored", or name a query that leaves it out or takes it '
                "apart.",
            )
        found[column.name] = f"{expression or 'CAST(NULL AS varchar)'} AS {quoted(column.name)}"
    return schema, found


def type_of(column: pa.Field) -> str:
    """Return the type of a column, as its database names it."""
    return str((column.metadata or {}).get(b"POSTGRESQL:type", str(column.type).encode()).decode())

"""Partitions of a table or query of a database: found, told apart by content, and copied.

A partition is copied once as a file of Parquet, batch by batch, and read from there like any other
file. Its digest is computed by the database from the number of its rows, the newest change and a
checksum of all rows, and not from the bytes of the copy: it is the same wherever the copy is made.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from model_loop.databases.opening import open_session
from model_loop.databases.sessions import (
    AFTER,
    FIRST,
    Bounds,
    Session,
    TimeKind,
    columns_read,
    quoted,
    relation_of,
    type_of,
)
from model_loop.datasets.declaration import DatabaseSource, Declaration, Time
from model_loop.errors import SourceError, TransientSourceError, look_up
from model_loop.objects.files import atomic_write, mark_used
from model_loop.partitions.digests import sha256_of
from model_loop.partitions.keys import WHOLE, bounds_of, key_pattern
from model_loop.partitions.types import Copies, SourceFile

logger = logging.getLogger(__name__)

#: Version of the way in which rows are read and their checksum is computed.
_VERSION = 2
_TEXTS = frozenset({"id", "category", "text"})
_HASH = quoted("hash of the row")


@dataclass(frozen=True)
class PartitionVersion:
    """The rows of a partition, as a database has them.

    Parameters
    ----------
    rows
        Number of rows.
    changed
        Newest change, as text; None where no row has a time.
    checksum
        Sum of the hashes of the rows: the same in any order of them.
    columns
        Digest of the names and types of the columns.
    """

    rows: int
    changed: str | None
    checksum: str
    columns: str

    @property
    def digest(self) -> str:
        """sha256 (hex) of all of it."""
        content = [_VERSION, self.rows, self.changed, self.checksum, self.columns]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


class DatabaseTable:
    """A table or query within a session.

    Parameters
    ----------
    session
        Session of its connection.
    declaration
        Declaration of the dataset.
    variant
        Name of the variant in the declaration; None where there is only one.
    """

    def __init__(self, session: Session, declaration: Declaration, variant: str | None) -> None:
        self._session, self._declaration = session, declaration
        names = look_up("Variant", variant, declaration.variants).columns if variant else {}
        kinds = {names.get(name, name): each.type for name, each in declaration.columns.items()}
        self._schema, self._columns = columns_read(
            session,
            [name for name, kind in kinds.items() if kind in _TEXTS],
            [name for name, kind in kinds.items() if kind == "ignored"],
        )
        time = declaration.time
        self._time = names.get(time.column, time.column) if time else None

    def sample(self, rows: int) -> tuple[Iterator[pa.RecordBatch], int]:
        """Return so many rows that their hashes draw, the same each time; and how many there are.

        The first batch is empty, and has the columns.
        """
        session, names = self._session, ", ".join(map(quoted, self._columns))
        ((there,),) = session.rows(f"SELECT count(*) FROM {relation_of(session.source)}", {})  # noqa: S608 - a name that is quoted
        statement = (
            f"SELECT {names} FROM ({self._select('')}) AS r "  # noqa: S608 - names are quoted
            f"ORDER BY {session.hash_of_row} LIMIT {int(rows)}"
        )
        return session.batches(statement, {}), int(there)

    @property
    def source(self) -> DatabaseSource:
        """Table or query, as the declaration has it."""
        return self._session.source

    def versions(self, keys: Sequence[str] = ()) -> dict[str, PartitionVersion]:
        """Return the versions of partitions by their keys; of all that have rows, by default.

        The table is read once. Rows without a time are in no partition; they are counted in the
        log.
        """
        session = self._session
        where, bounds = self._all
        if keys and [*keys] != [WHOLE]:
            where, bounds = self._within(min(keys), max(keys))
        changed = session.source.changed_on or self._time
        newest = f"max({quoted(self._required(changed).name)})" if changed else "NULL"
        statement = (
            f"SELECT {self._key} AS k, count(*) AS n, "  # noqa: S608 - names are quoted, bounds are parameters
            f"{session.text_of.format(newest)} AS c, "
            f"{session.text_of.format(f'sum({session.hash_of_row})')} AS s "
            f"FROM ({self._select(where)}) AS r GROUP BY 1"
        )
        found = {
            key: PartitionVersion(int(rows), stamp, str(checksum), self._layout)
            for key, rows, stamp, checksum in session.rows(statement, bounds)
        }
        part = self._declaration.partition
        pattern = re.compile(".*" if part == "whole" else key_pattern(part))
        strays = sum(each.rows for key, each in found.items() if not pattern.fullmatch(key or ""))
        if strays:
            logger.warning(
                "%s: %s rows have no time, and are in no %s", session.source, f"{strays:,}", part
            )
        return {
            key: found[key]
            for key in sorted(key for key in found if pattern.fullmatch(key or ""))
            if not keys or key in keys
        }

    def read(self, key: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition in an order that their values alone decide."""
        where, bounds = self._all if key == WHOLE else self._within(key, key)
        order = f"{quoted(self._time)}, {_HASH}" if self._time else _HASH
        names = ", ".join(map(quoted, self._columns))
        statement = (
            f"SELECT {names} FROM (SELECT r.*, {self._session.hash_of_row} AS {_HASH} "  # noqa: S608 - names are quoted, bounds are parameters
            f"FROM ({self._select(where)}) AS r) AS q ORDER BY {order}"
        )
        return self._session.batches(statement, bounds)

    _all: tuple[str, Bounds] = ("", MappingProxyType({}))

    @functools.cached_property
    def _layout(self) -> str:
        columns = [
            [column.name, type_of(column), self._columns.get(column.name)]
            for column in self._schema
        ]
        return hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]

    @property
    def _key(self) -> str:
        part, time = self._declaration.partition, self._declaration.time
        if part == "whole" or time is None or self._time is None:
            return f"'{WHOLE}'"
        return self._session.key_of(self._time, self._kind, part, time)

    @functools.cached_property
    def _kind(self) -> TimeKind:
        column = self._required(str(self._time))
        if pa.types.is_timestamp(column.type):
            return "clocks" if column.type.tz is None else "zoned"
        if pa.types.is_date(column.type):
            return "day"
        raise SourceError(
            f"The column {column.name!r} of {self._session.source}",
            f"is the time, and of the type {type_of(column)}",
            "Name a query that turns it into a timestamp.",
        )

    def _required(self, name: str) -> pa.Field:
        if name not in self._schema.names:
            raise SourceError(
                f"The source {self._session.source}",
                f"has no column {name!r}",
                f"Correct [time] column or changed_on; it has: {', '.join(self._schema.names)}.",
            )
        return self._schema.field(name)

    def _select(self, where: str) -> str:
        columns = ", ".join(self._columns.values())
        return f"SELECT {columns} FROM {relation_of(self._session.source)}{where}"  # noqa: S608 - names are quoted

    def _within(self, first: str, last: str) -> tuple[str, Bounds]:
        """Return the condition of the rows from one partition to another, and its bounds."""
        part, time, session = self._declaration.partition, self._declaration.time, self._session
        if time is None or self._time is None:
            raise AssertionError(self._declaration.name)
        moments = {FIRST: bounds_of(first, part)[0], AFTER: bounds_of(last, part)[1]}
        bounds = {name: _bound(moment, self._kind, time) for name, moment in moments.items()}
        column = quoted(self._time)
        from_first = f"{column} >= {session.bound(FIRST, self._kind)}"
        return f" WHERE {from_first} AND {column} < {session.bound(AFTER, self._kind)}", bounds


def _bound(moment: dt.datetime, kind: TimeKind, time: Time) -> str:
    """Return a moment on the clocks of the place as the column of the time has it."""
    if kind == "day":
        return moment.isoformat()
    there = moment.replace(tzinfo=ZoneInfo(time.time_zone))
    if kind == "zoned":
        return there.astimezone(dt.UTC).isoformat()
    return there.astimezone(ZoneInfo(time.stored_in)).replace(tzinfo=None).isoformat()


@contextlib.contextmanager
def open_table(
    declaration: Declaration, variant: str, timeout_seconds: float
) -> Iterator[DatabaseTable]:
    """Open the table of a variant, in a session of its own.

    Parameters
    ----------
    variant
        Key of the variant.

    Raises
    ------
    InvalidInputError, SourceError
        See `databases.sessions.open_session`.
    """
    named = variant.partition(".")[2] or None
    source = declaration.source_of(named)
    if isinstance(source, str):
        raise TypeError(source)
    with open_session(source, timeout_seconds) as session:
        yield DatabaseTable(session, declaration, named)


def copy_partitions(
    declaration: Declaration, variant: str, wanted: Sequence[str], copies: Copies
) -> tuple[SourceFile, ...]:
    """Return the partitions of a variant as files, copied where there is no copy of their rows.

    Parameters
    ----------
    variant
        Key of the variant.
    wanted
        Keys of the partitions; all that have rows, if empty.

    Raises
    ------
    InvalidInputError, SourceError
        If the database cannot be read, or has no row of a partition.
    """
    with open_table(declaration, variant, copies.timeout_seconds) as table:
        versions = table.versions(wanted)
        missing = [key for key in wanted if key not in versions]
        if missing or not versions:
            part = declaration.partition
            raise SourceError(
                f"The source {table.source}",
                f"has no rows of {', '.join(missing) or f'a {part}'}",
                f"Name each {part} that it has, and look at the time of its rows.",
            )
        return tuple(
            _copied(table, variant, key, version, copies) for key, version in versions.items()
        )


def write_sample(
    source: DatabaseSource, target: str, rows: int, path: Path, timeout_seconds: float
) -> int:
    """Write a sample of the rows of a source as a file of Parquet; return how many it was drawn of.

    Parameters
    ----------
    target
        Column that is predicted.
    rows
        Number of rows that are drawn.

    Raises
    ------
    InvalidInputError, SourceError
        If the database cannot be read.
    """
    declaration = Declaration(name="draft", source=source, target=target)
    with open_table(declaration, declaration.name, timeout_seconds) as table:
        batches, there = table.sample(rows)
        with pq.ParquetWriter(path, next(batches).schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    return there


def _copied(
    table: DatabaseTable, variant: str, key: str, version: PartitionVersion, copies: Copies
) -> SourceFile:
    target = copies.folder / "databases" / version.digest[:16] / f"{key}.parquet"
    if target.exists():
        mark_used(target)
    else:
        logger.info("%s: reading %s rows of %s", table.source, f"{version.rows:,}", key)
        with copies.make_room(f"{table.source} {key}"):
            _write(table, key, version, target)
    copy_digest, size = sha256_of(str(target))
    return SourceFile(
        variant=variant,
        partition=key,
        path=str(target),
        size=size,
        data_source="database",
        url=str(table.source),
        digest=version.digest,
        last_modified=version.changed,
        copy_digest=copy_digest,
    )


def _write(table: DatabaseTable, key: str, version: PartitionVersion, target: UPath) -> None:
    batches, rows = table.read(key), 0
    schema = next(batches).schema
    with (
        atomic_write(target) as partial,
        partial.open("wb") as file,
        pq.ParquetWriter(file, schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
        if rows != version.rows:
            raise TransientSourceError(
                f"The source {table.source}",
                f"has {version.rows:,} rows of {key} by its clocks, and {rows:,} by their bounds",
                "Let a query of the source turn its time into one with a time zone.",
            )

"""What a published month must hold, read off the file's footer before anything else is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from trip_duration.errors import ContractError
from trip_duration.trips.services import (
    DISTANCE,
    DROPOFF_TIME,
    DROPOFF_ZONE,
    PICKUP_TIME,
    PICKUP_ZONE,
    Service,
)
from trip_duration.trips.source import RawMonth

_TypeCheck = Callable[[pa.DataType], bool]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


#: What a column must be. Widths drift from year to year (int64 to int32), kinds do not.
_KINDS: dict[str, tuple[str, _TypeCheck]] = {
    PICKUP_TIME: ("a timestamp", pa.types.is_timestamp),
    DROPOFF_TIME: ("a timestamp", pa.types.is_timestamp),
    PICKUP_ZONE: ("a whole number", pa.types.is_integer),
    DROPOFF_ZONE: ("a whole number", pa.types.is_integer),
    DISTANCE: ("a number", _is_number),
}


def check_month(raw: RawMonth, service: Service, columns: Sequence[str]) -> None:
    """Check that a month can be cleaned; columns beyond those needed may come and go.

    Parameters
    ----------
    columns
        Our names of the columns wanted, besides the two times.

    Raises
    ------
    ContractError
        If the file is no Parquet file, is empty, lacks a column, or has one of another kind.
    InvalidInputError
        If no service has one of the columns.
    """
    schema, rows = _footer(raw)
    published = service.published_names((PICKUP_TIME, DROPOFF_TIME, *columns))
    missing = [theirs for theirs in published.values() if theirs not in schema.names]
    if missing:
        raise ContractError(
            _name(raw),
            f"lacks the column {', '.join(missing)}; it has {', '.join(schema.names)}",
            f"Check that it is a month of {service.title}.",
        )
    for name, theirs in published.items():
        what, is_kind = _KINDS.get(name, ("a number", _is_number))
        found = schema.field(theirs).type
        if not is_kind(found):
            raise ContractError(
                _name(raw),
                f"has {found} in the column {theirs}, which must be {what}",
                "Fetch the file again from where TLC publishes it.",
            )
    if rows == 0:
        raise ContractError(_name(raw), "has no rows", "Choose another month.")


def _footer(raw: RawMonth) -> tuple[pa.Schema, int]:
    if raw.size == 0:
        raise ContractError(_name(raw), "is empty (0 bytes)", "Fetch it again.")
    with reading(raw), UPath(raw.path).open("rb") as file:
        parquet = pq.ParquetFile(file)
        return parquet.schema_arrow, parquet.metadata.num_rows


@contextlib.contextmanager
def reading(raw: RawMonth) -> Iterator[None]:
    """Name the month in what goes wrong while its Parquet file is read.

    Raises
    ------
    ContractError
        If the file is gone, is no Parquet file, or is damaged. What else the storage answers,
        such as a denied permission or a lost connection, is passed on: it may not last.
    """
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and not _is_of_the_file(error):
            raise
        raise ContractError(
            _name(raw),
            f"is no readable Parquet file ({error})",
            "It may be truncated, or a web page in place of the file: fetch it again.",
        ) from error


def _is_of_the_file(error: OSError) -> bool:
    # Arrow reports damaged pages as plain OSErrors without a number.
    damaged = type(error) is OSError and error.errno is None
    return damaged or isinstance(error, FileNotFoundError)


def _name(raw: RawMonth) -> str:
    return f"Month {raw.month} of {raw.service} ({raw.url})"

"""A month's file: what it says of itself, and its columns, a batch of rows at a time.

Arrow decodes the columns that are asked for, and only those; memory depends on the batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from model_loop.errors import ContractError
from model_loop.objects.files import LOCAL_PROTOCOLS
from model_loop.sources.cache import discard_cached
from model_loop.sources.prefetching import prefetch
from trip_duration.source.types import MonthFile

#: Bytes that are read of a column at once; a whole row group would be read otherwise.
_BUFFER = 2**20
#: Batches of a stream that are decoded ahead; some take longer than others.
_AHEAD = 3


@dataclass(frozen=True)
class Footer:
    """Columns and row count of a month's file, read without its rows.

    Parameters
    ----------
    schema
        Its columns and their types.
    rows
        Number of rows.
    """

    # Its statistics are left alone: where they are damaged, Arrow ends the whole process.
    schema: pa.Schema
    rows: int


def read_footer(raw: MonthFile) -> Footer:
    """Read the end of a month's file.

    Raises
    ------
    ContractError
        If the file is empty or no Parquet file.
    """
    if raw.size == 0:
        raise ContractError(described(raw), "is empty (0 bytes)", "Fetch it again.")
    with reading(raw), _open(raw) as file:
        parquet = pq.ParquetFile(file)
        return Footer(parquet.schema_arrow, parquet.metadata.num_rows)


def decode(
    raw: MonthFile, groups: Sequence[Sequence[str]], batch_rows: int
) -> Generator[pa.RecordBatch]:
    """Decode columns of a month, so many rows at a time, from beginning to end.

    Parameters
    ----------
    groups
        Names of the columns. Several groups are decoded side by side and ahead of whoever works on
        them, which pays for large months; a single one when it is asked for.

    Raises
    ------
    ContractError
        If the file is damaged.
    """
    with reading(raw), contextlib.ExitStack() as stack:
        groups_of_batches = [
            stack.enter_context(_batches(raw, names, batch_rows)) for names in groups
        ]
        if len(groups) == 1:
            yield from groups_of_batches[0]
            return
        for parts in stack.enter_context(prefetch(groups_of_batches, ahead=_AHEAD)):
            yield _put_together(parts)


@contextlib.contextmanager
def _batches(
    raw: MonthFile, names: Sequence[str], batch_rows: int
) -> Generator[Iterator[pa.RecordBatch]]:
    with _open(raw) as file:
        parquet = pq.ParquetFile(
            file, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True
        )
        # Each column in a thread of its own would take half as much again of the processor, which
        # has other work, and memory in threads that nobody can make give it back.
        yield parquet.iter_batches(batch_rows, columns=names, use_threads=False)


def _put_together(parts: Sequence[pa.RecordBatch | None]) -> pa.RecordBatch:
    present = [part for part in parts if part is not None]
    if len(present) < len(parts) or len({part.num_rows for part in present}) > 1:
        raise pa.ArrowInvalid("its columns have different numbers of rows")
    names = [name for part in present for name in part.schema.names]
    return pa.RecordBatch.from_arrays([column for part in present for column in part], names)


@contextlib.contextmanager
def reading(raw: MonthFile) -> Iterator[None]:
    """Name the month in what goes wrong while its Parquet file is read.

    Raises
    ------
    ContractError
        If the file is gone, is no Parquet file, or is damaged. Other errors of the storage, such as
        a denied permission or a lost connection, are passed on: they may not last.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError | MemoryError) and not _is_of_the_file(error):
            raise
        raise damaged(
            raw,
            f"is not a readable Parquet file ({' '.join(str(error).split())})",
            "It may be truncated, or a web page in place of the file: fetch it again.",
        ) from error


def damaged(raw: MonthFile, rule: str, remedy: str) -> ContractError:
    """Return the error of a damaged file; one that was fetched is moved out of the way."""
    error = ContractError(described(raw), rule, remedy)
    if not discard_cached(UPath(raw.path), raw.url, error):
        return error
    again = "What was fetched has been moved aside: run the same again, and it is fetched anew."
    return ContractError(error.given, error.rule, again)


def described(raw: MonthFile) -> str:
    """A month as the user knows it."""
    return f"Month {raw.month} of {raw.service} ({raw.url})"


def _is_of_the_file(error: OSError | MemoryError) -> bool:
    # Arrow reports damaged pages as plain OSErrors without a number.
    of_pages = type(error) is OSError and error.errno is None
    return of_pages or isinstance(error, FileNotFoundError)


def _open(raw: MonthFile) -> Any:  # noqa: ANN401 - a file of Arrow's or of fsspec's
    path = UPath(raw.path)
    # Arrow reads its own files without waiting for the interpreter.
    return pa.OSFile(path.path) if path.protocol in LOCAL_PROTOCOLS else path.open("rb")

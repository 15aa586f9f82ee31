"""A month's file: what it says of itself, and its columns, a batch of rows at a time.

Arrow decodes the columns that are asked for, and only those; memory depends on the batch.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from trip_duration.errors import ContractError
from trip_duration.objects.files import LOCAL_PROTOCOLS
from trip_duration.trips.source import MonthFile

#: Bytes that are read of a column at once; a whole row group would be read otherwise.
_BUFFER = 2**20
#: Batches that are decoded while one is worked on; some take longer than others.
_AHEAD = 3


@dataclass(frozen=True)
class Footer:
    """What a month's file says of itself, without its rows.

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
        ahead = len(groups) > 1
        streams = [
            stack.enter_context(_decoded(raw, names, batch_rows, ahead=ahead)) for names in groups
        ]
        for parts in itertools.zip_longest(*streams):
            if len({0 if part is None else part.num_rows for part in parts}) > 1:
                raise pa.ArrowInvalid("its columns have different numbers of rows")
            names = [name for part in parts for name in part.schema.names]
            columns = [column for part in parts for column in part.columns]
            yield pa.RecordBatch.from_arrays(columns, names)


@contextlib.contextmanager
def _decoded(
    raw: MonthFile, names: Sequence[str], batch_rows: int, *, ahead: bool
) -> Generator[Iterator[pa.RecordBatch]]:
    with _open(raw) as file:
        parquet = pq.ParquetFile(
            file, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True
        )
        # Each column in a thread of its own would take half as much again of the processor, which
        # has other work, and memory in threads that nobody can make give it back.
        batches = parquet.iter_batches(batch_rows, columns=names, use_threads=False)
        if not ahead:
            yield batches
            return
        with ThreadPoolExecutor(1) as worker:
            yield _ahead(batches, worker)


def _ahead(batches: Iterator[pa.RecordBatch], worker: Executor) -> Iterator[pa.RecordBatch]:
    """The same batches; the next are decoded while one is worked on, the first from now on."""
    upcoming = deque(worker.submit(next, batches, None) for _ in range(_AHEAD))

    def in_turn() -> Iterator[pa.RecordBatch]:
        while (batch := upcoming.popleft().result()) is not None:
            upcoming.append(worker.submit(next, batches, None))
            yield batch

    return in_turn()


@contextlib.contextmanager
def reading(raw: MonthFile) -> Iterator[None]:
    """Name the month in what goes wrong while its Parquet file is read.

    Raises
    ------
    ContractError
        If the file is gone, is no Parquet file, or is damaged. What else the storage answers,
        such as a denied permission or a lost connection, is passed on: it may not last.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError | MemoryError) and not _is_of_the_file(error):
            raise
        raise ContractError(
            described(raw),
            f"is no readable Parquet file ({error})",
            "It may be truncated, or a web page in place of the file: fetch it again.",
        ) from error


def described(raw: MonthFile) -> str:
    """A month as the user knows it."""
    return f"Month {raw.month} of {raw.service} ({raw.url})"


def _is_of_the_file(error: OSError | MemoryError) -> bool:
    # Arrow reports damaged pages as plain OSErrors without a number.
    damaged = type(error) is OSError and error.errno is None
    return damaged or isinstance(error, FileNotFoundError)


def _open(raw: MonthFile) -> Any:  # noqa: ANN401 - a file of Arrow's or of fsspec's
    path = UPath(raw.path)
    # Arrow reads its own files without waiting for the interpreter.
    return pa.OSFile(path.path) if path.protocol in LOCAL_PROTOCOLS else path.open("rb")

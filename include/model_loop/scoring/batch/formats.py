"""The kinds of files, each a module with the same functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Protocol

from upath import UPath

from model_loop.scoring.batch import parquet, texts
from model_loop.scoring.batch.job import Chunk, Job
from model_loop.scoring.batch.rows import RawRows, ScoredRows
from model_loop.tables.opening import FileKind


class BatchFormat(Protocol):
    """Operations on a kind of file."""

    def cut_chunks(self, job: Job, chunk_rows: int) -> list[Chunk]:
        """Chunks of about so many rows."""

    def read_chunk(self, chunk: Chunk, wanted: Sequence[str] | None) -> Iterator[RawRows]:
        """The rows of a chunk, a batch at a time."""

    def part_writer(
        self, chunk: Chunk
    ) -> AbstractContextManager[Callable[[RawRows, ScoredRows], None]]:
        """Something to hand rows and their scores to."""

    def join_parts(self, job: Job, chunks: Sequence[Chunk], output: UPath, rejected: UPath) -> None:
        """Put the parts of all chunks together."""


FORMATS: Mapping[FileKind, BatchFormat] = MappingProxyType(
    {"parquet": parquet, "arrow": parquet, "csv": texts, "json_lines": texts}
)

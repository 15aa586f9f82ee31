"""Division of files into chunks."""

from __future__ import annotations

import difflib
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError, require_within
from model_loop.intervals.grid import DEFAULT_LEVEL, check_level
from model_loop.scoring.batch.formats import FORMATS
from model_loop.scoring.batch.job import Chunk, Job, added_names, identity_of, job_key
from model_loop.scoring.batch.results import require_free
from model_loop.scoring.batch.source import Rows, columns_of, prepare_source
from model_loop.scoring.columns import find_columns
from model_loop.scoring.paths import kind_of_name
from model_loop.scoring.predictor import RegisteredVersion
from model_loop.scoring.preprocessing import find_preprocessing

#: Airflow maps a task over 1,024 chunks at most.
MOST_CHUNKS = 1_000
LEAST_ROWS = 1_000

#: Folder of scored chunks, below the storage root.
SCORING_FOLDER = "scoring"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchRequest:
    """Files to score.

    Parameters
    ----------
    files
        Each with where its predictions go.
    version
        Version that predicts.
    columns
        The raw columns that it takes.
    chunk_rows
        Rows that are scored in one piece: by one task, and once more if it fails.
    overwrite
        Whether predictions that are there may be replaced.
    preprocessing
        Dotted name of the operator's own step; empty for none.
    level
        Percentage of true values that the intervals are to hold, from 50 to 99.
    explain
        Whether predictions are given with reasons.

    Raises
    ------
    InvalidInputError
        If there are more files than chunks, chunks are too small, or the level is out of its
        bounds.
    """

    files: Sequence[tuple[UPath, UPath]]
    version: RegisteredVersion
    columns: Sequence[str]
    chunk_rows: int = 250_000
    overwrite: bool = False
    preprocessing: str = ""
    level: float = DEFAULT_LEVEL
    explain: bool = False

    def __post_init__(self) -> None:
        """Check the bounds."""
        require_within("chunk_rows", self.chunk_rows, least=LEAST_ROWS)
        check_level(self.level)
        require_within("Number of files", len(self.files), least=1, most=MOST_CHUNKS)


def columns_in(dataset: Dataset, sources: Iterable[UPath], preprocessing: str) -> set[str]:
    """Return the raw columns that all files have; of an own preprocessing step, any may come.

    Raises
    ------
    InvalidInputError
        If a file cannot be read.
    """
    if preprocessing:
        return {*dataset.columns.names}
    found = (dataset.columns.given(columns_of(one, dataset)) for one in sources)
    return set.intersection(*found)


def _tell_of_absent(request: BatchRequest, source: UPath) -> None:
    """Log the columns that a version has learned from and a file lacks: they count as missing."""
    dataset = request.version.dataset
    if request.preprocessing:
        return
    names = columns_of(source, dataset)
    absent = sorted({*request.columns} & {*dataset.columns.names} - dataset.columns.given(names))
    unread = [name for name in names if name not in dataset.columns.by_any_name]
    for name in absent:
        near = difflib.get_close_matches(name, unread, 1)
        logger.warning(
            "%s has no column %s, which version %d has learned from: it counts as missing.%s",
            source,
            name,
            request.version.number,
            f" Is it {near[0]}?" if near else "",
        )


def plan_chunks(request: BatchRequest, storage_root: str) -> list[Chunk]:
    """Cut the files of a request into at most 1,000 chunks, at least one for each file.

    Parameters
    ----------
    storage_root
        Folder of the scored chunks, until they are joined.

    Raises
    ------
    InvalidInputError
        If a file cannot be read, lacks a column or holds no row, or predictions are there already.
    """
    for source, _ in request.files:
        _tell_of_absent(request, source)
    jobs = [_job(request, source, output, storage_root) for source, output in request.files]
    cut = [FORMATS[job.rows.kind].cut_chunks(job, request.chunk_rows) for job in jobs]
    for job, chunks in zip(jobs, cut, strict=True):
        if not any(chunk.rows for chunk in chunks):
            raise InvalidInputError(
                f"Input {job.source}",
                "holds no row, only the names of its columns",
                "Give a file with rows, or take this one out of the folder.",
            )
    # The room that is left when every file has its first chunk is shared by the others.
    further = sum(len(chunks) - 1 for chunks in cut)
    together = -(-further // max(MOST_CHUNKS - len(jobs), 1)) or 1
    return [chunk for chunks in cut for chunk in _merged(chunks, together)]


def _job(request: BatchRequest, source: UPath, output: UPath, storage_root: str) -> Job:
    step, dataset = find_preprocessing(request.preprocessing), request.version.dataset
    names = columns_of(source, dataset)
    added = added_names(dataset.target, names, explain=request.explain)
    if taken := [name for name in names if name in added]:
        raise InvalidInputError(
            f"Input {source}",
            f"has the column {taken[0]} already",
            "Score the file that these predictions were made of, or drop the column.",
        )
    if step is None:
        try:
            found = find_columns(dataset, names, request.columns)
        except InvalidInputError as error:
            # A folder has several.
            given = f"Input {source}: {error.given}"
            raise InvalidInputError(given, error.rule, error.remedy) from error
        if not found:
            raise InvalidInputError(
                f"Input {source}",
                f"has no column of the dataset {dataset.name}, only {', '.join(names)}",
                f"Its columns are {', '.join(dataset.columns.names)}.",
            )
    identity = identity_of(source)
    digest = f"{step.name} {step.digest}" if step else ""
    key = job_key(
        *(source, identity, request.version, digest, output, request.level),
        explain=request.explain,
    )
    folder = UPath(storage_root) / SCORING_FOLDER / key
    job = Job(
        key=key,
        source=str(source),
        output=str(output),
        identity=identity,
        version=request.version,
        preprocessing=request.preprocessing,
        folder=str(folder),
        overwrite=request.overwrite,
        rows=Rows(kind_of_name(source) or "csv", str(source)),
        asked_at=dataset.now(),
        level=request.level,
        explain=request.explain,
    )
    require_free(job)
    return replace(job, rows=prepare_source(source, folder, dataset))


def _merged(chunks: Sequence[Chunk], together: int) -> Iterator[Chunk]:
    """Merge the rows into fewer chunks."""
    for first in range(0, len(chunks), together):
        some = chunks[first : first + together]
        rows, lines = sum(chunk.rows for chunk in some), sum(chunk.lines for chunk in some)
        yield replace(some[0], rows=rows, lines=lines, last_byte=some[-1].last_byte)


def by_job(chunks: Iterable[Chunk]) -> Iterator[tuple[Job, list[Chunk]]]:
    """The chunks of each file."""
    for job, group in itertools.groupby(chunks, key=lambda chunk: chunk.job):
        yield job, list(group)

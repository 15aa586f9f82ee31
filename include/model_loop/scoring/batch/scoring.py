"""Chunks scored, and put together when all are there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from model_loop.errors import StoredObjectError
from model_loop.objects.files import atomic_write
from model_loop.scoring.batch.formats import FORMATS
from model_loop.scoring.batch.job import Chunk, ChunkResult, Job, JobResult
from model_loop.scoring.batch.results import find_result, keep_result
from model_loop.scoring.batch.rows import score_rows
from model_loop.scoring.batch.typed import frames_of
from model_loop.scoring.columns import Given
from model_loop.scoring.paths import rejected_of, to_path
from model_loop.scoring.predictor import Predictor
from model_loop.scoring.preprocessing import find_preprocessing
from model_loop.scoring.reasons import Explain

logger = logging.getLogger(__name__)


def is_scored(chunk: Chunk) -> bool:
    """Return whether nothing is left to do for a chunk."""
    return chunk.finished() is not None or find_result(chunk.job) is not None


def score_chunk(
    chunk: Chunk,
    predictor: Predictor,
    on_rows: Callable[[int], None] | None = None,
    explain: Explain | None = None,
) -> ChunkResult:
    """Score the rows of a chunk into its part, unless that was done before.

    Parameters
    ----------
    on_rows
        Called with the number of finished rows.
    explain
        Computes the reasons of the predictions, of a job that is to give them.

    Raises
    ------
    InvalidInputError
        If the file has changed since it was planned, or cannot be read.
    """
    if (done := chunk.finished()) is not None:
        return done
    assert (explain is not None) == chunk.job.explain
    chunk.job.require_unchanged()
    file, step = FORMATS[chunk.job.rows.kind], find_preprocessing(chunk.job.preprocessing)
    dataset = chunk.job.version.dataset
    wanted = predictor.columns if step is None else None
    as_frame = None if step is None else frames_of(chunk)
    rows, rejected, reason, notices = 0, 0, "", Counter[str]()
    with file.part_writer(chunk) as write:
        for raw in file.read_chunk(chunk, wanted):
            given: Given = raw.columns
            broken = raw.broken
            if step is not None and as_frame is not None:
                frame, broken = as_frame(raw)
                given = step(frame)
            scored = score_rows(
                dataset,
                given,
                broken,
                predictor,
                chunk.job.asked_at,
                chunk.job.level,
                explain,
            )
            write(raw, scored)
            rows, rejected = rows + len(raw), rejected + int(scored.rejected.sum())
            reason = reason or scored.first_reason
            notices += scored.counts
            if on_rows is not None:
                on_rows(len(raw))
    result = ChunkResult(rows, rejected, reason, dict(notices))
    chunk.finish(result)
    return result


def score_chunks(
    chunks: Sequence[Chunk],
    predictor: Predictor,
    on_rows: Callable[[int], None],
    explain: Explain | None = None,
    on_chunk: Callable[[ChunkResult, bool], None] | None = None,
) -> None:
    """Score chunks one after another; what was scored before stays.

    Parameters
    ----------
    on_rows
        Called with the number of finished rows, including those of earlier runs.
    explain
        See `score_chunk`.
    on_chunk
        Called with each finished chunk, and whether it was scored now.

    Raises
    ------
    InvalidInputError
        See `score_chunk`.
    """
    for chunk in chunks:
        known = is_scored(chunk)
        if known:
            on_rows(chunk.rows)
            result = chunk.finished()
        else:
            result = score_chunk(chunk, predictor, on_rows, explain)
        if on_chunk is not None and result is not None:
            on_chunk(result, not known)


def join_chunks(job: Job, chunks: Sequence[Chunk]) -> JobResult:
    """Make the output appear, when every chunk of the job is scored.

    The rows that could not be predicted are there before it, so that it says that all is done.

    Raises
    ------
    StoredObjectError
        If a chunk is not scored, or rows are missing.
    InvalidInputError
        If the file has changed since it was planned.
    """
    if (known := find_result(job)) is not None:
        job.remove_copy()
        return known
    job.require_unchanged()
    result = _result(job, [_require_scored(chunk) for chunk in chunks])
    output, rejected = to_path(job.output), rejected_of(to_path(job.output))
    with atomic_write(output) as whole:
        with atomic_write(rejected) as side:
            FORMATS[job.rows.kind].join_parts(job, chunks, whole, side)
        if not result.rejected_rows:
            rejected.unlink()
        # If the process is killed from here on, the output is complete and recorded.
        keep_result(job, result, whole)
    keep_result(job, result, output)
    for chunk in chunks:
        chunk.remove()
    job.remove_copy()
    return result


def _result(job: Job, found: Sequence[ChunkResult]) -> JobResult:
    rows, rejected_rows = sum(one.rows for one in found), sum(one.rejected for one in found)
    output = to_path(job.output)
    return JobResult(
        input=job.source,
        output=str(output),
        rejected=str(rejected_of(output)) if rejected_rows else None,
        rows=rows,
        predicted_rows=rows - rejected_rows,
        rejected_rows=rejected_rows,
        model=job.version.name,
        model_version=job.version.number,
        reason=next((one.reason for one in found if one.reason), ""),
        notices=dict(sum((Counter(one.notices) for one in found), Counter[str]())),
    )


def _require_scored(chunk: Chunk) -> ChunkResult:
    result = chunk.finished()
    if result is None or result.rows != chunk.rows:
        raise StoredObjectError(
            f"The scored rows of {chunk.title}",
            "are gone" if result is None else f"are {result.rows}, not {chunk.rows}",
            "Clear the tasks that score chunks, or start again.",
        )
    return result

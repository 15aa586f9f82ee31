"""Predictions that are there: whose they are, and whether they may be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.store import write_bytes
from model_loop.scoring.answers import IDENTIFIER
from model_loop.scoring.batch.job import REASON, Job, JobResult, identity_of
from model_loop.scoring.batch.source import columns_of
from model_loop.scoring.paths import rejected_of, to_path


@dataclass(frozen=True)
class KeptResult:
    """Result of a job, and the file that it has made.

    Parameters
    ----------
    result
        Result of the job.
    output
        Identity of the file as it was written.
    """

    result: JobResult
    output: str


def find_result(job: Job) -> JobResult | None:
    """Return the result of a job if its output still exists unchanged."""
    output = to_path(job.output)
    if not output.exists():
        return None
    kept = read_document(_entry(job), _kept)
    return kept.result if kept is not None and kept.output == identity_of(output) else None


def _kept(stored: dict[str, Any]) -> KeptResult:
    # Versions before 0.2 have written fields alone.
    if "format" not in stored:
        stored = {**stored, "result": record_of(JobResult, stored["result"])}
    return record_of(KeptResult, stored)


def keep_result(job: Job, result: JobResult, written: UPath) -> None:
    """Remember what a job came to, and the output as it was written."""
    write_bytes(_entry(job), text_of(KeptResult(result, identity_of(written))).encode())


def require_free(job: Job) -> None:
    """Refuse a job whose output would replace what it must not.

    Raises
    ------
    InvalidInputError
        If there are predictions of another job and `overwrite` was not asked for, or a file that
        holds no predictions.
    """
    if find_result(job) is not None:
        return
    output = to_path(job.output)
    for path, column in ((output, IDENTIFIER), (rejected_of(output), REASON)):
        if not path.exists():
            continue
        if not job.overwrite:
            raise InvalidInputError(
                f"Output {path}", "exists", "Choose another output, or overwrite it."
            )
        if column not in columns_of(path):
            raise InvalidInputError(
                f"Output {path}",
                f"exists and has no column {column}, so it was not made by batch scoring",
                "Choose another output: only predictions are overwritten.",
            )


def require_predictions(results: Sequence[JobResult]) -> None:
    """Refuse files with rows of which none could be predicted; the results stay where they are.

    Raises
    ------
    InvalidInputError
        If there is such a file.
    """
    refused = [result for result in results if result.refused]
    if refused:
        first, others = refused[0], len(refused) - 1
        raise InvalidInputError(
            f"Input {first.input}" + (f" and {others} more" if others else ""),
            f"holds no row that could be predicted, of {first.rows:,}; the first: {first.reason}",
            f"The rows and the reasons are in {first.rejected}.",
        )


def _entry(job: Job) -> UPath:
    return UPath(job.folder) / "result.json"

"""Batch jobs: the chunks to score, and the results of those that are scored."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field

from upath import UPath

from model_loop.datasets.dataset import Target
from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.store import write_bytes
from model_loop.scoring.answers import (
    ASSUMED,
    IDENTIFIER,
    NOTICES,
    PREDICTION,
    UNIT_NAME,
    VERSION,
)
from model_loop.scoring.batch.source import Rows
from model_loop.scoring.limits import class_names, limit_names
from model_loop.scoring.paths import to_path
from model_loop.scoring.predictor import RegisteredVersion
from model_loop.scoring.reasons import REASONS

#: Raised whenever the same rows would be scored into other files.
SCORING_VERSION = 7

#: The columns that a file of rejected rows has before its own.
ROW, REASON = "row", "reason"


def added_names(
    target: Target, names: Collection[str] = (), *, explain: bool = False
) -> tuple[str, ...]:
    """Return the columns that a scored file has besides its own, the older name last.

    Parameters
    ----------
    names
        Its own columns. Those of limits and classes may have the same names; see `limit_names`.
    explain
        Whether the file is to hold reasons.
    """
    answer = (PREDICTION, UNIT_NAME, IDENTIFIER, VERSION)
    reasons = (REASONS,) if explain else ()
    former = (f"predicted_{target.former}",) if target.former else ()
    several = target.kind == "multiclass"
    classes = class_names(names, several=several) if target.is_classified else ()
    return (*answer, *limit_names(names), *classes, ASSUMED, NOTICES, *reasons, *former)


def rejected_names(names: Collection[str]) -> tuple[str, str]:
    """Return what row and reason are called beside these columns, which may have the same names."""

    def free(name: str) -> str:
        return free(f"rejected_{name}") if name in names else name

    return free(ROW), free(REASON)


#: Facts that distinguish one content of a file from another, as far as a storage gives them.
_MARKS = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "md5")


@dataclass(frozen=True)
class Job:
    """One file to score by one version.

    Parameters
    ----------
    key
        Digest of the input's identity, the version, the preprocessing and the output: a job with
        the same key finds the chunks that were scored before.
    source, output
        Input file, and output file with its predictions.
    identity
        Fingerprint of the content at ``source``.
    version
        Version of the model.
    preprocessing
        Dotted name of the operator's own step; empty if there is none.
    folder
        Folder of the scored chunks, until they are joined.
    overwrite
        Whether predictions that are there may be replaced.
    rows
        Where its rows are read from.
    asked_at
        Time of planning, on the clocks of the table: the present moment of its rows.
    level
        Percentage of true values that the intervals are to hold.
    explain
        Whether its predictions are given with reasons.
    """

    key: str
    source: str
    output: str
    identity: str
    version: RegisteredVersion
    preprocessing: str
    folder: str
    overwrite: bool
    rows: Rows
    asked_at: dt.datetime | None = field(default=None, compare=False)
    level: float = DEFAULT_LEVEL
    explain: bool = False

    def remove_copy(self) -> None:
        """Remove the plain copy of the rows, if there is one."""
        if self.rows.address != self.source:
            UPath(self.rows.address).unlink(missing_ok=True)

    def require_unchanged(self) -> None:
        """Refuse a file that has changed since the job was planned.

        Raises
        ------
        InvalidInputError
            If it has changed since.
        """
        if identity_of(to_path(self.source)) != self.identity:
            raise InvalidInputError(
                f"Input {self.source}",
                "has changed since its chunks were planned",
                "Start again: it is scored from the beginning.",
            )

    def require_all(self, what: str, *, planned: int, written: int) -> None:
        """Refuse to hand out results that hold more or less than the file.

        Raises
        ------
        StoredObjectError
            If two ways of counting the same file differ.
        """
        if planned != written:
            raise StoredObjectError(
                f"The results of {self.source}",
                f"hold {written:,} {what}, and the file {planned:,}",
                "Report this as a defect, with the file's header and some of its rows.",
            )


@dataclass(frozen=True)
class Chunk:
    """Successive rows of a job.

    Parameters
    ----------
    job
        Job of the chunk.
    first_row, rows
        First row, and number of rows.
    first_byte, last_byte
        Texts: where they begin and end in the file.
    lines
        Texts: the lines between these, counted by their ends alone: a second count beside the rows.
    """

    job: Job
    first_row: int
    rows: int
    first_byte: int = 0
    last_byte: int = 0
    lines: int = 0

    @property
    def title(self) -> str:
        """For people."""
        last = self.first_row + self.rows
        return f"{to_path(self.job.source).name} {self.first_row:,} to {last:,}"

    def part(self, kind: str = "") -> UPath:
        """Return the path of one of its intermediate files."""
        return UPath(self.job.folder) / f"{self._name}{kind}.{self.job.rows.kind}"

    def finished(self) -> ChunkResult | None:
        """Return the result of the chunk, if it was scored before."""
        return read_document(self._marker, lambda stored: record_of(ChunkResult, stored))

    def finish(self, result: ChunkResult) -> None:
        """Say that every file of the chunk is there."""
        write_bytes(self._marker, text_of(result).encode())

    def remove(self) -> None:
        """Remove every file of the chunk, and first what says that they are there."""
        self._marker.unlink(missing_ok=True)
        for path in UPath(self.job.folder).glob(f"{self._name}*"):
            path.unlink(missing_ok=True)

    @property
    def _name(self) -> str:
        # Named by its rows: a file that is cut in another way has other parts.
        return f"rows-{self.first_row:012d}-{self.rows}"

    @property
    def _marker(self) -> UPath:
        return UPath(self.job.folder) / f"{self._name}.json"


@dataclass(frozen=True)
class ChunkResult:
    """Result of a chunk.

    Parameters
    ----------
    rows, rejected
        Number of rows, and of those that could not be predicted.
    reason
        Reason why the first of those could not be predicted; empty if all could.
    notices
        Number of rows with each notice, as ``column: code``.
    """

    rows: int
    rejected: int
    reason: str = ""
    notices: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class JobResult:
    """Result of a job.

    Parameters
    ----------
    input, output
        The file, and the file with its predictions.
    rejected
        The file of the rows that could not be predicted; None where all could.
    rows, predicted_rows, rejected_rows
        Number of rows in each.
    model, model_version
        Model and version of the predictions.
    reason
        Reason why the first rejected row could not be predicted; empty if all could.
    notices
        Number of predicted rows with each notice, as ``column: code``.
    """

    input: str
    output: str
    rejected: str | None
    rows: int
    predicted_rows: int
    rejected_rows: int
    model: str
    model_version: int
    reason: str = field(default="", compare=False)
    notices: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def refused(self) -> bool:
        """True if there are rows, and none of them could be predicted."""
        return self.rows > 0 and not self.predicted_rows

    @property
    def noticed(self) -> str:
        """Number of rows with each notice, for people."""
        return ", ".join(f"{name} in {rows:,} rows" for name, rows in self.notices.items())


def identity_of(path: UPath) -> str:
    """Return a fingerprint of the file's content, without reading it."""
    # A cached listing may be outdated.
    path.fs.invalidate_cache(path.path)
    info = path.fs.info(path.path)
    return json.dumps({name: str(info[name]) for name in _MARKS if name in info}, sort_keys=True)


def job_key(
    source: UPath,
    identity: str,
    version: RegisteredVersion,
    step: str,
    output: UPath,
    level: float = DEFAULT_LEVEL,
    *,
    explain: bool = False,
) -> str:
    """Digest of everything that the scored chunks of a file depend on, and of where they go."""
    content = [SCORING_VERSION, str(source), identity, version.name, version.number, step, level]
    further = [REASONS] if explain else []
    told = json.dumps([*content, str(output), *further])
    return hashlib.sha256(told.encode()).hexdigest()[:32]

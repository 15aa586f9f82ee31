"""Accepted files, each in a folder that appears completely or not at all.

::

    <folder>/<digest of the token's name>/<id>/
        batch.json      the request, written before it is accepted, and never again
        rows.csv        the file as it was sent
        progress.json   written by the process that scores it
        cancelled       there once it was cancelled
        rows.predictions.csv, rows.rejected.csv
        scoring/        chunks until they are joined

A token sees its own folder and no other one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from upath import UPath

from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import ErrorFields
from model_loop.objects.store import write_bytes

#: States of a batch; the last three are final.
BatchState = Literal["waiting", "running", "done", "failed", "cancelled"]
FINAL: tuple[BatchState, ...] = get_args(BatchState)[2:]

BATCH_ID = re.compile(r"\A[0-9a-f]{32}\Z")
_RECORD, _PROGRESS, _CANCELLED = "batch.json", "progress.json", "cancelled"
#: Folder of files that are still coming; such as are older were left by a killed server.
_INCOMING = ".incoming"
_CALLER_LENGTH = 32

logger = logging.getLogger(__name__)


class BatchRecord(msgspec.Struct, frozen=True):
    """A request as it was accepted.

    Parameters
    ----------
    id
        Its id, 32 hexadecimal digits.
    caller, service
        Name of the token, and key of the variant.
    source
        Name of the file in the folder of the batch, or address of a file that was named.
    digest
        Digest of the bytes and of the options: a request with the same key has to have the same.
    name, size
        Name that the caller has given, and bytes.
    created
        Seconds since 1970.
    rows
        Number of rows, as far as the file itself says it.
    moment, level, explain
        Options of the predictions.
    """

    id: str
    caller: str
    service: str
    source: str
    digest: str
    name: str
    size: int
    created: float
    rows: int | None = None
    moment: str | None = None
    level: float | None = None
    explain: bool = False
    format: Literal["batch/1"] = "batch/1"


class BatchProgress(msgspec.Struct, frozen=True):
    """Progress of a batch, as the scoring process reports it.

    Parameters
    ----------
    state
        State of the batch.
    rows
        Number of rows; None until they were counted.
    read, predicted, rejected
        Number of rows that were read, and of those that were predicted or could not be.
    model_version
        Version that predicts.
    attempts
        Number of processes that have begun it since a chunk was finished.
    error
        Why it has failed.
    result, rejected_rows
        Names of the files of results in the folder of the batch; empty where there is none.
    """

    state: BatchState = "waiting"
    rows: int | None = None
    read: int = 0
    predicted: int = 0
    rejected: int = 0
    model_version: int | None = None
    attempts: int = 0
    error: ErrorFields | None = None
    result: str = ""
    rejected_rows: str = ""
    format: Literal["batch_progress/1"] = "batch_progress/1"


class KeyTakenError(Exception):
    """Another request was accepted with the same id."""


@dataclass(frozen=True)
class AcceptedBatch:
    """A batch that was accepted.

    Parameters
    ----------
    folder
        Folder of the batch.
    record
        Its request.
    """

    folder: Path
    record: BatchRecord

    @property
    def source(self) -> str:
        """Path or address of the file."""
        named = self.record.source
        return named if "://" in named or named.startswith("/") else str(self.folder / named)

    @property
    def cancelled(self) -> bool:
        """True once it was cancelled, or removed."""
        return (self.folder / _CANCELLED).exists() or not (self.folder / _RECORD).exists()

    def progress(self) -> BatchProgress:
        """Return how far it is; a file that cannot be read counts as none."""
        told = BatchProgress(rows=self.record.rows)
        with contextlib.suppress(FileNotFoundError):
            try:
                content = (self.folder / _PROGRESS).read_bytes()
                told = msgspec.json.decode(content, type=BatchProgress)
            except msgspec.MsgspecError as error:
                logger.warning("%s cannot be read: %s", self.folder / _PROGRESS, error)
        if self.cancelled and told.state not in FINAL:
            told = msgspec.structs.replace(told, state="cancelled")
        return told

    def tell(self, progress: BatchProgress) -> None:
        """Write how far it is; nothing is written of a batch that was removed."""
        if self.folder.exists():
            write_bytes(UPath(self.folder / _PROGRESS), msgspec.json.encode(progress))

    def cancel(self) -> None:
        """End it, unless it is done; its file goes at once."""
        (self.folder / _CANCELLED).touch()
        self.drop_files()

    def drop_files(self) -> None:
        """Remove the file and all that was made of it."""
        shutil.rmtree(self.folder / "scoring", ignore_errors=True)
        for path in self.folder.iterdir():
            if path.name not in {_RECORD, _PROGRESS, _CANCELLED} and path.is_file():
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of it: first what says that it is there."""
        (self.folder / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class BatchStore:
    """Accepted batches of one server, or of several that share a folder.

    Parameters
    ----------
    folder
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """Make a folder for a file that is coming; it goes, unless the batch is accepted."""
        folder = self.folder / _INCOMING / uuid.uuid4().hex
        folder.mkdir(mode=0o700, parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def accept(self, folder: Path, record: BatchRecord) -> AcceptedBatch:
        """Accept a batch whose file is in a folder of `incoming`; a repeated one is returned.

        Everything is on the disk before it returns.

        Raises
        ------
        KeyTakenError
            If another request was accepted with this id.
        """
        target = self._folder_of(record.caller) / record.id
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _RECORD).write_bytes(msgspec.json.encode(record))
        for path in (*folder.iterdir(), folder):
            _sync(path)
        try:
            folder.rename(target)
        except OSError as error:
            # A folder with something in it is never replaced.
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            known = self._read(target)
            if known is None or known.record.digest != record.digest:
                raise KeyTakenError from error
            return known
        _sync(target.parent)
        return AcceptedBatch(target, record)

    def find(
        self, identifier: str, caller: str, *, everywhere: bool = False
    ) -> AcceptedBatch | None:
        """Return a batch; None if there is none, or it is another caller's.

        Parameters
        ----------
        everywhere
            Whether those of other callers may be seen.
        """
        if not BATCH_ID.match(identifier):
            return None
        if (own := self._read(self._folder_of(caller) / identifier)) or not everywhere:
            return own
        others = (self._read(path) for path in self.folder.glob(f"[0-9a-f]*/{identifier}"))
        return next((one for one in others if one is not None), None)

    def listed(self, caller: str | None = None) -> list[AcceptedBatch]:
        """Return the batches of a caller, or of all, in the order in which they came."""
        callers = self.folder.glob("[0-9a-f]*") if caller is None else [self._folder_of(caller)]
        found = (
            self._read(path)
            for folder in callers
            if folder.is_dir()
            for path in folder.iterdir()
            if BATCH_ID.match(path.name)
        )
        return sorted(
            (one for one in found if one is not None),
            key=lambda one: (one.record.created, one.record.id),
        )

    def pending(self) -> list[AcceptedBatch]:
        """Return the batches that are not finished, in the order in which they came."""
        return [one for one in self.listed() if one.progress().state not in FINAL]

    def remove_expired(self, days: float) -> int:
        """Remove batches that are finished and older, and files that never came whole.

        Returns
        -------
        int
            Number of batches that were removed.
        """
        oldest, removed = time.time() - days * SECONDS_PER_DAY, 0
        for one in self.listed():
            if one.record.created < oldest and one.progress().state in FINAL:
                one.remove()
                removed += 1
        for folder in (self.folder / _INCOMING).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if folder.stat().st_mtime < time.time() - SECONDS_PER_DAY:
                    shutil.rmtree(folder, ignore_errors=True)
        return removed

    def _folder_of(self, caller: str) -> Path:
        return self.folder / hashlib.sha256(caller.encode()).hexdigest()[:_CALLER_LENGTH]

    def _read(self, folder: Path) -> AcceptedBatch | None:
        try:
            content = (folder / _RECORD).read_bytes()
            return AcceptedBatch(folder, msgspec.json.decode(content, type=BatchRecord))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except msgspec.MsgspecError as error:
            logger.warning("%s cannot be read: %s", folder / _RECORD, error)
            return None


def batch_id(caller: str, service: str, key: str) -> str:
    """Return the id of a request with a key: the same for the same."""
    told = json.dumps([caller, service, key])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def request_digest(content: str, options: Any) -> str:  # noqa: ANN401 - any JSON
    """Return a digest of the bytes of a file, or of its address, and of the options."""
    return hashlib.sha256(json.dumps([content, options]).encode()).hexdigest()


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

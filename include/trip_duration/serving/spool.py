"""Predictions that were answered and are not in the database yet, out of the reach of `kill -9`.

Each is appended to a file before its answer leaves, without waiting for the disk: the kernel keeps
what a killed process has written, though not through a power cut. Whoever starts next on the same
folder takes over what nobody holds any more.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

_SUFFIX = ".spool"
#: Bytes of the number that says how long a record is.
_LENGTH = 4

logger = logging.getLogger(__name__)

Record = TypeVar("Record")


class Spool(Generic[Record]):
    """Records that are kept until they are written elsewhere.

    Two files take turns: one takes what comes while the other is written elsewhere. Both are locked
    as long as the process lives.

    Parameters
    ----------
    folder
        Where the files are, those of other processes among them.
    kind
        Type of a record, as msgspec decodes it.
    """

    def __init__(self, folder: Path, kind: type[Record]) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        self._folder = folder
        self._own = [folder / f"{name}-{number}{_SUFFIX}" for number in range(2)]
        self._files = [_lock(path) for path in self._own]
        self._sizes = [0, 0]
        self._now = 0
        self._inherited: list[tuple[Path, int]] = []
        self._encode: Callable[[Record], bytes] = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._decode: Callable[[bytes], Record] = msgspec.msgpack.Decoder(kind).decode
        self._turn = threading.Lock()
        self._failing = False

    def keep(self, record: Record) -> None:
        """Keep a record; where the disk does not take it, it is in memory alone."""
        payload = self._encode(record)
        frame = len(payload).to_bytes(_LENGTH) + payload
        with self._turn:
            file, size = self._files[self._now], self._sizes[self._now]
            written, problem = _append(file, frame, size)
            if problem and not self._failing:
                logger.warning("Predictions are kept in memory alone: %s", problem)
            self._failing = bool(problem)
            self._sizes[self._now] = size + written

    def begin(self) -> None:
        """All that was kept until now is about to be written elsewhere."""
        with self._turn:
            other = 1 - self._now
            # While the last turn is not done, its file keeps what it holds.
            if self._sizes[self._now] and not self._sizes[other]:
                self._now = other

    def written(self) -> None:
        """All that was kept before the turn began is written elsewhere."""
        other = 1 - self._now
        if self._sizes[other]:
            os.ftruncate(self._files[other], 0)
            self._sizes[other] = 0
        while self._inherited:
            path, file = self._inherited.pop()
            path.unlink(missing_ok=True)
            os.close(file)

    def inherit(self) -> list[Record]:
        """Take over what ended processes have left."""
        found: list[Record] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if path not in self._own and (file := _lock_abandoned(path)) is not None:
                found += self._records(path)
                self._inherited.append((path, file))
        return found

    def close(self) -> None:
        """End; the files go, unless they hold what is written nowhere else."""
        for path, file, size in zip(self._own, self._files, self._sizes, strict=True):
            if not size:
                path.unlink(missing_ok=True)
            os.close(file)
        for _, file in self._inherited:
            os.close(file)

    def _records(self, path: Path) -> Iterator[Record]:
        data = path.read_bytes()
        while len(data) > _LENGTH:
            end = _LENGTH + int.from_bytes(data[:_LENGTH])
            if len(data) < end:
                # The process was killed while it wrote; nobody has got this answer.
                return
            try:
                yield self._decode(data[_LENGTH:end])
            except msgspec.MsgspecError as error:
                logger.warning("A record of %s cannot be read: %s", path, error)
            data = data[end:]


def _append(file: int, frame: bytes, size: int) -> tuple[int, str]:
    """Append a record or nothing to a file of a size; how many bytes, and what went wrong."""
    try:
        if os.write(file, frame) == len(frame):
            return len(frame), ""
        # Half a record would hide those after it.
        os.ftruncate(file, size)
    except OSError as error:
        return 0, str(error)
    return 0, "the disk is full"


def _lock(path: Path) -> int:
    while True:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        # Before it was locked, somebody may have taken it for one that was left.
        if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
            return file
        os.close(file)


def _lock_abandoned(path: Path) -> int | None:
    """The file, locked; None if its process lives, or another one has taken it over."""
    try:
        file = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    if not path.exists():
        os.close(file)
        return None
    return file


def _plain(number: Any) -> Any:  # noqa: ANN401 - NumPy's numbers give their plain value
    return number.item()

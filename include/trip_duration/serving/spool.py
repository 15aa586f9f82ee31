"""Predictions that were answered and are not in the database yet, out of the reach of `kill -9`.

Each is copied into a file that is mapped into memory before its answer leaves. That takes no call
of the kernel, which nevertheless keeps what a killed process has written, though not through a
power cut. Whoever starts next on the same folder takes over what nobody holds any more.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from upath import UPath

from trip_duration.objects.documents import move_aside

_SUFFIX = ".spool"
#: Room of one file: 100,000 predictions.
_BYTES = 2**24
#: Bytes of the number that says how long a record is; zero stands behind the last one.
_LENGTH = 4
_END = bytes(_LENGTH)

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
    room
        Bytes of one file; what comes beyond is in memory alone.

    Raises
    ------
    OSError
        If the folder cannot be written, or the disk has no room.
    """

    def __init__(self, folder: Path, kind: type[Record], room: int = _BYTES) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        self._folder = folder
        self._room = room
        self._own = [folder / f"{name}-{number}{_SUFFIX}" for number in range(2)]
        self._files = [_lock(path) for path in self._own]
        try:
            self._memory = [_mapped(file, room) for file in self._files]
        except OSError:
            for path, file in zip(self._own, self._files, strict=True):
                path.unlink()
                os.close(file)
            raise
        self._sizes = [0, 0]
        self._now = 0
        self._inherited: list[tuple[Path, int]] = []
        #: Those of the inherited files that hold records which cannot be read.
        self._damaged: set[Path] = set()
        self._encode: Callable[[Record], bytes] = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._decode: Callable[[bytes], Record] = msgspec.msgpack.Decoder(kind).decode
        self._turn = threading.Lock()
        self._full = False

    def keep(self, record: Record) -> None:
        """Keep a record; where there is no room, it is in memory alone."""
        payload = self._encode(record)
        with self._turn:
            memory, size = self._memory[self._now], self._sizes[self._now]
            begin = size + _LENGTH
            end = begin + len(payload)
            if end + _LENGTH > self._room:
                if not self._full:
                    logger.warning("Predictions are kept in memory alone: %s is full", self._folder)
                self._full = True
                return
            # The length comes last: without it, there is no record.
            memory[begin : end + _LENGTH] = payload + _END
            memory[size:begin] = len(payload).to_bytes(_LENGTH)
            self._sizes[self._now] = end

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
            self._memory[other][:_LENGTH] = _END
            self._sizes[other] = 0
            self._full = False
        while self._inherited:
            path, file = self._inherited.pop()
            if path in self._damaged:
                move_aside(UPath(path), ValueError("some of its predictions are lost"))
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
        for path, file, memory, size in zip(
            self._own, self._files, self._memory, self._sizes, strict=True
        ):
            if not size:
                path.unlink(missing_ok=True)
            memory.close()
            os.close(file)
        for _, file in self._inherited:
            os.close(file)

    def _records(self, path: Path) -> Iterator[Record]:
        data, begin = path.read_bytes(), _LENGTH
        while length := int.from_bytes(data[begin - _LENGTH : begin]):
            try:
                yield self._decode(data[begin : begin + length])
            except msgspec.MsgspecError as error:
                logger.warning("A record of %s cannot be read: %s", path, error)
                self._damaged.add(path)
            begin += length + _LENGTH


def _mapped(file: int, room: int) -> mmap.mmap:
    # On a disk that is full, writing to memory that has no place there would end the process. Zeros
    # take the place on every system.
    with os.fdopen(os.dup(file), "wb") as whole:
        whole.write(bytes(room))
    return mmap.mmap(file, room)


def _lock(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
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

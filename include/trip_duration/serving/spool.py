"""Predictions that were answered and are not in the database yet, out of the reach of `kill -9`.

Each is copied into a file that is mapped into memory before its answer leaves. That takes no call
of the kernel, which nevertheless keeps what a killed process has written, though not through a
power cut. The next server on the same folder takes over what nobody holds any more. What could not
be kept is counted in the same memory, so that a killed process leaves the number of its losses too.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import stat
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from upath import UPath

from trip_duration.objects.documents import move_aside

_SUFFIX = ".spool"
#: Room for one prediction, which takes about 160 bytes and its caller's key.
RECORD_BYTES = 256
#: Room of a file, if nothing else is said.
_BYTES = 2**24
#: First bytes of a file; what was written before there were any begins with a record.
_FORMAT = b"spool/2\n"
#: Bytes of the number of losses, which stands behind them.
_LOST = 8
_HEAD = len(_FORMAT) + _LOST
#: Bytes of the number that says how long a record is; zero stands behind the last one.
_LENGTH = 4
_END = bytes(_LENGTH)
#: A larger number of losses is damage: the database takes none.
_MOST_LOST = 2**31 - 1
#: Characters of the name of a spool that the database takes.
_NAME = 40

logger = logging.getLogger(__name__)

Record = TypeVar("Record")


class Inherited(NamedTuple, Generic[Record]):
    """Left by processes that have ended.

    Parameters
    ----------
    records
        Kept, and perhaps not written elsewhere.
    lost
        Number of records that could not be kept, by the name of their spool.
    """

    records: list[Record]
    lost: dict[str, int]


class Spool(Generic[Record]):
    """Records that are kept until they are written elsewhere.

    Two files take turns: one takes what comes while the other is written elsewhere. Both are locked
    as long as the process lives. The first one counts the records that could not be kept.

    Parameters
    ----------
    folder
        Where the files are, those of other processes among them.
    kind
        Type of a record, as msgspec decodes it.
    room
        Bytes of one file; what comes beyond is not kept.

    Attributes
    ----------
    name
        Tells this spool from every other one.

    Raises
    ------
    OSError
        If the folder cannot be written, or the disk has no room.
    """

    def __init__(self, folder: Path, kind: type[Record], room: int = _BYTES) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        self._folder = folder
        self._room = _HEAD + room
        self._own = [folder / f"{name}-{number}{_SUFFIX}" for number in range(2)]
        self.name = self._own[0].stem
        self._lost = 0
        self._files = [_lock(path) for path in self._own]
        try:
            self._memory = [_mapped(file, self._room) for file in self._files]
        except OSError:
            for path, file in zip(self._own, self._files, strict=True):
                path.unlink()
                os.close(file)
            raise
        self._sizes = [_HEAD, _HEAD]
        self._now = 0
        self._inherited: list[tuple[Path, int]] = []
        #: Those of the inherited files that hold records which cannot be read.
        self._damaged: set[Path] = set()
        self._encode: Callable[[Record], bytes] = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._decode: Callable[[bytes], Record] = msgspec.msgpack.Decoder(kind).decode
        self._turn = threading.Lock()
        self._full = False

    def keep(self, record: Record) -> bool:
        """Keep a record; return False where there is no room."""
        payload = self._encode(record)
        with self._turn:
            memory, size = self._memory[self._now], self._sizes[self._now]
            begin = size + _LENGTH
            end = begin + len(payload)
            if end + _LENGTH > self._room:
                if not self._full:
                    logger.warning("Predictions are lost and counted: %s is full", self._folder)
                self._full = True
                return False
            # The length comes last: without it, there is no record.
            memory[begin : end + _LENGTH] = payload + _END
            memory[size:begin] = len(payload).to_bytes(_LENGTH)
            self._sizes[self._now] = end
        return True

    def count_lost(self, count: int) -> int:
        """Count records that could not be kept; return how many there are in all."""
        with self._turn:
            self._lost += count
            self._memory[0][len(_FORMAT) : _HEAD] = self._lost.to_bytes(_LOST)
            return self._lost

    def begin(self) -> None:
        """All that was kept until now is about to be written elsewhere."""
        with self._turn:
            other = 1 - self._now
            # While the last turn is not done, its file keeps what it holds.
            if self._sizes[self._now] > _HEAD and self._sizes[other] == _HEAD:
                self._now = other

    def written(self) -> None:
        """All that was kept before the turn began is written elsewhere."""
        other = 1 - self._now
        if self._sizes[other] > _HEAD:
            self._memory[other][_HEAD : _HEAD + _LENGTH] = _END
            self._sizes[other] = _HEAD
            self._full = False
        while self._inherited:
            path, file = self._inherited.pop()
            try:
                if path in self._damaged:
                    move_aside(UPath(path), ValueError("some of it is lost"))
                path.unlink(missing_ok=True)
            except OSError as error:
                # The next server takes it over again.
                logger.warning("%s cannot be removed: %s", path, error)
            os.close(file)

    def inherit(self) -> Inherited[Record]:
        """Take over what ended processes have left."""
        found: Inherited[Record] = Inherited([], {})
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if path not in self._own and (file := _lock_abandoned(path)) is not None:
                with os.fdopen(os.dup(file), "rb") as whole:
                    data, first = whole.read(), 0
                if data.startswith(_FORMAT):
                    first = _HEAD
                    lost = int.from_bytes(data[len(_FORMAT) : _HEAD])
                    if lost > _MOST_LOST:
                        logger.warning("The number of losses in %s cannot be read", path)
                        self._damaged.add(path)
                    elif lost:
                        found.lost[path.stem[:_NAME]] = lost
                found.records.extend(self._records(path, data[first:]))
                self._inherited.append((path, file))
        return found

    def close(self, *, told: int = 0) -> None:
        """End; the files go, unless they hold what is written nowhere else.

        Parameters
        ----------
        told
            Losses that are written elsewhere.
        """
        for path, file, memory, size in zip(
            self._own, self._files, self._memory, self._sizes, strict=True
        ):
            counts = path is self._own[0] and self._lost > told
            if size == _HEAD and not counts:
                path.unlink(missing_ok=True)
            memory.close()
            os.close(file)
        for _, file in self._inherited:
            os.close(file)

    def _records(self, path: Path, data: bytes) -> Iterator[Record]:
        begin = _LENGTH
        while length := int.from_bytes(data[begin - _LENGTH : begin]):
            try:
                yield self._decode(data[begin : begin + length])
            except (msgspec.MsgspecError, ValueError) as error:
                # Of bytes that are no text, msgspec tells as Python does.
                logger.warning("A record of %s cannot be read: %s", path, error)
                self._damaged.add(path)
            begin += length + _LENGTH


def _mapped(file: int, room: int) -> mmap.mmap:
    # On a disk that is full, writing to memory that has no place there would end the process. Zeros
    # take the place on every system.
    with os.fdopen(os.dup(file), "wb") as whole:
        whole.write(_FORMAT + bytes(room - len(_FORMAT)))
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
    """The file, locked; None if its process lives, another one has taken it over, or it is none."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s cannot be opened: %s", path, error)
        return None
    if stat.S_ISREG(os.fstat(file).st_mode):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                return file
        except BlockingIOError:
            pass
    os.close(file)
    return None


def _plain(number: Any) -> Any:  # noqa: ANN401 - NumPy's numbers give their plain value
    return number.item()

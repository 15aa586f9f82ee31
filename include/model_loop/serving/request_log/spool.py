"""Predictions that were answered and are not in the database yet, out of the reach of `kill -9`.

Each is copied into a file that is mapped into memory before its answer leaves. Writing there needs
no system call, and the kernel keeps the bytes of a killed process, but not through a power cut. The
next server on the same folder takes over the records of ended ones. Records that could not be
stored are counted in the same memory, so a killed process also leaves the number of its losses.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import stat
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from upath import UPath

from model_loop.objects.documents import move_aside
from model_loop.serving.request_log.spool_format import (
    END,
    FRONT,
    HEAD,
    MARK,
    NUMBERS,
    OLD_SUFFIX,
    SUFFIX,
    Contents,
    framed,
    packed_numbers,
    read_contents,
    read_old_contents,
)

#: Room for one prediction, which takes about 170 bytes and its caller's key.
RECORD_BYTES = 256
#: Room of a file, if nothing else is said.
_BYTES = 2**24
#: Characters of the name of a spool that the database takes.
_NAME = 40

logger = logging.getLogger(__name__)

Record = TypeVar("Record")


class LeftoverRecords(NamedTuple, Generic[Record]):
    """Left by processes that have ended.

    Parameters
    ----------
    records
        Kept, and perhaps not written elsewhere.
    lost
        Number of records that could not be kept, or cannot be read, by the name of their file.
    """

    records: list[Record]
    lost: dict[str, int]


class Spool(Generic[Record]):
    """Records that are kept until they are written elsewhere.

    Two files take turns: one takes what comes while the other is written elsewhere. Both are locked
    as long as the process lives. Each of them says how many records both hold, and how many could
    not be kept; see `spool_format`.

    Parameters
    ----------
    folder
        Folder of the files, those of other processes among them.
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
        self._room = HEAD + room
        self._own = [folder / f"{name}-{number}{SUFFIX}" for number in range(2)]
        self.name = self._own[0].stem
        #: Numbers of the head: losses, and records and turn of each file.
        self._numbers = [0, 0, 0, 0, 0]
        self._files = [_lock(path) for path in self._own]
        try:
            self._memory = [_mapped(file, self._room) for file in self._files]
        except OSError:
            for path, file in zip(self._own, self._files, strict=True):
                path.unlink()
                os.close(file)
            raise
        self._sizes = [HEAD, HEAD]
        self._now = 0
        #: Files of ended processes, and what is wrong with them.
        self._inherited: list[tuple[Path, int, str]] = []
        self._encode: Callable[[Record], bytes] = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._decode: Callable[[bytes], Record] = msgspec.msgpack.Decoder(kind).decode
        self._turn = threading.Lock()
        self._full = False

    def keep(self, record: Record) -> bool:
        """Keep a record; return False where there is no room."""
        payload = self._encode(record)
        with self._turn:
            now, numbers = self._now, self._numbers
            memory, size = self._memory[now], self._sizes[now]
            end = size + FRONT.size + len(payload)
            if end + FRONT.size > self._room:
                if not self._full:
                    logger.warning("Predictions are lost and counted: %s is full", self._folder)
                self._full = True
                return False
            place = 1 + 2 * now
            # The count comes last: a record that is there by half has not been answered.
            memory[size : end + FRONT.size] = framed(payload, numbers[place + 1])
            self._sizes[now] = end
            numbers[place] += 1
            self._write_head()
        return True

    def count_lost(self, count: int) -> int:
        """Count records that could not be kept; return how many there are in all."""
        with self._turn:
            self._numbers[0] += count
            self._write_head()
            return self._numbers[0]

    def begin(self) -> None:
        """All that was kept until now is about to be written elsewhere."""
        with self._turn:
            other = 1 - self._now
            # While the last turn is not done, its file keeps what it holds.
            if self._sizes[self._now] > HEAD and self._sizes[other] == HEAD:
                self._now = other

    def written(self) -> None:
        """All that was kept before the turn began is written elsewhere."""
        other = 1 - self._now
        with self._turn:
            if self._sizes[other] > HEAD:
                # Another turn: records behind the head are no longer valid.
                self._numbers[1 + 2 * other] = 0
                self._numbers[2 + 2 * other] = (self._numbers[2 + 2 * other] + 1) % 2**32
                self._write_head()
                self._memory[other][HEAD : HEAD + FRONT.size] = END
                self._sizes[other] = HEAD
                self._full = False
        while self._inherited:
            path, file, damage = self._inherited.pop()
            try:
                if damage:
                    move_aside(UPath(path), ValueError(damage))
                path.unlink(missing_ok=True)
            except OSError as error:
                # The next server takes it over again.
                logger.warning("%s cannot be removed: %s", path, error)
            os.close(file)

    def inherit(self) -> LeftoverRecords[Record]:
        """Take over what ended processes have left."""
        found: LeftoverRecords[Record] = LeftoverRecords([], {})
        paths = [path for path in self._folder.glob("*") if path.suffix in {SUFFIX, OLD_SUFFIX}]
        for path in sorted(paths):
            if path not in self._own and (file := _lock_abandoned(path)) is not None:
                try:
                    contents = self._contents(path, file)
                except OSError as error:
                    logger.warning("%s cannot be read: %s", path, error)
                    os.close(file)
                    continue
                found.records.extend(contents.records)
                if contents.lost:
                    found.lost[path.stem[:_NAME]] = contents.lost
                if contents.damage:
                    logger.error("%s was damaged: %s", path, contents.damage)
                self._inherited.append((path, file, contents.damage))
        return found

    def _contents(self, path: Path, file: int) -> Contents[Record]:
        with os.fdopen(os.dup(file), "rb") as whole:
            data = whole.read()
        if path.suffix == OLD_SUFFIX:
            return read_old_contents(data, self._decode)
        place = int(path.stem.endswith("1"))
        other = path.with_stem(f"{path.stem[:-1]}{1 - place}")
        return read_contents(data, _head_of(other), place, self._decode)

    def close(self, *, told: int = 0) -> None:
        """End; the files go, unless they hold what is written nowhere else.

        Parameters
        ----------
        told
            Losses that are recorded elsewhere.
        """
        # Each file says what is in the other one: they stay together.
        needed = any(size > HEAD for size in self._sizes) or self._numbers[0] > told
        for path, file, memory in zip(self._own, self._files, self._memory, strict=True):
            if not needed:
                path.unlink(missing_ok=True)
            memory.close()
            os.close(file)
        for _, file, _ in self._inherited:
            os.close(file)

    def _write_head(self) -> None:
        first, second = self._memory
        first[NUMBERS] = second[NUMBERS] = packed_numbers(self._numbers)


def _mapped(file: int, room: int) -> mmap.mmap:
    # On a disk that is full, writing to memory that has no place there would end the process. Zeros
    # take the place on every system.
    with os.fdopen(os.dup(file), "wb") as whole:
        whole.write(MARK + packed_numbers((0, 0, 0, 0, 0)) + bytes(room - HEAD))
    return mmap.mmap(file, room)


def _lock(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        # Before it was locked, another process may have taken it for an abandoned one.
        if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
            return file
        os.close(file)


def _lock_abandoned(path: Path) -> int | None:
    """The file, locked; None if its process lives, another one has taken it over, or it is none."""
    file = _opened(path)
    if file is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():
            return file
    except BlockingIOError:
        pass
    os.close(file)
    return None


def _opened(path: Path) -> int | None:
    """A file that is one, opened."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s cannot be opened: %s", path, error)
        return None
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


def _head_of(path: Path) -> bytes:
    """The beginning of the other file of a spool; nothing if it cannot be read."""
    file = _opened(path)
    if file is None:
        return b""
    with os.fdopen(file, "rb") as beginning:
        return beginning.read(HEAD)


def _plain(number: Any) -> Any:  # noqa: ANN401 - NumPy's numbers give their plain value
    return number.item()

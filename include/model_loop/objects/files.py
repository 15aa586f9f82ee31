"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import posixpath
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from upath import UPath

LOCAL_PROTOCOLS = ("", "file", "local")

_SUFFIX = ".partial"


@contextlib.contextmanager
def atomic_write(target: UPath, named: Callable[[UPath], UPath] | None = None) -> Iterator[UPath]:
    """A place beside *target* to write to; moves to *target* when the block ends without an error.

    Each writer has a place of its own, so that two that make the same file at once do not meet.
    Leftovers of a killed writer of the same file are removed.

    Parameters
    ----------
    named
        Returns the path to move to instead, of what was written: a name that holds its digest.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}{_SUFFIX}"
    with _locked(partial):
        try:
            yield partial
            partial.rename(target if named is None else named(partial))
        finally:
            partial.unlink(missing_ok=True)
    if target.protocol in LOCAL_PROTOCOLS:
        beginning = f".{target.name}."
        _remove_abandoned(
            path
            for path in Path(target.path).parent.iterdir()
            if path.name.startswith(beginning) and path.name.endswith(_SUFFIX)
        )


def is_below(path: UPath, root: UPath) -> bool:
    """Return whether a path is a folder or lies in it; links must have been followed before."""
    if path.protocol in LOCAL_PROTOCOLS:
        return root.protocol in LOCAL_PROTOCOLS and Path(path.path).is_relative_to(Path(root.path))
    # A ".." that is left would be taken for a name by one storage, and for a step up by another.
    return (
        path.protocol == root.protocol
        and posixpath.normpath(path.path) == path.path.rstrip("/")
        and f"{path.path}/".startswith(f"{root.path.rstrip('/')}/")
    )


def create_file(target: UPath, data: bytes) -> None:
    """Make a file that appears whole, unless it is there already.

    Of several that make the same file at once, one does.

    Raises
    ------
    FileExistsError
        If it is there already.
    """
    if target.protocol not in LOCAL_PROTOCOLS:
        target.fs.pipe_file(target.path, data, mode="create")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}{_SUFFIX}"
    with _locked(partial):
        try:
            partial.write_bytes(data)
            # Unlike a rename, a link never replaces what is there.
            os.link(partial.path, target.path)
        finally:
            partial.unlink(missing_ok=True)


def files_in(folder: UPath, pattern: str = "*") -> list[UPath]:
    """The files of a folder as they are now, by name; what a store's client remembers may be old.

    A folder that is not there has none.
    """
    folder.fs.invalidate_cache(folder.path)
    return sorted(folder.glob(pattern), key=lambda path: path.name) if folder.exists() else []


def remove_leftovers(folder: UPath) -> list[str]:
    """Remove what killed writers have left under a folder; return the paths.

    Writers that are at work are not disturbed. Stores other than the file system have no
    leftovers: what is put there appears whole.
    """
    if folder.protocol not in LOCAL_PROTOCOLS or not folder.exists():
        return []
    return _remove_abandoned(Path(folder.path).rglob(f".*{_SUFFIX}"))


@contextlib.contextmanager
def held(path: UPath) -> Iterator[None]:
    """Keep a local file from being removed by `remove_unless_held` while the block reads it."""
    if path.protocol not in LOCAL_PROTOCOLS:
        yield
        return
    with Path(path.path).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def remove_unless_held(path: UPath) -> bool:
    """Remove a file that no process holds; return whether it is gone."""
    if path.protocol not in LOCAL_PROTOCOLS:
        path.unlink(missing_ok=True)
        return True
    try:
        with Path(path.path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def mark_used(path: UPath) -> None:
    """Say that a local file was read now, also where the disk notes no such times.

    By it, caches know what was used least recently.
    """
    if path.protocol in LOCAL_PROTOCOLS:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.utime(path.path, ns=(time.time_ns(), Path(path.path).stat().st_mtime_ns))


@contextlib.contextmanager
def _locked(partial: UPath) -> Iterator[None]:
    """Hold a lock on a local file while it is written; it ends with the process."""
    if partial.protocol not in LOCAL_PROTOCOLS:
        yield
        return
    path = Path(partial.path)
    while True:
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Before it was locked, somebody may have taken it for a leftover.
            if is_at(file, path):
                yield
                return


def _remove_abandoned(paths: Iterable[Path]) -> list[str]:
    """Remove the files that nobody holds a lock on."""
    removed = []
    for path in paths:
        # It may be moved or removed by its writer at any moment.
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(file, path):
                path.unlink()
                removed.append(str(path))
    return removed


def is_at(file: IO[bytes], path: Path) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False

"""Open the files that callers name, without following a link on the way.

Between the check of a path and its opening, anybody who may write into a folder can put a link in
the place of a file or of a folder. A path that was resolved when it was checked holds no link; so
each part of it is opened beneath the one before, and one that has become a link is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.objects.files import LOCAL_PROTOCOLS

# Linux opens a folder that may be entered and not be listed by O_PATH alone.
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_NO_NAME = {errno.ENAMETOOLONG, errno.ELOOP}
#: Characters of a path that a message shows.
_SHOWN = 300
# A pipe would wait for its other end.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def without_links(path: UPath) -> UPath:
    """Return where a path really leads; an address in a store has no links.

    Raises
    ------
    InvalidInputError
        If a link on the way is exchanged meanwhile, links lead in a circle, or no file can have
        such a name.
    """
    if path.protocol not in LOCAL_PROTOCOLS:
        return path
    try:
        found = Path(path.path).resolve()
        found.exists()
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_NAME:
            raise _refused(path) from error
        # Python's own classes for a circle of links, and for a name that holds a NUL.
        said = getattr(error, "strerror", None) or str(error).partition(" from ")[0]
        raise InvalidInputError(
            f"Path {_shortened(path)}",
            f"names no file ({said})",
            "Give the path of the file itself.",
        ) from error
    return UPath(found)


@contextlib.contextmanager
def open_input(path: UPath) -> Iterator[BinaryIO]:
    """Open a file to be read.

    Parameters
    ----------
    path
        Without links, as `without_links` gives it.

    Raises
    ------
    InvalidInputError
        If a part of the path is a link, or it is not a regular file. Nothing of it was read.
    """
    if path.protocol not in LOCAL_PROTOCOLS:
        with path.open("rb") as file:
            yield file
        return
    with os.fdopen(_descriptor(path), "rb") as file:
        yield file


def _descriptor(path: UPath) -> int:
    anchor, *folders, name = Path(path.path).parts
    here = os.open(anchor, _FOLDER)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        found = os.open(name, _FILE, dir_fd=here)
    except OSError as error:
        # A socket has no bytes to be opened for.
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
            raise _refused(path) from None
        raise
    finally:
        os.close(here)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise _refused(path)
    return found


def _shortened(path: UPath) -> str:
    text = repr(str(path))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _refused(path: UPath) -> InvalidInputError:
    return InvalidInputError(
        f"Input {path}",
        "is not a regular file, or was replaced by a link after it was checked",
        "Put the file itself there, and start again.",
    )

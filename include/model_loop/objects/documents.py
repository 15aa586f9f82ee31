"""Small files in which a store keeps JSON, and what becomes of one that cannot be read.

A file that was cut short, damaged, or written by another version must not stop the work of those
who come after: it is moved aside under a name that no store looks for, and its place is free.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from upath import UPath

from model_loop.errors import StoredObjectError
from model_loop.objects.formats import first_format, format_of
from model_loop.objects.tree import from_tree, to_tree

#: Part of the name of a file that was moved aside; the time follows.
ASIDE = ".unreadable-"
_TIME = "%Y%m%dT%H%M%S%fZ"

#: Errors of parsing unexpected content; callers do nothing but parse where they catch them.
#: JSON that is nested without end is a `RecursionError`.
UNREADABLE = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(RecursionError, StoredObjectError),
)

logger = logging.getLogger(__name__)

Document = TypeVar("Document")


def read_document(path: UPath, parse: Callable[[Any], Document]) -> Document | None:
    """Read a file of JSON; None if there is none, or it cannot be read and was moved aside.

    Parameters
    ----------
    parse
        Makes the value from the JSON, and raises one of `UNREADABLE` where it is of another form.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return parse(json.loads(content))
    except UNREADABLE as error:
        move_aside(path, error)
        return None


def text_of(record: object) -> str:
    """Serialize a dataclass that has a format; see `formats`."""
    return json.dumps(to_tree(record)[0], indent=1)


def record_of(kind: type[Document], stored: object) -> Document:
    """Rebuild a dataclass that was stored as JSON.

    Fields that bear no format are of a version before 0.2, which has written some records so.

    Raises
    ------
    StoredObjectError
        If something else was stored.
    """
    if isinstance(stored, dict) and not {"format", "$dataclass"} & stored.keys():
        stored = {"format": first_format(format_of(kind)), **stored}
    found = from_tree(stored, {})
    if not isinstance(found, kind):
        raise StoredObjectError(
            f"A stored {kind.__name__}", f"is a {type(found).__name__}", "Make it again."
        )
    return found


def move_aside(path: UPath, why: Exception) -> UPath:
    """Move a file that cannot be read out of the way, and keep it for whoever wants to look."""
    now = dt.datetime.now(tz=dt.UTC)
    target = path.parent / f"{path.name}{ASIDE}{now:{_TIME}}"
    # Another process may have found the same, and moved it already.
    with contextlib.suppress(FileNotFoundError):
        path.fs.mv(path.path, target.path)
        logger.warning("%s cannot be read (%s): it was moved aside, to %s", path, why, target)
    return target


def moved_aside(root: UPath) -> list[tuple[dt.datetime, UPath]]:
    """Find the files under a folder that were moved aside, and when, the oldest first."""
    found = []
    for path in root.rglob(f"*{ASIDE}*") if root.exists() else ():
        with contextlib.suppress(ValueError):
            at = dt.datetime.strptime(path.name.rpartition(ASIDE)[2], _TIME).replace(tzinfo=dt.UTC)
            found.append((at, path))
    return sorted(found, key=lambda one: (one[0], str(one[1])))

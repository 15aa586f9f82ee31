"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

from upath import UPath


@contextlib.contextmanager
def whole_file(target: UPath) -> Iterator[UPath]:
    """A place beside *target* to write to; moves to *target* when the block ends without an error.

    Each writer has a place of its own, so that two that make the same file at once do not meet.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}.partial"
    try:
        yield partial
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)

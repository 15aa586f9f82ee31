"""Stored verdicts on partitions: the latest on each one before another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from upath import UPath

from model_loop.history.calendar import LATEST
from model_loop.objects.documents import read_document, record_of

#: End of the names of files of verdicts.
SUFFIX = "-verdict.json"

Kept = TypeVar("Kept")


def verdicts_before(
    folder: UPath, partition: str, kind: type[Kept], of_same_source: Callable[[Kept], bool]
) -> Iterator[Kept]:
    """Yield the latest verdict on each of the partitions before one, in their order.

    Parameters
    ----------
    folder
        Folder of a variant, with one folder for each partition.
    kind
        Class of the verdicts.
    of_same_source
        Tells whether a verdict is on a partition of the same source: a month of generated rows is
        no history of a published one.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    for name in [each for each in names if each < partition][-2 * LATEST :]:
        entries = sorted((folder / name).glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
        read = (read_document(path, lambda stored: record_of(kind, stored)) for path in entries)
        same = [verdict for verdict in read if verdict is not None and of_same_source(verdict)]
        yield from same[-1:]

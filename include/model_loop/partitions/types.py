"""Types of the files and partitions of a declared table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType

from upath import UPath


@dataclass(frozen=True)
class SourceFile:
    """A file that rows were read from, identified by its content.

    Parameters
    ----------
    variant
        Variant of the dataset.
    partition
        Key of the partition that the file holds; the name of the file where it holds several.
    path
        Path or address that it is read from.
    size
        Bytes.
    data_source
        ``folder``, ``https``, ``s3`` or ``database``.
    url
        Address that it was fetched from.
    digest
        sha256 of the file, hex. Of rows of a database, the digest that the database has computed,
        whatever the bytes of their copy.
    copy_digest
        sha256 of the copy of rows of a database, hex; empty of files.
    """

    variant: str
    partition: str
    path: str
    size: int
    data_source: str
    url: str
    digest: str
    etag: str | None = None
    last_modified: str | None = None
    copy_digest: str = ""


@dataclass(frozen=True)
class Copies:
    """Copies of what is read from elsewhere.

    Parameters
    ----------
    folder
        Folder of the copies.
    timeout_seconds
        Longest wait for a server.
    fetch
        Returns the path of the copy of a remote file, its ETag and its time.
    make_room
        Makes room for a copy of an address, and names a disk that is full all the same.
    """

    folder: UPath
    timeout_seconds: float
    fetch: Callable[[str], tuple[str, str | None, str | None]]
    make_room: Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class PartitionReport:
    """Rows of a partition that were kept, and that were left out for each reason.

    Parameters
    ----------
    partition
        Key of the partition.
    rows_read
        Rows that were read.
    unreadable
        Rows that the reader has left out, such as those with too many fields.
    set_aside
        Rows that break a rule, by its name; each row is counted once, by the first that it breaks.
    rows_kept
        Rows that are left.
    """

    partition: str
    rows_read: int
    unreadable: int
    set_aside: Mapping[str, int]
    rows_kept: int
    warned: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def rows_set_aside(self) -> int:
        """Rows that are not kept."""
        return self.unreadable + sum(self.set_aside.values())

    def __str__(self) -> str:
        reasons = ", ".join(f"{rows:,} {rule}" for rule, rows in self.set_aside.items())
        return (
            f"{self.partition}: kept {self.rows_kept:,} of {self.rows_read:,} rows"
            f"{'; set aside ' + reasons if reasons else ''}"
        )

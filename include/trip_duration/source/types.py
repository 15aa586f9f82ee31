"""Types of a month's file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

DataSource = Literal["sample", "tlc", "https", "s3", "folder"]
DATA_SOURCES: tuple[DataSource, ...] = get_args(DataSource)


@dataclass(frozen=True)
class MonthFile:
    """The file of one month, ready to be read.

    Parameters
    ----------
    service, month
        Service and month of the file, by its name.
    path
        Current path or storage address of the Parquet file.
    size
        Bytes.
    data_source
        ``sample`` for generated trips, wherever the file was found.
    url
        Address that it was fetched from.
    etag, last_modified
        Headers of the server.
    """

    service: str
    month: str
    path: str
    size: int
    data_source: DataSource
    url: str
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class RawMonth(MonthFile):
    """File of a month, identified by its content.

    Parameters
    ----------
    digest
        sha256 of the file, hex.
    """

    digest: str = field(kw_only=True)

    @property
    def partition(self) -> str:
        """Key of the partition: the month."""
        return self.month

    @property
    def variant(self) -> str:
        """Key of the variant: the service."""
        return self.service

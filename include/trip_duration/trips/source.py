"""Where months come from: TLC's site, any https:// address, a folder, or our sample generator."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from upath import UPath

from trip_duration.errors import InvalidInputError, SourceError
from trip_duration.trips.download import check_published, download
from trip_duration.trips.months import Month
from trip_duration.trips.sample import SampleOptions, is_sample, write_month
from trip_duration.trips.services import Service

#: Where TLC publishes its months (https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page).
TLC_ADDRESS = "https://d37ci6vzurychx.cloudfront.net/trip-data"

DataSource = Literal["sample", "tlc", "https", "folder"]

_CHUNK = 1024 * 1024
_SOURCES = "Give sample, tlc, a folder, or an https:// address."


@dataclass(frozen=True)
class RawMonth:
    """One fetched month, and where it comes from.

    Parameters
    ----------
    service, month
        What it holds, as the file's name says.
    path
        Where the Parquet file is now: a path or a storage address.
    digest
        sha256 of the file, hex.
    size
        Bytes.
    data_source
        ``sample`` for generated trips, wherever the file was found.
    url
        Where it was found.
    etag, last_modified
        What the server said of it.
    """

    service: str
    month: str
    path: str
    digest: str
    size: int
    data_source: DataSource
    url: str
    etag: str | None = None
    last_modified: str | None = None


def check_months(
    source: str, service: Service, months: Sequence[Month], *, timeout_seconds: float
) -> None:
    """Refuse months that are not to be had, before any expensive work.

    Raises
    ------
    InvalidInputError
        If *source* is no source, or a malformed address.
    SourceError
        If a month is missing.
    TransientSourceError
        If the server does not answer as it should.
    """
    _open(source, timeout_seconds).check(service, months)


def fetch_month(
    source: str,
    service: Service,
    month: Month,
    storage_root: str,
    *,
    sample: SampleOptions,
    timeout_seconds: float,
) -> RawMonth:
    """Fetch one month.

    A folder's file is used where it lies; a download or a generated month is kept under
    *storage_root*, and appears there whole or not at all.

    Raises
    ------
    InvalidInputError, SourceError, TransientSourceError
        As `check_months`; also if a download breaks off.
    """
    kept = UPath(storage_root) / "months" / service.name
    return _open(source, timeout_seconds, sample).fetch(service, month, kept)


class _Source(ABC):
    @abstractmethod
    def check(self, service: Service, months: Sequence[Month]) -> None: ...

    @abstractmethod
    def fetch(self, service: Service, month: Month, kept: UPath) -> RawMonth: ...


def _open(source: str, timeout_seconds: float, sample: SampleOptions | None = None) -> _Source:
    if source == "sample":
        return _Sample(sample or SampleOptions())
    if source == "tlc":
        return _Web(TLC_ADDRESS, "tlc", timeout_seconds)
    if source.startswith(("https://", "http://")):
        return _Web(source.rstrip("/"), "https", timeout_seconds)
    if source.startswith("file://"):
        return _Folder(Path(unquote(source.removeprefix("file://"))))
    if "://" in source or not source.strip():
        raise InvalidInputError(f"Source {source!r}", "is of no kind that we know", _SOURCES)
    return _Folder(Path(source))


def file_name(service: Service, month: Month) -> str:
    """The name under which a month is published."""
    return f"{service.name}_tripdata_{month}.parquet"


class _Sample(_Source):
    def __init__(self, options: SampleOptions) -> None:
        self.options = options

    def check(self, service: Service, months: Sequence[Month]) -> None:
        """Every month can be generated."""

    def fetch(self, service: Service, month: Month, kept: UPath) -> RawMonth:
        path = kept / "sample" / self.options.label / file_name(service, month)
        if not path.exists():
            write_month(path, service, month, self.options)
        url = f"sample:{service.name}/{month}?{self.options.label}"
        return _describe(path, service, month, "sample", url)


class _Folder(_Source):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, service: Service, months: Sequence[Month]) -> None:
        if not self.folder.is_dir():
            raise SourceError(
                f"Source folder {self.folder}",
                "does not exist",
                "Give an existing folder of Parquet files, or one of: sample, tlc, https://…",
            )
        missing = [name for month in months if not self._path(name := file_name(service, month))]
        if missing:
            there = sorted(path.name for path in self.folder.glob("*_tripdata_*.parquet"))
            raise SourceError(
                f"Source folder {self.folder}",
                f"lacks {', '.join(missing)}",
                f"It holds: {', '.join(there) or 'no month at all'}.",
            )

    def fetch(self, service: Service, month: Month, kept: UPath) -> RawMonth:  # noqa: ARG002 - used in place
        self.check(service, [month])
        path = self.folder / file_name(service, month)
        kind: DataSource = "sample" if is_sample(path) else "folder"
        return _describe(UPath(path.resolve()), service, month, kind, path.resolve().as_uri())

    def _path(self, name: str) -> bool:
        return (self.folder / name).is_file()


class _Web(_Source):
    def __init__(self, address: str, kind: DataSource, timeout_seconds: float) -> None:
        self.address = address
        self.kind = kind
        self.timeout_seconds = timeout_seconds

    def check(self, service: Service, months: Sequence[Month]) -> None:
        for month in months:
            url = f"{self.address}/{file_name(service, month)}"
            check_published(url, self.timeout_seconds)

    def fetch(self, service: Service, month: Month, kept: UPath) -> RawMonth:
        name = file_name(service, month)
        url = f"{self.address}/{name}"
        folder = kept / self.kind / hashlib.sha256(self.address.encode()).hexdigest()[:12]
        path = folder / name
        headers = download(url, path, self.timeout_seconds)
        kind: DataSource = "sample" if is_sample(path) else self.kind
        etag, modified = headers.get("ETag"), headers.get("Last-Modified")
        return _describe(path, service, month, kind, url, etag, modified)


def _describe(
    path: UPath,
    service: Service,
    month: Month,
    kind: DataSource,
    url: str,
    etag: str | None = None,
    last_modified: str | None = None,
) -> RawMonth:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    size = path.stat().st_size
    return RawMonth(
        service.name,
        str(month),
        str(path),
        digest.hexdigest(),
        size,
        kind,
        url,
        etag,
        last_modified,
    )

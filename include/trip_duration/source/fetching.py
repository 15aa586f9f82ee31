"""Fetching of months: from TLC's site, any https:// address, S3, a folder, or our generator."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from model_loop.errors import (
    InvalidInputError,
    NotPublishedError,
    SourceError,
    TransientSourceError,
)
from model_loop.objects.files import LOCAL_PROTOCOLS, atomic_write
from model_loop.sources.allowed import require_no_login
from model_loop.sources.cache import FOLDER, CachedFile, FileVersion, find_cached, record_download
from model_loop.sources.download import download, published
from model_loop.sources.eviction import room_for
from trip_duration.months import Month
from trip_duration.sample import is_sample, write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import Service
from trip_duration.source.digests import with_digest
from trip_duration.source.types import DataSource, MonthFile, RawMonth

#: Address at which TLC publishes its months
#: (https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page).
TLC_ADDRESS = "https://d37ci6vzurychx.cloudfront.net/trip-data"

_SOURCES = "Give sample, tlc, a folder, an s3:// or an https:// address."
#: Months that TLC takes to publish one.
_DELAY_MONTHS = 3
#: Months that are looked up side by side.
_LOOK_UPS = 8


def check_months(
    source: str, service: Service, months: Sequence[Month], *, timeout_seconds: float
) -> None:
    """Refuse months that are not to be had, before any expensive work.

    Raises
    ------
    InvalidInputError
        If *source* is no source, or a malformed address.
    SourceError
        If months are missing; all of them are named.
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
    """Fetch one month, unless it was fetched before and its source has not changed since.

    A folder's file is used where it lies; a download or a generated month is kept under
    *storage_root*, and appears there whole or not at all.

    Raises
    ------
    InvalidInputError, SourceError, TransientSourceError
        As `check_months`; also if a download breaks off.
    """
    cache = UPath(storage_root) / FOLDER / service.name
    file = _open(source, timeout_seconds, sample).fetch(service, month, cache)
    return with_digest(file, storage_root)


def look_up_month(
    source: str, service: Service, month: Month, *, timeout_seconds: float
) -> FileVersion | None:
    """Look up a month's version at a source without fetching it; None if not published.

    Raises
    ------
    InvalidInputError
        If *source* is no source, or a malformed address.
    TransientSourceError
        If the server does not answer as it should.
    """
    return _open(source, timeout_seconds).look_up(service, month)


class _Source(ABC):
    @abstractmethod
    def check(self, service: Service, months: Sequence[Month]) -> None: ...

    @abstractmethod
    def look_up(self, service: Service, month: Month) -> FileVersion | None: ...

    @abstractmethod
    def fetch(self, service: Service, month: Month, cache: UPath) -> MonthFile: ...


def _open(source: str, timeout_seconds: float, sample: SampleOptions | None = None) -> _Source:
    require_no_login(source)
    if source == "sample":
        return _Sample(sample or SampleOptions())
    if source == "tlc":
        return _Web(TLC_ADDRESS, "tlc", timeout_seconds)
    if source.startswith(("https://", "http://")):
        return _Web(source.rstrip("/"), "https", timeout_seconds)
    if source.startswith("s3://"):
        return _PublishedBucket(source.rstrip("/"))
    if source.startswith("file://"):
        return _Folder(Path(unquote(source.removeprefix("file://"))))
    if "://" in source or not source.strip():
        raise InvalidInputError(f"Source {source!r}", "is of an unknown kind", _SOURCES)
    return _Folder(Path(source))


def file_name(service: Service, month: Month) -> str:
    """The name under which a month is published."""
    return f"{service.name}_tripdata_{month}.parquet"


class _Sample(_Source):
    def __init__(self, options: SampleOptions) -> None:
        self.options = options

    def check(self, service: Service, months: Sequence[Month]) -> None:
        """Every month can be generated."""

    def look_up(self, service: Service, month: Month) -> FileVersion | None:  # noqa: ARG002 - alike
        """Sample months come out when TLC's do."""
        today = dt.datetime.now(tz=dt.UTC)
        months_ago = (today.year - month.year) * 12 + today.month - month.number
        if months_ago < _DELAY_MONTHS:
            return None
        return FileVersion(self.options.label, None, None)

    def fetch(self, service: Service, month: Month, cache: UPath) -> RawMonth:
        path = cache / "sample" / self.options.label / file_name(service, month)
        url = f"sample:{service.name}/{month}?{self.options.label}"
        known = find_cached(path, url)
        if known is None:
            write_month(path, service, month, self.options)
            known = record_download(path, url, FileVersion(None, None, None))
        return _raw_month(path, service, month, "sample", known)


class _Folder(_Source):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, service: Service, months: Sequence[Month]) -> None:
        self._require_folder()
        names = [file_name(service, month) for month in months]
        missing = [name for name in names if not (self.folder / name).is_file()]
        if missing:
            there = sorted(path.name for path in self.folder.glob("*_tripdata_*.parquet"))
            raise SourceError(
                f"Source folder {self.folder}",
                f"lacks {', '.join(missing)}",
                f"It holds: {', '.join(there) or 'no month at all'}.",
            )

    def fetch(self, service: Service, month: Month, cache: UPath) -> MonthFile:  # noqa: ARG002 - alike
        self.check(service, [month])
        path = UPath((self.folder / file_name(service, month)).resolve())
        return MonthFile(
            service.name,
            str(month),
            str(path),
            path.stat().st_size,
            "sample" if is_sample(path) else "folder",
            Path(path.path).as_uri(),
        )

    def look_up(self, service: Service, month: Month) -> FileVersion | None:
        self._require_folder()
        file = self.folder / file_name(service, month)
        return FileVersion.of_file(file) if file.is_file() else None

    def _require_folder(self) -> None:
        if not self.folder.is_dir():
            raise SourceError(
                f"Source folder {self.folder}",
                "does not exist",
                "Give an existing folder of Parquet files, or one of: sample, tlc, https://…",
            )


class _Web(_Source):
    def __init__(self, address: str, kind: DataSource, timeout_seconds: float) -> None:
        self.address = address
        self.kind = kind
        self.timeout_seconds = timeout_seconds

    def check(self, service: Service, months: Sequence[Month]) -> None:
        with ThreadPoolExecutor(_LOOK_UPS) as pool:
            errors = list(pool.map(lambda one: self._error(service, one), months))
        _raise_together(self.address, [error for error in errors if error is not None])

    def fetch(self, service: Service, month: Month, cache: UPath) -> RawMonth:
        url = f"{self.address}/{file_name(service, month)}"
        path = _cache_path(cache, self.kind, self.address) / file_name(service, month)
        known = find_cached(path, url)
        try:
            version = FileVersion.of_headers(published(url, self.timeout_seconds))
            if known is None or not known.version.is_same(version):
                with room_for(url, cache.parent, version.size):
                    known = self._download(url, path)
        except TransientSourceError as error:
            raise _with_kept_copy(error, path, known) from error
        return _raw_month(path, service, month, self.kind, known)

    def look_up(self, service: Service, month: Month) -> FileVersion | None:
        url = f"{self.address}/{file_name(service, month)}"
        try:
            return FileVersion.of_headers(published(url, self.timeout_seconds))
        except NotPublishedError:
            return None

    def _error(self, service: Service, month: Month) -> SourceError | None:
        try:
            published(f"{self.address}/{file_name(service, month)}", self.timeout_seconds)
        except SourceError as error:
            return error
        return None

    def _download(self, url: str, path: UPath) -> CachedFile:
        if path.protocol in LOCAL_PROTOCOLS:
            headers = download(url, Path(path.path), self.timeout_seconds, _require_parquet)
            return record_download(path, url, FileVersion.of_headers(headers))
        # A file from elsewhere is put there whole.
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / path.name
            headers = download(url, local, self.timeout_seconds, _require_parquet)
            _copy(UPath(local), path)
        return record_download(path, url, FileVersion.of_headers(headers))


class _PublishedBucket(_Source):
    def __init__(self, address: str) -> None:
        try:
            self.folder = UPath(address)
        except ImportError as error:
            raise InvalidInputError(
                f"Source {address!r}",
                "needs the extra s3",
                "Install it: pip install 'model-loop[s3]'.",
            ) from error
        self.address = address

    def check(self, service: Service, months: Sequence[Month]) -> None:
        names = [file_name(service, month) for month in months]
        with ThreadPoolExecutor(_LOOK_UPS) as pool:
            found = list(pool.map(lambda name: (self.folder / name).exists(), names))
        missing = [name for name, there in zip(names, found, strict=True) if not there]
        if missing:
            raise SourceError(
                f"Source {self.address}",
                f"lacks {', '.join(missing)}",
                "Check the address, the service and the months.",
            )

    def fetch(self, service: Service, month: Month, cache: UPath) -> RawMonth:
        self.check(service, [month])
        file = self.folder / file_name(service, month)
        url = str(file)
        path = _cache_path(cache, "s3", self.address) / file.name
        version = FileVersion.of_object(file)
        known = find_cached(path, url)
        if known is None or not known.version.is_same(version):
            with room_for(url, cache.parent, version.size):
                _copy(file, path)
            known = record_download(path, url, version)
        return _raw_month(path, service, month, "s3", known)

    def look_up(self, service: Service, month: Month) -> FileVersion | None:
        file = self.folder / file_name(service, month)
        return FileVersion.of_object(file) if file.exists() else None


def _cache_path(cache: UPath, kind: DataSource, address: str) -> UPath:
    return cache / kind / hashlib.sha256(address.encode()).hexdigest()[:12]


def _require_parquet(path: Path, given: str) -> None:
    """Refuse a file that is no Parquet file, whatever its name and its server say.

    Raises
    ------
    SourceError
        If its footer cannot be read.
    """
    try:
        pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            given,
            f"is not a readable Parquet file ({' '.join(str(error).split())}), so it is not kept",
            "See what the address gives in a browser: it may be a page that asks for a login.",
        ) from error


def _copy(source: UPath, target: UPath) -> None:
    """Copy a file, which appears whole or not at all."""
    if target.protocol in LOCAL_PROTOCOLS:
        with atomic_write(target) as partial:
            with source.open("rb") as read, partial.open("wb") as write:
                shutil.copyfileobj(read, write)
            _require_parquet(Path(partial.path), str(source))
        return
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write)


def _raise_together(address: str, errors: Sequence[SourceError]) -> None:
    """Raise one error that names everything that is missing."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        transient = [error for error in errors if isinstance(error, TransientSourceError)]
        kind = TransientSourceError if len(transient) == len(errors) else SourceError
        raise kind(
            f"Source {address}",
            "lacks several months: " + "; ".join(f"{error.given} {error.rule}" for error in errors),
            errors[0].remedy,
        )


def _with_kept_copy(
    error: TransientSourceError, path: UPath, known: CachedFile | None
) -> TransientSourceError:
    """Add to an error that a copy is kept; the copy is never used silently."""
    if known is None:
        return error
    return TransientSourceError(
        error.given,
        error.rule,
        f"{error.remedy} A copy of {known.fetched} is kept: give {path.parent} as the source to "
        "use it as it is.",
    )


def _raw_month(
    path: UPath, service: Service, month: Month, kind: DataSource, known: CachedFile
) -> RawMonth:
    return RawMonth(
        service.name,
        str(month),
        str(path),
        known.size,
        "sample" if kind == "sample" or is_sample(path) else kind,
        known.url,
        known.version.etag,
        known.version.last_modified,
        digest=known.digest,
    )

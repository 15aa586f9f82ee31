"""Cache of fetched files, with what their source said of them, so that they are fetched once."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from upath import UPath

from model_loop.objects.documents import move_aside, read_document, record_of, text_of
from model_loop.objects.files import mark_used
from model_loop.objects.store import write_bytes

#: Folders of fetched files and digests, under the storage root.
FOLDER = "months"

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class FileVersion:
    """Version of a file, as its source describes it.

    Parameters
    ----------
    etag, last_modified
        Values that the source gives; None where it does not.
    size
        Bytes; None where the source does not say.
    """

    etag: str | None
    last_modified: str | None
    size: int | None

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> Self:
        """Read the version from a web server's headers."""
        return cls(headers.get("ETag"), headers.get("Last-Modified"), content_length(headers))

    @classmethod
    def of_object(cls, file: UPath) -> Self:
        """Read the version of an existing object in a bucket."""
        info = file.fs.info(file.path, refresh=True)
        modified = info.get("LastModified")
        return cls(info.get("ETag"), None if modified is None else str(modified), info["size"])

    @classmethod
    def of_file(cls, file: Path) -> Self:
        """Read the version of an existing file."""
        status = file.stat()
        return cls(None, str(status.st_mtime_ns), status.st_size)

    def is_same(self, other: FileVersion) -> bool:
        """Return whether both are surely of the same content; False if in doubt."""
        if self.etag and other.etag:
            return self.etag == other.etag
        known = self.last_modified is not None and self.size is not None
        return known and (self.last_modified, self.size) == (other.last_modified, other.size)


@dataclass(frozen=True)
class CachedFile:
    """A fetched file.

    Parameters
    ----------
    url
        Address of the source.
    version
        Version at the source.
    digest
        sha256, hex.
    size
        Bytes.
    fetched
        Time of the download, as ISO 8601 text.
    """

    url: str
    version: FileVersion
    digest: str
    size: int
    fetched: str


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the bytes that a server says it sends; None where it says no number.

    Proxies repeat the number (``5, 5``), which counts as said once (RFC 9110, 8.6).

    Examples
    --------
    >>> content_length({"Content-Length": "5, 5"}), content_length({"Content-Length": "5.0"})
    (5, None)
    """
    said = {one.strip() for one in headers.get("Content-Length", "").split(",")}
    one = said.pop()
    return int(one) if not said and one.isascii() and one.isdecimal() else None


def find_cached(path: UPath, url: str) -> CachedFile | None:
    """The cached file at *path*, if it comes from *url* and is still what was fetched."""
    cached = read_document(entry_of(path), _cached_file) if path.exists() else None
    same = cached is not None and cached.url == url and cached.size == path.stat().st_size
    if same:
        mark_used(path)
    return cached if same else None


def discard_cached(path: UPath, url: str, why: Exception) -> bool:
    """Move a fetched file that cannot be read aside, so that the next run fetches it again.

    Otherwise it would stay for as long as its source names the same version. A file that was not
    fetched is the user's, and stays where it is.
    """
    if find_cached(path, url) is None:
        return False
    move_aside(path, why)
    return True


def record_download(path: UPath, url: str, version: FileVersion) -> CachedFile:
    """Note where a fetched file comes from."""
    now = dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds")
    cached = CachedFile(url, version, digest_of(path), path.stat().st_size, now)
    write_bytes(entry_of(path), text_of(cached).encode())
    return cached


@dataclass(frozen=True)
class CachedDigest:
    """The sha256 of a file of the user's, and by what a change of it would be noticed.

    Parameters
    ----------
    path, size, modified
        Of the file, when it was read; its time as its storage gives it.
    digest
        sha256, hex.
    """

    path: str
    size: int
    modified: float
    digest: str


def digest_of(path: UPath) -> str:
    """The sha256 of a file, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def cached_digest(path: UPath, memory: UPath) -> str:
    """The sha256 of a file of the user's, which is read again only when it has changed.

    Parameters
    ----------
    memory
        A folder of ours, where digests are noted by the file's path, size and time.
    """
    stat = path.stat()
    seen = (str(path), stat.st_size, getattr(stat, "st_mtime_ns", stat.st_mtime))
    entry = memory / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.json"
    noted = read_document(entry, _remembered)
    if noted is not None and (noted.path, noted.size, noted.modified) == seen:
        return noted.digest
    digest = digest_of(path)
    write_bytes(entry, text_of(CachedDigest(*seen, digest)).encode())
    return digest


def _remembered(stored: dict[str, Any]) -> CachedDigest:
    # Versions before 0.2 have noted a list.
    if "seen" in stored:
        path, size, modified = stored["seen"]
        return CachedDigest(path, size, modified, stored["digest"])
    return record_of(CachedDigest, stored)


def _cached_file(stored: dict[str, Any]) -> CachedFile:
    # Versions before 0.2 have noted fields alone.
    if "format" not in stored:
        stored = {**stored, "version": record_of(FileVersion, stored["version"])}
    return record_of(CachedFile, stored)


def entry_of(path: UPath) -> UPath:
    """Return the note beside a fetched file that says where it comes from."""
    return path.parent / f"{path.name}.source.json"

"""Copies of files that web servers and stores hold: fetched once, and read as often as needed."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from upath import UPath

from model_loop.datasets.addresses import folder_values
from model_loop.errors import NotPublishedError
from model_loop.objects.files import LOCAL_PROTOCOLS, atomic_write
from model_loop.objects.remote import WEB, naming
from model_loop.partitions.checked import COPIES
from model_loop.partitions.types import Copies
from model_loop.sources.cache import CachedFile, FileVersion, find_cached, record_download
from model_loop.sources.download import download, published
from model_loop.sources.eviction import room_for


def copies_in(root: UPath, timeout_seconds: float) -> Copies:
    """Return the copies under a storage root; see `copy_of`."""
    folder = root / COPIES

    def fetch(address: str) -> tuple[str, str | None, str | None]:
        path, cached = copy_of(address, root, timeout_seconds)
        return str(path), cached.version.etag, cached.version.last_modified

    def make_room(address: str) -> AbstractContextManager[None]:
        return room_for(address, root, None)

    return Copies(folder, timeout_seconds, fetch, make_room)


def version_at(address: str, timeout_seconds: float) -> FileVersion | None:
    """Return the version of a remote file, without reading it; None if it is not there.

    Raises
    ------
    SourceError
        If its server refuses it, or does not answer.
    """
    try:
        if address.startswith(WEB):
            return FileVersion.of_headers(published(address, timeout_seconds))
        with naming(address):
            return FileVersion.of_object(UPath(address))
    except NotPublishedError:
        return None


def copy_of(address: str, root: UPath, timeout_seconds: float) -> tuple[UPath, CachedFile]:
    """Return the copy of a remote file, fetched anew where the file is another one by now.

    Parameters
    ----------
    root
        Storage root. Each copy has a folder of its own, by its address, and its name, by whose
        ending readers know compressed files.

    Raises
    ------
    NotPublishedError
        If it is not there.
    SourceError
        If it may not be read, its server does not answer, or breaks off.
    """
    name = address.partition("?")[0].rpartition("/")[2] or "file"
    # Folders of Hive say values of columns.
    folders = [f"{key}={value}" for key, value in folder_values(address).items()]
    target = root.joinpath(
        COPIES, hashlib.sha256(address.encode()).hexdigest()[:16], *folders, name
    )
    known, version = find_cached(target, address), version_at(address, timeout_seconds)
    if known is not None and version is not None and known.version.is_same(version):
        return target, known
    with room_for(address, root, None if version is None else version.size):
        if address.startswith(WEB):
            version = _download(address, target, timeout_seconds)
        else:
            with (
                naming(address),
                UPath(address).open("rb") as source,
                atomic_write(target) as partial,
                partial.open("wb") as copy,
            ):
                shutil.copyfileobj(source, copy)
    if version is None:
        raise NotPublishedError(address, "is not there", "Check the address.")
    return target, record_download(target, address, version)


def _download(address: str, target: UPath, timeout_seconds: float) -> FileVersion:
    if target.protocol in LOCAL_PROTOCOLS:
        headers = download(address, Path(target.path), timeout_seconds, _take_anything)
        return FileVersion.of_headers(headers)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / target.name
        headers = download(address, local, timeout_seconds, _take_anything)
        with local.open("rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    return FileVersion.of_headers(headers)


def _take_anything(path: Path, url: str) -> None:
    """Leave it to the reader of tables to refuse a file that is none."""

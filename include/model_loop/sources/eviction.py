"""Bound of the cache of fetched files: those that were used least recently are removed first."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from upath import UPath

from model_loop.errors import TransientSourceError
from model_loop.objects.files import remove_unless_held
from model_loop.partitions.checked import COPIES
from model_loop.settings import get_settings
from model_loop.sources.cache import FOLDER, entry_of

logger = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class CacheRules:
    """Bound of the cache.

    Parameters
    ----------
    most_bytes
        Bytes of all fetched files together; 0 sets no bound.
    minimum_seconds
        Seconds since the last use within which a file is kept in any case.
    """

    most_bytes: int
    minimum_seconds: float


@dataclass(frozen=True)
class CachedCopy:
    """A fetched file, or the copy of a partition of a database.

    Parameters
    ----------
    path
        Its path.
    size
        Bytes.
    used
        Time of the last use, in seconds since 1970.
    """

    path: UPath
    size: int
    used: float


def rules_of_settings() -> CacheRules:
    """Return the bound that the settings say."""
    settings = get_settings()
    return CacheRules(settings.cache_bytes, settings.cache_minimum_seconds)


def cached_copies(root: UPath) -> list[CachedCopy]:
    """Return the fetched files under a storage root, the least recently used first.

    Files of the user's own folders are none, and neither is what was made of fetched ones.
    """
    found = []
    for path in _paths(root):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        used = max(getattr(status, "st_atime", 0.0), status.st_mtime)
        found.append(CachedCopy(path, status.st_size, used))
    return sorted(found, key=lambda each: (each.used, str(each.path)))


def _paths(root: UPath) -> Iterator[UPath]:
    copies, fetched = root / COPIES, root / FOLDER
    for path in copies.rglob("*") if copies.exists() else ():
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".json":
            yield path
    for entry in fetched.rglob("*.source.json") if fetched.exists() else ():
        path = entry.parent / entry.name.removesuffix(".source.json")
        if path.exists():
            yield path


def trim_cache(
    root: UPath, rules: CacheRules, *, wanted: int = 0, only_look: bool = False
) -> list[CachedCopy]:
    """Remove files until the cache, with so many bytes more, is within its bound; return them.

    Files that were used a short while ago, and those that a process reads, stay: then the cache is
    larger than its bound, which is logged.

    Parameters
    ----------
    wanted
        Bytes that are about to be fetched.
    only_look
        Return what would be removed, and remove nothing.
    """
    if not rules.most_bytes:
        return []
    copies = cached_copies(root)
    left = sum(each.size for each in copies) + wanted - rules.most_bytes
    removed, horizon = [], time.time() - rules.minimum_seconds
    for copy in copies:
        if left <= 0 or copy.used > horizon:
            break
        if only_look or remove_unless_held(copy.path):
            if not only_look:
                entry_of(copy.path).unlink(missing_ok=True)
                logger.info("Removed from the cache: %s (%s bytes)", copy.path, f"{copy.size:,}")
            removed.append(copy)
            left -= copy.size
    if left > 0:
        logger.warning(
            "The cache in %s is %s bytes larger than its bound of %s: all other files were used "
            "within the last %g seconds, or are in use",
            root,
            f"{left:,}",
            f"{rules.most_bytes:,}",
            rules.minimum_seconds,
        )
    return removed


@contextmanager
def room_for(address: str, root: UPath, size: int | None) -> Iterator[None]:
    """Make room for a file in the cache, and name a disk that is full all the same.

    Parameters
    ----------
    address
        Address that is fetched.
    size
        Its bytes; None where its source does not say.

    Raises
    ------
    TransientSourceError
        If the disk is full.
    """
    trim_cache(root, rules_of_settings(), wanted=size or 0)
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise TransientSourceError(
            f"The copy of {address}",
            f"does not fit into {root}: {error.strerror}",
            "Free space on its disk, or set MODEL_LOOP_CACHE_BYTES to less than it has and start "
            "the DAG maintenance.",
        ) from error

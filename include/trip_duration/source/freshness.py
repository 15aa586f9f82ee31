"""Check that a month is still the one that its source publishes."""

from __future__ import annotations

from upath import UPath

from model_loop.errors import SourceError
from model_loop.sources.cache import FileVersion, digest_of
from model_loop.sources.download import published
from trip_duration.source.types import RawMonth


def is_unchanged(raw: RawMonth, *, timeout_seconds: float) -> bool:
    """Return whether a fetched month still exists, and still is the one that its source has.

    A website and a bucket are asked; a file is read. A source that does not answer counts as
    changed: fetching the month again says what is the matter.
    """
    path = UPath(raw.path)
    if not path.exists() or path.stat().st_size != raw.size:
        return False
    mine = FileVersion(raw.etag, raw.last_modified, raw.size)
    if raw.url.startswith(("https://", "http://")):
        try:
            return mine.is_same(FileVersion.of_headers(published(raw.url, timeout_seconds)))
        except SourceError:
            return False
    if raw.url.startswith("s3://"):
        file = UPath(raw.url)
        return file.exists() and mine.is_same(FileVersion.of_object(file))
    return digest_of(path) == raw.digest

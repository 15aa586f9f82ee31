"""The digest that a fetched file is named by."""

from __future__ import annotations

import dataclasses

from upath import UPath

from model_loop.sources.cache import FOLDER, cached_digest
from trip_duration.source.types import MonthFile, RawMonth


def with_digest(file: MonthFile, storage_root: str) -> RawMonth:
    """A fetched file with its digest; that of a user's file is computed once."""
    if isinstance(file, RawMonth):
        return file
    digest = cached_digest(UPath(file.path), UPath(storage_root) / FOLDER / "digests")
    return RawMonth(**dataclasses.asdict(file), digest=digest)

"""The digest that a fetched file is named by."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor, Future

from upath import UPath

from model_loop.trips.source.kept import FOLDER, remembered_digest
from model_loop.trips.source.types import MonthFile, RawMonth


def with_digest(file: MonthFile, storage_root: str) -> RawMonth:
    """A fetched file with its digest; that of a user's file is computed once."""
    if isinstance(file, RawMonth):
        return file
    digest = remembered_digest(UPath(file.path), UPath(storage_root) / FOLDER / "digests")
    return RawMonth(**dataclasses.asdict(file), digest=digest)


class Naming:
    """A fetched file that gets its digest beside other work.

    Parameters
    ----------
    file
        As `fetch_file` gives it.
    storage_root
        ``file://`` or ``s3://`` address.
    beside
        Who computes the digest.
    """

    def __init__(self, file: MonthFile, storage_root: str, beside: Executor) -> None:
        self.file = file
        self._storage_root, self._beside = storage_root, beside
        self._begun: Future[RawMonth] | None = None

    def begin(self) -> Future[RawMonth]:
        """Let the digest be computed, once."""
        if self._begun is None:
            self._begun = self._beside.submit(with_digest, self.file, self._storage_root)
        return self._begun

    def result(self) -> RawMonth:
        """Wait for the digest."""
        return self.begin().result()

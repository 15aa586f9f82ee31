"""Look which partitions a source has published.

A dataset in Python may know where its partitions are. Otherwise they are the files of its
declaration: one for each partition, or one table, which is another one when its content changes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from upath import UPath

from model_loop.datasets.addresses import PARTITION, holds_key, key_in
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import DATABASE, DatabaseSource, Declaration
from model_loop.datasets.registry import datasets_folder, find_variant
from model_loop.errors import InvalidInputError, SourceError
from model_loop.objects.remote import WEB, is_remote
from model_loop.partitions.database import open_table
from model_loop.partitions.keys import (
    WHOLE,
    is_complete,
    key_at,
    key_pattern,
    next_key,
    previous_key,
)
from model_loop.partitions.source import resolved_source
from model_loop.sources.cache import FOLDER, FileVersion, cached_digest
from model_loop.sources.copies import version_at
from model_loop.sources.publications import Publication, Publications
from model_loop.tables.refused import TableFileError
from model_loop.tables.table import source_files

#: Partitions that are looked at again where files cannot be listed: some are published anew.
LOOK_BACK = 12
Find = Callable[[str, str, str, float], FileVersion | None]


def declaration_at(dataset: Dataset, source: str) -> Declaration | None:
    """Return the declaration of a dataset, with a source in place of its own, as whole addresses.

    None of a dataset that is written in Python. Variants keep their own sources, unless another
    than the declared one is given.
    """
    declared = dataset.declaration
    if declared is None:
        return None
    if source != str(declared.source):
        if source.startswith(DATABASE):
            raise InvalidInputError(
                f"The source {source}",
                f"is not that of {dataset.name}, which is {declared.source}",
                "Name a table of a database in [source] of the declaration.",
            )
        bare = {
            name: variant.model_copy(update={"source": None})
            for name, variant in declared.variants.items()
        }
        declared = declared.model_copy(update={"source": source, "variants": bare})
    return resolved_source(declared, datasets_folder())


@dataclass(frozen=True)
class PublishedSource:
    """A source of the partitions of a variant.

    Parameters
    ----------
    variant
        Key of the variant.
    source
        Its address, as a form or a declaration names it.
    storage_root
        Where digests of files are kept.
    timeout_seconds
        Timeout of one request.
    trained
        The dataset as a version was trained on it, by which files are read; the present one by
        default.
    """

    variant: str
    source: str
    storage_root: str
    timeout_seconds: float
    trained: Dataset | None = field(default=None, repr=False, compare=False)

    @property
    def dataset(self) -> Dataset:
        """Dataset by which files are read."""
        return self.trained or find_variant(self.variant)[0]

    @property
    def is_one_table(self) -> bool:
        """Say whether its files are one table, and not one for each partition."""
        declared = self._declaration
        if declared is not None and isinstance(declared.source, DatabaseSource):
            return not declared.comes_in_partitions
        return declared is not None and not holds_key(self._address)

    def look(self, publications: Publications, since: str = "") -> Publications:
        """Look up the partitions that there are now, and whose true values have arrived.

        Where files cannot be listed, the known ones are looked at, and those that follow, one by
        one, up to the first that is not published.

        Parameters
        ----------
        publications
            Publications of the last look.
        since
            Partition before the first one that is looked for while none is known; by default one
            of some time ago.

        Raises
        ------
        InvalidInputError
            If it is no source.
        SourceError
            If it refuses an answer, or a table that comes as one is missing.
        TransientSourceError
            If it does not answer as it should.
        """
        if self.is_one_table:
            one = self.find(WHOLE)
            if one is None:
                noun = "row" if self._of_database else "file"
                raise SourceError(
                    f"The source {self.source}", f"has no {noun}", "Put the table there."
                )
            return Publications({WHOLE: one})
        now = dt.datetime.now(tz=dt.UTC)
        if self._of_database:
            there = self._tables(())
            return Publications(
                {key: one for key, one in there.items() if is_complete(key, self.dataset, now)}
            )
        if self._declaration is not None and not self._address.startswith(WEB):
            listed = [key for key in self._listed() if is_complete(key, self.dataset, now)]
            return self._of(listed)
        found = {**self._of(sorted(publications.known)[-LOOK_BACK:]).known}
        key = publications.newest or since or self._some_time_ago(now)
        while is_complete(key := next_key(key, self.dataset.partition), self.dataset, now):
            publication = self.find(key)
            if publication is None:
                break
            found[key] = publication
        return Publications(found)

    def find(self, partition: str) -> Publication | None:
        """Return a partition as the source has it; None where it has not.

        Raises
        ------
        InvalidInputError, SourceError, TransientSourceError
            As `look`.
        """
        if self._of_database:
            return self._tables([partition]).get(partition)
        own: Find | None = self.dataset.extensions.load("published")
        if own is not None:
            version = own(self.source, self.variant, partition, self.timeout_seconds)
        else:
            version = self._version(self._files(partition))
        return None if version is None else Publication(partition, version)

    @property
    def _of_database(self) -> bool:
        declared = self._declaration
        return declared is not None and isinstance(declared.source, DatabaseSource)

    def _tables(self, keys: Sequence[str]) -> dict[str, Publication]:
        """Return partitions of a database, whose versions it computes in one pass."""
        declared = self._declaration
        if declared is None:
            raise AssertionError(self.source)
        with open_table(declared, self.variant, self.timeout_seconds) as table:
            versions = table.versions(keys)
        return {
            key: Publication(key, FileVersion(version.digest, version.changed, None))
            for key, version in versions.items()
        }

    def _of(self, keys: Iterable[str]) -> Publications:
        found = {key: self.find(key) for key in keys}
        return Publications({key: one for key, one in found.items() if one is not None})

    @property
    def _declaration(self) -> Declaration | None:
        return declaration_at(self.dataset, self.source)

    @property
    def _named(self) -> str | None:
        """Name of the variant in the declaration; None where there is only one."""
        return self.variant.partition(".")[2] or None

    @property
    def _address(self) -> str:
        declared = self._declaration
        if declared is None:
            return self.source
        return str(declared.source_of(self._named))

    def _listed(self) -> list[str]:
        """Return the keys of the partitions that have a file, in their order."""
        part = self.dataset.partition
        keys = {key_in(self._address, address, part) for address in self._files(None)}
        return sorted(key for key in keys if key and re.fullmatch(key_pattern(part), key))

    def _files(self, partition: str | None) -> list[str]:
        """Return the addresses of the files of a partition, or of all; none, if there is none."""
        declared, address = self._declaration, self._address
        if declared is None:
            return []
        if address.startswith(WEB) and "*" not in address:
            return [address.replace(PARTITION, partition or WHOLE)]
        try:
            return source_files(
                declared, None if partition == WHOLE else partition, variant=self._named
            )
        except TableFileError as error:
            if error.code == "missing_file":
                return []
            raise

    def _version(self, addresses: Sequence[str]) -> FileVersion | None:
        """Return the version of several files as that of one; None if one of them is missing."""
        versions = [self._version_of(address) for address in addresses]
        if not versions or None in versions:
            return None
        if len(versions) == 1:
            return versions[0]
        content = [
            [address, asdict(version)]
            for address, version in zip(addresses, versions, strict=True)
            if version is not None
        ]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return FileVersion(digest, None, None)

    def _version_of(self, address: str) -> FileVersion | None:
        if is_remote(address):
            return version_at(address, self.timeout_seconds)
        path = UPath(address)
        if not path.exists():
            return None
        # Copied anew or touched, a file is still the same.
        digest = cached_digest(path, UPath(self.storage_root) / FOLDER / "digests")
        return FileVersion(digest, None, path.stat().st_size)

    def _some_time_ago(self, now: dt.datetime) -> str:
        key = key_at(now, self.dataset)
        for _ in range(LOOK_BACK + 1):
            key = previous_key(key, self.dataset.partition)
        return key

"""Rows of an identity in files: batches, results, chunks, checked tables and products."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.erasure.files import (
    UNREADABLE_TABLE,
    count_cells,
    count_rows,
    is_packed,
    is_table,
    rewrite_without,
)
from model_loop.erasure.identity import Identity
from model_loop.erasure.trace import Trace
from model_loop.objects.files import LOCAL_PROTOCOLS
from model_loop.partitions.checked import FOLDER as TABLES
from model_loop.partitions.checked import CheckedTableStore
from model_loop.scoring.batch.planning import SCORING_FOLDER
from model_loop.serving.batches.store import FINAL, AcceptedBatch, BatchStore
from model_loop.settings import Settings
from model_loop.training_set.products import TrainingSetProduct, TrainingSetStore

logger = logging.getLogger(__name__)

#: Folders of results below the storage root.
_PREDICTIONS = "predictions"
#: Folders of rows of datasets in Python, below the storage root.
_OF_PYTHON = ("months", "products/months")
#: Part of the names of files that hold a sample of a table.
_SAMPLE = "-sketch-"


@dataclass(frozen=True)
class ErasureStep:
    """A trace, and the function that removes it.

    Parameters
    ----------
    trace
        The place with its rows.
    make
        Makes the change, and returns the number of affected rows; None if it is impossible.
    """

    trace: Trace
    make: Callable[[], int] | None = None


@dataclass
class StoredRows:
    """Everything that keeps rows of a dataset as files.

    Parameters
    ----------
    settings
        Settings with the places.
    folders
        Further folders that are looked through, such as exports.
    """

    settings: Settings
    folders: tuple[Path, ...] = ()
    #: Counts of rows by path, so that no source is read twice in one search.
    _counted: dict[str, int] = field(default_factory=dict)
    #: Files of the last search that could not be read.
    unreadable: list[str] = field(default_factory=list)

    def find(self, identity: Identity) -> list[ErasureStep]:
        """Return every trace, in the order in which it has to go."""
        self._counted.clear()
        self.unreadable.clear()
        tables = [*self._in_tables(identity)]
        found = [
            *self._in_batches(identity),
            *self._in_folders(identity),
            *self._in_chunks(identity),
            # Copies identify the training sets that are made of the same files.
            *self._in_products(identity, self._digests_of(tables)),
            *tables,
        ]
        note = "It cannot be read, and was not searched: look at it, or remove it."
        unread = [
            ErasureStep(Trace("file", one, 0, "not changed", note)) for one in self.unreadable
        ]
        return [*found, *unread]

    def _in_batches(self, identity: Identity) -> Iterator[ErasureStep]:
        store = BatchStore(self.settings.batches_folder)
        for batch in store.listed():
            if batch.record.service not in identity.dataset.variants:
                continue
            yield from self._in_batch(batch, identity)

    def _in_batch(self, batch: AcceptedBatch, identity: Identity) -> Iterator[ErasureStep]:
        finished = batch.progress().state in FINAL
        for path in sorted(batch.folder.iterdir()):
            if not path.is_file() or not (rows := self._count(path, identity)):
                continue
            if not finished:
                note = "It is under way: it is cancelled, and its file is removed."
                trace = Trace("batch", str(path), rows, "removed", note)
                yield ErasureStep(trace, _cancelling(batch, rows))
            elif path.name == batch.record.source:
                note = "The file that was sent goes as a whole: its results are there."
                trace = Trace("batch", str(path), rows, "removed", note)
                yield ErasureStep(trace, _removing(path, rows))
            else:
                trace = Trace("batch", str(path), rows, "removed")
                yield ErasureStep(trace, _rewriting(path, identity))

    def _in_folders(self, identity: Identity) -> Iterator[ErasureStep]:
        results = self._local(_PREDICTIONS)
        for folder in (*self.folders, *([results] if results else [])):
            for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
                if not path.is_file() or not (rows := self._count(path, identity)):
                    continue
                if is_packed(path):
                    note = "It is packed: unpack it, or remove it."
                    yield ErasureStep(Trace("file", str(path), rows, "not changed", note))
                else:
                    trace = Trace("file", str(path), rows, "removed")
                    yield ErasureStep(trace, _rewriting(path, identity))

    def _in_chunks(self, identity: Identity) -> Iterator[ErasureStep]:
        folder = self._local(SCORING_FOLDER)
        for job in sorted(folder.iterdir()) if folder and folder.is_dir() else ():
            rows = sum(
                # Chunks of CSV have no header: that of the whole comes when they are joined.
                count_cells(path, identity)
                if path.suffix == ".csv"
                else self._count(path, identity)
                for path in _tables_in(job)
            )
            if rows:
                note = "Chunks of a batch that was not joined; they are scored again."
                trace = Trace("chunks", str(job), rows, "made again", note)
                yield ErasureStep(trace, _removing_folder(job, rows))

    def _in_tables(self, identity: Identity) -> Iterator[ErasureStep]:
        """Copies of partitions: kept and quarantined rows, and copies of remote files."""
        tables, places = self._local(TABLES), list[Path]()
        if tables is not None:
            places += [tables / variant for variant in identity.dataset.variants]
            places.append(tables / "files")
        if identity.dataset.declaration is None:
            places += [one for name in _OF_PYTHON if (one := self._local(name)) is not None]
        for place in places:
            paths = [*_tables_in(place)]
            samples = [path for path in paths if _SAMPLE in path.name]
            # Datasets in Python keep only the rows that are set aside under the key.
            searched = {_key_of(path) for path in paths if "-rows-" in path.name}
            of_identity = set[str]()
            for path in paths:
                if _SAMPLE in path.name:
                    continue
                if rows := self._count(path, identity):
                    of_identity.add(_key_of(path))
                    aside = "-quarantine-" in path.name
                    note = "The copy is made again from the source."
                    store = "quarantine" if aside else "checked table"
                    yield ErasureStep(
                        Trace(store, str(path), rows, "made again", note), _removing(path, rows)
                    )
            yield from _in_samples(samples, of_identity, searched)

    def _digests_of(self, tables: Sequence[ErasureStep]) -> set[str]:
        """Return the digests of the files that checked tables with such rows are made of."""
        keys = {_key_of(Path(one.trace.address)) for one in tables if one.trace.rows}
        known = CheckedTableStore(self.settings.storage_root).files_by_key()
        return set().union(*(digests for key, digests in known if key in keys))

    def _in_products(self, identity: Identity, held: Collection[str]) -> Iterator[ErasureStep]:
        """Training sets with such rows, or made of files that hold them; and these files."""
        store, sources = TrainingSetStore(self.settings.storage_root), dict[str, int | None]()
        for product in store.products():
            dataset: Dataset = product.request.dataset
            if dataset.name != identity.dataset.name:
                continue
            counts = {one.digest: self._count_source(one, identity) for one in product.files}
            sources |= {_place_of(one): counts[one.digest] for one in product.files}
            rows = _rows_in(product, identity)
            if rows or any(counts.values()) or not counts.keys().isdisjoint(held):
                note = (
                    "It is marked as erased, so that no version is said to be reproduced from it."
                )
                trace = Trace("training set", product.digest, rows, "removed", note)
                yield ErasureStep(trace, _erasing(store, product, rows))
        for place, found in sources.items():
            if found is None:
                note = "It is not a file of this machine, and was not searched: look there."
                yield ErasureStep(Trace("source", place, 0, "not changed", note))
            elif found:
                note = "The source is yours: take the rows out, or the next preparation reads them."
                yield ErasureStep(Trace("source", place, found, "not changed", note))

    def _count_source(self, file: Any, identity: Identity) -> int | None:  # noqa: ANN401 - of the dataset
        """Return the number of rows in a source; None where it cannot be searched."""
        path = Path(str(getattr(file, "path", "")).removeprefix("file://"))
        return self._count(path, identity) if path.is_file() else None

    def _count(self, path: Path, identity: Identity) -> int:
        if str(path) not in self._counted:
            try:
                self._counted[str(path)] = count_rows(path, identity) if is_table(path) else 0
            except UNREADABLE_TABLE as error:
                logger.warning("%s cannot be searched: %s", path, error)
                self._counted[str(path)] = 0
                self.unreadable.append(str(path))
        return self._counted[str(path)]

    def _local(self, name: str) -> Path | None:
        """Return a folder below the storage root; None where that is no folder of this machine."""
        root = UPath(self.settings.storage_root)
        return Path(root.path) / name if root.protocol in LOCAL_PROTOCOLS else None


def _tables_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and is_table(path))


def _key_of(path: Path) -> str:
    """Return the key of a checked table, which the names of all its files begin with."""
    return path.name.partition("-")[0]


def _in_samples(
    samples: Sequence[Path], of_identity: Collection[str], searched: Collection[str]
) -> Iterator[ErasureStep]:
    """Samples of checked tables for comparisons: without keys, they go with their table.

    Parameters
    ----------
    of_identity, searched
        Keys of tables that hold rows of the identity, and of all whose rows were searched.
    """
    for path in samples:
        if _key_of(path) in of_identity:
            note = "A sample of that table, for comparisons with later partitions."
            trace = Trace("checked table", str(path), 0, "made again", note)
            yield ErasureStep(trace, _removing(path, 0))
        elif _key_of(path) not in searched:
            note = (
                "A sample of rows without their keys, whose table is not here: it was not "
                "searched. Remove it; later partitions are then compared with others."
            )
            yield ErasureStep(Trace("checked table", str(path), 0, "not changed", note))


def _place_of(file: Any) -> str:  # noqa: ANN401 - of the dataset
    return str(getattr(file, "url", "") or getattr(file, "path", ""))


def _rows_in(product: TrainingSetProduct, identity: Identity) -> int:
    """Return the number of rows of an identity among the raw rows of a training set."""
    loaded = product.load()
    frames = (getattr(loaded, one.name) for one in fields(loaded))
    return sum(
        int(identity.mask(frame).sum()) for frame in frames if isinstance(frame, pd.DataFrame)
    )


def _rewriting(path: Path, identity: Identity) -> Callable[[], int]:
    return lambda: rewrite_without(path, identity) if path.exists() else 0


def _removing(path: Path, rows: int) -> Callable[[], int]:
    def remove() -> int:
        path.unlink(missing_ok=True)
        return rows

    return remove


def _removing_folder(path: Path, rows: int) -> Callable[[], int]:
    def remove() -> int:
        shutil.rmtree(path, ignore_errors=True)
        return rows

    return remove


def _cancelling(batch: AcceptedBatch, rows: int) -> Callable[[], int]:
    def cancel() -> int:
        batch.cancel()
        return rows

    return cancel


def _erasing(store: TrainingSetStore, product: TrainingSetProduct, rows: int) -> Callable[[], int]:
    def erase() -> int:
        store.erase(product)
        return rows

    return erase

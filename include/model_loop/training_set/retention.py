"""Retention of finished training sets and of the partitions behind them.

Of each kind of training set (service, recipe, encoding) the newest versions stay, and so does
whatever answered a request lately. Partitions stay as long as a training set names them, or they
are recent. Files of the user's own folders are never touched.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from upath import UPath

from model_loop.days import SECONDS_PER_DAY
from model_loop.partitions.checked import CheckedTableStore
from model_loop.training_set.products import TrainingSetProduct, TrainingSetStore
from model_loop.training_set.retention_rules import Retention

#: Folders of downloads, generated months, and their findings.
_FOLDERS = ("months", "products/months")


@dataclass(frozen=True)
class Pruning:
    """Training sets and files that would be removed.

    Parameters
    ----------
    products
        Training sets.
    files
        Files of partitions that no kept training set names.
    size
        Bytes of all of it.
    """

    products: tuple[TrainingSetProduct, ...]
    files: tuple[str, ...]
    size: int

    def __str__(self) -> str:
        return (
            f"{len(self.products)} training sets and {len(self.files)} files of partitions, "
            f"{self.size / 1e6:,.1f} MB"
        )


def plan_pruning(storage_root: str, retention: Retention) -> Pruning:
    """Find what is no longer needed; nothing is removed yet."""
    store = TrainingSetStore(storage_root)
    products = store.products()
    horizon = time.time() - retention.days * SECONDS_PER_DAY
    removed = tuple(_superseded(products, store.last_verified(), retention.versions, horizon))
    kept = [product for product in products if product not in removed]
    files = tuple(_unused_files(UPath(storage_root), kept, horizon))
    size = sum(product.reference.size for product in removed) + sum(
        path.stat().st_size for path in files
    )
    return Pruning(removed, tuple(str(path) for path in files), size)


def prune(storage_root: str, pruning: Pruning) -> None:
    """Remove what a plan names; what is gone already is no error."""
    store = TrainingSetStore(storage_root)
    for product in pruning.products:
        store.remove(product)
    for file in pruning.files:
        UPath(file).unlink(missing_ok=True)


def _superseded(
    products: Iterable[TrainingSetProduct],
    verified: dict[str, float],
    versions: int,
    horizon: float,
) -> Iterator[TrainingSetProduct]:
    """Training sets beyond the newest of their kind that nobody asked for lately."""
    seen: dict[tuple[str, str, str], int] = defaultdict(int)
    for product in products:
        request = product.request
        kind = (request.service, request.recipe, request.encoding)
        seen[kind] += 1
        used = max(product.created, verified.get(product.key, 0.0))
        if seen[kind] > versions and used < horizon:
            yield product


def _unused_files(
    root: UPath, kept: Iterable[TrainingSetProduct], horizon: float
) -> Iterator[UPath]:
    """Files of partitions that no kept training set names and that are not recent."""
    named = {(file.variant, file.partition) for product in kept for file in product.files}
    for folder in (root / name for name in _FOLDERS):
        for path in folder.rglob("*") if folder.exists() else ():
            if path.is_file() and not _is_named(path, named) and path.stat().st_mtime < horizon:
                yield path
    # Everything of a checked table bears its key.
    digests = {file.digest for product in kept for file in product.files}
    tables = CheckedTableStore(str(root))
    needed = {key for key, files in tables.files_by_key() if files <= digests}
    for path in tables.folder.rglob("*") if tables.folder.exists() else ():
        old = path.is_file() and path.stat().st_mtime < horizon
        if old and path.name.partition("-")[0].removesuffix(".json") not in needed:
            yield path


def _is_named(path: UPath, named: set[tuple[str, str]]) -> bool:
    text = str(path)
    return any(f"/{variant}/" in text and partition in text for variant, partition in named)

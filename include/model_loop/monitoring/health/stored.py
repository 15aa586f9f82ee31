"""Parts of the health that others keep: the registry, and the stores.

Reading them imports MLflow's client and pandas: a server asks a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import dataset_of_variant, sound_datasets
from model_loop.monitoring.health.types import Champion, Product
from model_loop.partitions.checked import FOLDER
from model_loop.partitions.keys import WHOLE, parse_keys, span_of
from model_loop.tracking.deployments import first_standing
from model_loop.tracking.history import History
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.products import TrainingSetStore

#: Tags of a training run; see `tracking.runs.training_set_tags`.
_LEARNED_TAGS = ("TRAIN_DATA", "VAL_DATA")


def champion_of(versions: ModelVersions) -> Champion:
    """The version that answers, its age, and how new the rows are that it has learned from.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server does not answer.
    """
    standings = versions.standings()
    standing = first_standing(standings)
    if standing.champion is None:
        return Champion(None, standing.enabled)
    found = versions.find(standing.champion)
    dataset = dataset_of_variant(versions.service)
    newest = _newest(versions, found.run_id, dataset)
    return Champion(
        version=standing.champion,
        enabled=standing.enabled,
        registered=found.creation_timestamp / 1_000,
        promoted=next(
            (
                entry.at
                for entry in History(versions).entries()
                if entry.after.champion == standing.champion != entry.before.champion
            ),
            None,
        ),
        newest_month=newest,
        learned_until=None if newest is None else end_of(newest, dataset),
        by_moment={
            moment: one.champion for moment, one in standings.items() if one.champion is not None
        },
    )


def products_of(storage_root: str) -> tuple[Product, ...]:
    """The newest training set of each variant, recipe and encoding, and of each variant's files."""
    found = [*_training_sets(storage_root)]
    for dataset in sound_datasets():
        own: Callable[[str], Iterator[Product]] | None = dataset.extensions.load("products")
        found += own(storage_root) if own else _checked(dataset, storage_root)
    return tuple(found)


def end_of(partition: str, dataset: Dataset) -> float:
    """Return the end of a partition on the clocks of its place, in seconds since 1970."""
    return span_of(partition, dataset)[1].timestamp()


def _newest(versions: ModelVersions, run_id: str | None, dataset: Dataset) -> str | None:
    """The newest partition that the model of a run has learned from; None of a whole table."""
    if not run_id:
        return None
    tags = versions.tracker.client.get_run(run_id).data.tags
    # The final fit is on both.
    keys = ",".join(tags.get(name, "") for name in _LEARNED_TAGS).split(",")
    known = parse_keys([key for key in keys if key != WHOLE], dataset.partition)
    return known[-1] if known else None


def _training_sets(storage_root: str) -> Iterator[Product]:
    store = TrainingSetStore(storage_root)
    seen, checked = set(), store.last_verified()
    for product in store.products():
        request = product.request
        variant = f"{request.service} {request.recipe} {request.encoding}"
        if variant in seen:
            continue
        seen.add(variant)
        yield Product(
            "training_set",
            variant,
            product.span.rpartition("..")[2],
            product.created,
            checked.get(product.key),
        )


def _checked(dataset: Dataset, storage_root: str) -> Iterator[Product]:
    """Yield the newest checked partition of each variant of a declared table."""
    for variant in dataset.variants:
        folder = UPath(storage_root) / FOLDER / variant
        made = newest_made(folder)
        if made is not None:
            yield Product("partitions", variant, *made)


def newest_made(folder: UPath) -> tuple[str, float] | None:
    """Return the newest partition that has a folder with files, and when these were made."""
    made = {
        each.name: max(times)
        for each in (folder.iterdir() if folder.exists() else ())
        # A folder without a file is what a killed check has left.
        if (times := [float(file.stat().st_mtime) for file in each.iterdir()])
    }
    return (newest, made[newest]) if (newest := max(made, default=None)) is not None else None

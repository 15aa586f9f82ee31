"""Parts of the health that others keep: the registry, and the stores.

What reads them brings MLflow's client and pandas along: a server asks a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from upath import UPath

from model_loop.monitoring.health.types import Champion, Product
from model_loop.tracking.deployments import first_standing
from model_loop.tracking.history import History
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.products import TrainingSetStore
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.months import Month, parse_months
from trip_duration.values import TIME_ZONE

#: Tags of a training run; see `tracking.runs.training_set_tags`.
_LEARNED_TAGS = ("TRAIN_DATA", "VAL_DATA")


def champion_of(versions: ModelVersions) -> Champion:
    """The version that answers, its age, and how new the trips are that it has learned from.

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
    month = _newest_month(versions, found.run_id)
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
        newest_month=None if month is None else str(month),
        learned_until=None if month is None else end_of(month),
        by_moment={
            moment: one.champion for moment, one in standings.items() if one.champion is not None
        },
    )


def products_of(storage_root: str) -> tuple[Product, ...]:
    """The newest training set of each service, recipe and encoding, and each service's months."""
    return (*_training_sets(storage_root), *_months(storage_root))


def end_of(month: Month) -> float:
    """Return the end of a month on the city's clocks, in seconds since 1970."""
    return month.next().start.replace(tzinfo=ZoneInfo(TIME_ZONE)).timestamp()


def _newest_month(versions: ModelVersions, run_id: str | None) -> Month | None:
    """The newest month that the model of a run has learned from."""
    if not run_id:
        return None
    tags = versions.tracker.client.get_run(run_id).data.tags
    # The final fit is on both.
    months = parse_months(",".join(tags.get(name, "") for name in _LEARNED_TAGS))
    return max(months, default=None)


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


def _months(storage_root: str) -> Iterator[Product]:
    folder = CheckedMonthStore(storage_root).folder
    for service in sorted(folder.iterdir()) if folder.exists() else ():
        # A folder without a file is what a killed check has left.
        made = {month.name: at for month in service.iterdir() if (at := _changed(month))}
        if made:
            newest = max(made)
            yield Product("months", service.name, newest, made[newest])


def _changed(folder: UPath) -> float | None:
    return max((float(file.stat().st_mtime) for file in folder.iterdir()), default=None)

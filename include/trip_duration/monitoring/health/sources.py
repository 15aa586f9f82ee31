"""Where the parts of the health come from: request log, registry, stores."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Engine, func, select
from upath import UPath

from trip_duration.monitoring.health.types import (
    RECENT_SECONDS,
    Answers,
    Champion,
    Product,
    Traffic,
)
from trip_duration.scoring.columns import TIME_ZONE
from trip_duration.serving.log_tables import dropped, predictions
from trip_duration.serving.service import PredictionService
from trip_duration.tracking.promotion import Promoter
from trip_duration.training_set.products import TrainingSetStore
from trip_duration.trips.contract.checked import CheckedMonthStore
from trip_duration.trips.months import Month, parse_months

QUANTILES = (0.5, 0.95, 0.99)
#: The latest answers whose latency is looked at.
_LATENCIES = 20_000
#: Tags of a training run; see `tracking.runs.training_set_tags`.
_LEARNED_TAGS = ("TRAIN_DATA", "VAL_DATA")


def traffic_of(engine: Engine, service: str, now: float) -> Traffic:
    """What the request log holds of a service's traffic.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the database does not answer.
    """
    log = predictions.c
    recent = (log.service == service, log.at >= now - RECENT_SECONDS)
    latencies = select(log.latency_ms).where(*recent).order_by(log.at.desc()).limit(_LATENCIES)
    with engine.connect() as connection:
        seconds = np.asarray(connection.scalars(latencies).all()) / 1_000
        return Traffic(
            predictions=connection.scalar(select(func.count()).where(*recent)) or 0,
            latency={one: float(np.quantile(seconds, one)) for one in QUANTILES}
            if len(seconds)
            else {},
            latest=connection.scalar(
                select(log.at).where(log.service == service).order_by(log.at.desc()).limit(1)
            ),
            lost=connection.scalar(select(func.sum(dropped.c.predictions))) or 0,
        )


def answers_of(service: PredictionService) -> Answers:
    """What a server has counted."""
    return Answers(service.metrics.by_status(), service.log.waiting)


def champion_of(promoter: Promoter) -> Champion:
    """The version that answers, its age, and how new the trips are that it has learned from.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server does not answer.
    """
    standing = promoter.standing()
    if standing.champion is None:
        return Champion(None, standing.enabled)
    client = promoter.tracker.client
    found = client.get_model_version(promoter.name, str(standing.champion))
    month = _newest_month(promoter, found.run_id)
    return Champion(
        version=standing.champion,
        enabled=standing.enabled,
        registered=found.creation_timestamp / 1_000,
        promoted=next(
            (
                entry.at
                for entry in promoter.history()
                if entry.after.champion == standing.champion != entry.before.champion
            ),
            None,
        ),
        newest_month=None if month is None else str(month),
        learned_until=None if month is None else end_of(month),
    )


def products_of(storage_root: str) -> tuple[Product, ...]:
    """The newest training set of each service, recipe and encoding, and each service's months."""
    return (*_training_sets(storage_root), *_months(storage_root))


def end_of(month: Month) -> float:
    """When a month ends on the city's clocks, in seconds since 1970."""
    return month.next().start.replace(tzinfo=ZoneInfo(TIME_ZONE)).timestamp()


def _newest_month(promoter: Promoter, run_id: str | None) -> Month | None:
    """The newest month that the model of a run has learned from."""
    if not run_id:
        return None
    tags = promoter.tracker.client.get_run(run_id).data.tags
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
            str(max(request.split.all)),
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

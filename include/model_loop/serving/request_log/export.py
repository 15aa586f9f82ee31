"""The request log as Parquet files, one folder for each day: what monitoring and notebooks read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine, func, select
from upath import UPath

from model_loop.objects.files import atomic_write
from model_loop.scoring.answers import answered
from model_loop.serving.request_log.tables import feedback, predictions
from trip_duration.columns import TRIP_COLUMNS

_DAY = dt.timedelta(days=1)


def export_log(engine: Engine, folder: Path, since: dt.date | None = None) -> list[Path]:
    """Write ``day=2024-03-01/predictions.parquet`` for each day (UTC) that has predictions.

    A file that exists is replaced as a whole: feedback may have come since.

    Parameters
    ----------
    since
        First day; the first of the log where it is left out.

    Returns
    -------
    list of Path
        The files.
    """
    written = []
    for day in _days(engine, since):
        path = folder / f"day={day}" / "predictions.parquet"
        trips = read_day(engine, day)
        if trips.empty:
            continue
        with atomic_write(UPath(path)) as file:
            trips.to_parquet(file.path, index=False)
        written.append(path)
    return written


def read_day(engine: Engine, day: dt.date) -> pd.DataFrame:
    """Return the predictions of a day (UTC), with ``actual_minutes`` where they are known.

    `prediction` with its `unit`, and `model_version`; `minutes` and `version` are their names of
    before 0.2.
    """
    start = dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()
    end = dt.datetime.combine(day + _DAY, dt.time(), dt.UTC).timestamp()
    query = (
        select(predictions, feedback.c.actual_minutes)
        .join(feedback, feedback.c.prediction_id == predictions.c.prediction_id, isouter=True)
        .where(predictions.c.at >= start, predictions.c.at < end)
        .order_by(predictions.c.at)
    )
    with engine.connect() as connection:
        trips = pd.read_sql(query, connection)
    return trips.assign(
        **answered(trips["minutes"], trips["version"]),
        at=pd.to_datetime(trips["at"], unit="s", utc=True),
        **{name: pd.to_datetime(trips[name].astype("float64"), unit="s") for name in _TIMES},
        # A whole column may be unknown, which leaves it without a type.
        **{name: trips[name].astype("float64") for name in _NUMBERS},
        **{name: trips[name].astype("Int64") for name in _WHOLE},
    )


_NUMBERS = (
    *(column.field for column in TRIP_COLUMNS.by_kind("number")),
    "shadow_minutes",
    "actual_minutes",
)
_WHOLE = (*(column.field for column in TRIP_COLUMNS.by_kind("category")), "shadow_version")
_TIMES = tuple(column.field for column in TRIP_COLUMNS.by_kind("time"))


def _days(engine: Engine, since: dt.date | None) -> Iterator[dt.date]:
    with engine.connect() as connection:
        first, last = connection.execute(
            select(func.min(predictions.c.at), func.max(predictions.c.at))
        ).one()
    if first is None:
        return
    day, end = (dt.datetime.fromtimestamp(at, dt.UTC).date() for at in (first, last))
    day = max(day, since or day)
    while day <= end:
        yield day
        day += _DAY

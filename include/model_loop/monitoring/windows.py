"""Predictions within a window of time: the trips, the predicted and the actual durations.

A window lies between two moments in UTC. Requests belong to it by the moment at which they were
answered; the trips of a published month by their pick-up on the city's clocks, so that the window
of a month begins at midnight in New York.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import Engine, select

from model_loop.datasets.dataset import Moment
from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import InvalidInputError
from model_loop.scoring.answers import IDENTIFIER, PREDICTION, VERSION
from model_loop.scoring.columns import check_rows
from model_loop.scoring.predictor import Predictor
from model_loop.serving.request_log.tables import feedback, predictions
from model_loop.training_set.matrices import Targets
from trip_duration.cleaning import Selection, clean_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.columns import TRIP_COLUMNS
from trip_duration.contract.checked import CheckedMonth
from trip_duration.dataset import TRIPS
from trip_duration.months import Month
from trip_duration.services import DROPOFF_ZONE, DURATION, PICKUP_TIME, PICKUP_ZONE, get_service
from trip_duration.values import TIME_ZONE

Source = Literal["request_log", "batch", "month"]

ZONES = (PICKUP_ZONE, DROPOFF_ZONE)
Days = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """A time in which a service is looked at.

    Parameters
    ----------
    service
        Its name.
    start, end
        Moments in UTC; the end is not included.
    label
        For people, and unique among the windows of a service: ``2024-02``, ``2024-02-01 to
        2024-02-08``.

    Raises
    ------
    InvalidInputError
        If it ends before it begins, or a time has no zone.
    """

    service: str
    start: dt.datetime
    end: dt.datetime
    label: str

    def __post_init__(self) -> None:
        """Check the times."""
        if self.start.tzinfo is None or self.end.tzinfo is None or self.end <= self.start:
            raise InvalidInputError(
                f"A window from {self.start} to {self.end}",
                "is not a range of time in UTC",
                "Give two moments in UTC, the earlier one first.",
            )

    @classmethod
    def of_days(cls, service: str, start: dt.datetime, end: dt.datetime) -> Window:
        """The window between two moments in UTC."""
        first, last = (moment.astimezone(dt.UTC) for moment in (start, end))
        whole = all(moment.time() == dt.time() for moment in (first, last))
        form = "%Y-%m-%d" if whole else "%Y-%m-%d %H:%M"
        return cls(service, first, last, f"{first.strftime(form)} to {last.strftime(form)}")

    @classmethod
    def of_month(cls, service: str, month: Month) -> Window:
        """The window of a month, which begins at midnight on the city's clocks."""
        start, end = (
            moment.start.replace(tzinfo=ZoneInfo(TIME_ZONE)).astimezone(dt.UTC)
            for moment in (month, month.next())
        )
        return cls(service, start, end, str(month))


@dataclass(frozen=True)
class WindowTrips:
    """Trips of a window with their predictions.

    Parameters
    ----------
    window
        Window of the trips.
    source
        Source of the trips: the request log, scored files, or a published month.
    trips
        The raw columns that models take, by our names (`PICKUP_TIME` on the city's clocks),
        shape (trips, columns); NaN and NaT where the log does not hold what was asked.
    predicted
        Targets, shape (trips,); NaN where nobody has predicted.
    versions
        Version that has predicted, shape (trips,); 0 where none has.
    ids
        Prediction ids, or the rows of the month's clean trips as text; shape (trips,).
    actual
        Minutes that the trips took, shape (trips,); NaN where that is not known yet.
    asked
        Days since 1970 on which they were asked for, in UTC, shape (trips,); None where trips have
        times of their own.
    """

    window: Window
    source: Source
    trips: pd.DataFrame
    predicted: Targets
    versions: npt.NDArray[np.int64]
    ids: npt.NDArray[np.object_]
    actual: Targets
    asked: Days | None = None

    def __len__(self) -> int:
        """Number of trips."""
        return len(self.trips)

    def where(self, wanted: npt.NDArray[np.bool_]) -> WindowTrips:
        """Some of the trips."""
        return replace(
            self,
            trips=self.trips[wanted].reset_index(drop=True),
            predicted=self.predicted[wanted],
            versions=self.versions[wanted],
            ids=self.ids[wanted],
            actual=self.actual[wanted],
            asked=None if self.asked is None else self.asked[wanted],
        )

    def days(self) -> Days:
        """Return the day of each trip: of its pick-up, or where that is not known, of the request.

        As days since 1970.
        """
        asked = np.full(len(self), _day_of(self.window.start)) if self.asked is None else self.asked
        if PICKUP_TIME not in self.trips:
            return asked
        times = self.trips[PICKUP_TIME].to_numpy().astype("datetime64[D]")
        return np.where(np.isnat(times), asked, times.astype(np.int64))

    def of_version(self, version: int) -> WindowTrips:
        """Return the predictions of one version."""
        return self.where(self.versions == version)

    def asked_at(self, moment: Moment, moment_of: Callable[[int], Moment | None]) -> WindowTrips:
        """Return what versions of one moment have predicted.

        Whoever asks at a moment gives what is known by then: what others have asked for says
        nothing about it.

        Parameters
        ----------
        moment_of
            Moment of a version; None where it is not known.
        """
        own = [one for one in set(self.versions.tolist()) if moment_of(one) == moment]
        return self.where(np.isin(self.versions, own))

    def inputs(self, columns: Sequence[str]) -> pd.DataFrame:
        """Trips that a model which takes these columns can predict, in the types that it learned.

        Left out are trips of which the log does not hold where or when they went.
        """
        needed = [name for name in columns if name in (*ZONES, PICKUP_TIME)]
        known = self.trips.reindex(columns=list(columns)).dropna(subset=needed)
        return known.astype({name: np.int32 for name in ZONES if name in columns})


def read_request_log(engine: Engine, window: Window) -> WindowTrips:
    """Read all predictions within a window, by every version, with their feedback so far.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the database does not answer.
    """
    log = predictions.c
    query = (
        select(predictions, feedback.c.actual_minutes)
        .join(feedback, feedback.c.prediction_id == log.prediction_id, isouter=True)
        .where(
            log.service == window.service,
            log.at >= window.start.timestamp(),
            log.at < window.end.timestamp(),
        )
        .order_by(log.at, log.prediction_id)
    )
    with engine.connect() as connection:
        found = pd.read_sql(query, connection)
    # A column may be unknown as a whole, which leaves it without a type.
    trips = (
        found[list(TRIP_COLUMNS.fields)]
        .astype("float64")
        .set_axis(list(TRIP_COLUMNS.names), axis="columns")
    )
    seconds = trips[PICKUP_TIME]
    trips[PICKUP_TIME] = pd.to_datetime(seconds, unit="s").astype("datetime64[us]")
    return WindowTrips(
        window=window,
        source="request_log",
        trips=trips,
        predicted=found["minutes"].to_numpy(dtype=np.float64),
        versions=found["version"].to_numpy(dtype=np.int64),
        ids=found["prediction_id"].to_numpy(dtype=object),
        actual=found["actual_minutes"].to_numpy(dtype=np.float64),
        asked=(found["at"].to_numpy(dtype=np.float64) // SECONDS_PER_DAY).astype(np.int64),
    )


def of_month(
    month: CheckedMonth,
    columns: Sequence[str],
    rules: CleaningRules,
    predictor: Predictor | None = None,
) -> WindowTrips:
    """The trips of a published month, cleaned as for training, with how long they took.

    Parameters
    ----------
    columns
        Raw columns that are wanted.
    predictor
        The version that predicts them; None leaves them without predictions.

    Raises
    ------
    ContractError
        If the file is damaged, or no trip is left.
    """
    service = get_service(month.raw.service)
    found = clean_month(month, service, Selection(tuple(columns), rules))
    trips = found[list(dict.fromkeys((PICKUP_TIME, *columns)))]
    count = len(trips)
    return WindowTrips(
        window=Window.of_month(service.name, Month.parse(month.raw.month)),
        source="month",
        trips=trips,
        predicted=predictor.predict(trips) if predictor else np.full(count, np.nan),
        versions=np.full(count, predictor.version.number if predictor else 0, dtype=np.int64),
        ids=np.arange(count).astype(str).astype(object),
        actual=found[DURATION].to_numpy(),
    )


def of_scored(
    scored: pd.DataFrame,
    window: Window,
    columns: Sequence[str],
    wanted: Callable[[int], bool] = lambda _: True,
) -> WindowTrips:
    """The trips of an output of batch scoring.

    Parameters
    ----------
    scored
        Columns as they were given, with what scoring has added.
    columns
        Raw columns that are wanted.
    wanted
        Says of a version whether the trips that it has predicted count.

    Raises
    ------
    InvalidInputError
        If a column is lacking, or it is no output of batch scoring.
    """
    target = TRIPS.target
    if PREDICTION not in scored:
        # Files of before 0.2 have the older name alone.
        scored = scored.rename(columns={f"predicted_{target.former}": PREDICTION})
    if lacking := [name for name in (PREDICTION, VERSION, IDENTIFIER) if name not in scored]:
        raise InvalidInputError(
            f"A file without {', '.join(lacking)}",
            "was not made by batch scoring",
            "Give an output of the DAG batch_scoring.",
        )
    scored = scored[scored[VERSION].map(wanted).astype(bool)]
    if scored.empty:
        scored = scored.reindex(columns=[*columns, PREDICTION, VERSION, IDENTIFIER])
    checked = check_rows(TRIPS, scored, columns)
    rows: Any = scored.iloc[checked.rows.index]
    return WindowTrips(
        window=window,
        source="batch",
        trips=checked.rows.reset_index(drop=True),
        predicted=rows[PREDICTION].to_numpy(dtype=np.float64),
        versions=rows[VERSION].to_numpy(dtype=np.int64),
        ids=rows[IDENTIFIER].astype(str).to_numpy(dtype=object),
        actual=np.full(len(rows), np.nan),
    )


def _day_of(moment: dt.datetime) -> int:
    return int(moment.timestamp() // SECONDS_PER_DAY)

"""What a person or a request asks: a few trips, in their words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from model_loop.errors import InvalidInputError
from model_loop.scoring.columns import NAMES, check_rows, given_columns
from model_loop.scoring.identifiers import new_ids
from model_loop.scoring.predictor import Predictor
from model_loop.scoring.typical import typical_distance
from model_loop.trips.services import (
    DISTANCE,
    DROPOFF_ZONE,
    PICKUP_TIME,
    PICKUP_ZONE,
)
from model_loop.trips.values import NOT_ASKED, TIME_ZONE
from model_loop.trips.zone_names import find_zone

_ZONES = (PICKUP_ZONE, DROPOFF_ZONE)
Question = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The prediction for one trip.

    Parameters
    ----------
    prediction_id
        Names this prediction for good.
    minutes
        How long the trip is going to take.
    model_version
        Which version of the registered model has answered.
    pickup_zone, dropoff_zone
        Numbers of the zones.
    trip_distance
        Miles that were reckoned with; None where the model does not ask for them.
    typical_distance
        Whether these are the typical miles between the zones, because none were given.
    pickup_at
        When the trip begins, by the clocks of New York; None where the model does not ask for it.
    """

    prediction_id: str
    minutes: float
    model_version: int
    pickup_zone: int
    dropoff_zone: int
    trip_distance: float | None
    typical_distance: bool
    pickup_at: str | None


@dataclass(frozen=True)
class Answered:
    """What was asked, and what was answered.

    Parameters
    ----------
    trips
        The raw columns of the model, a row for each answer.
    answers
        In the order of the questions.
    """

    trips: pd.DataFrame
    answers: list[Answer]


def answer(
    predictor: Predictor, questions: Sequence[Question], *, now: dt.datetime | None = None
) -> Answered:
    """Predict a few trips.

    Parameters
    ----------
    questions
        One mapping for each trip: ``pickup_zone`` and ``dropoff_zone`` (a number, or
        ``Borough - Zone``), ``trip_distance`` in miles (the typical one, if it is left out or
        None), ``pickup_at`` (now, if it is left out or None; without an offset it is New York's
        time), ``passenger_count``, ``VendorID``, ``trip_type``. TLC's names of these are taken too,
        and whatever else a published trip holds is not looked at.
    now
        The moment that trips without a time begin; the present one if left out.

    Raises
    ------
    InvalidInputError
        If a question breaks a rule; the message says which one, and nothing is predicted.
    """
    start = (now or dt.datetime.now(tz=dt.UTC)).astimezone(ZoneInfo(TIME_ZONE))
    rows = [_row(f"inputs[{place}]", one, start) for place, one in enumerate(questions)]
    if not rows:
        return Answered(pd.DataFrame(), [])
    trips = _trips(predictor, rows)
    identifiers = new_ids(len(rows)).astype(str).tolist()
    minutes = predictor.minutes(trips).tolist()
    answers = [
        _answer(predictor, row, *found)
        for row, *found in zip(rows, identifiers, minutes, strict=True)
    ]
    return Answered(trips, answers)


def columns_given(questions: Sequence[Question]) -> set[str]:
    """Return the raw columns that every question has; the time of a trip is now where it has none.

    What is no question is refused when it is answered.
    """
    given = {*NAMES}
    for one in questions:
        if isinstance(one, Mapping):
            given &= given_columns(name for name, value in one.items() if value is not None)
    return {*given, PICKUP_TIME, *_ZONES}


def _row(place: str, question: Question, start: dt.datetime) -> dict[str, Any]:
    """One question by our names, with what it leaves out."""
    if not isinstance(question, Mapping):
        raise InvalidInputError(
            f"{place} = {question!r}",
            "is no trip",
            'Give an object such as {"pickup_zone": 239, "dropoff_zone": 236}.',
        )
    row = _renamed(place, question)
    for name in _ZONES:
        if row.get(name) is None:
            raise InvalidInputError(
                place, f"says no {NAMES[name][1]}", "Give its number or its name."
            )
        row[name] = _zone(place, row[name])
    row["typical"] = row.get(DISTANCE) is None
    if row.get(PICKUP_TIME) is None:
        row[PICKUP_TIME] = start.replace(tzinfo=None)
    return row


def _renamed(place: str, question: Question) -> dict[str, Any]:
    ours = {other: name for name, others in NAMES.items() for other in others}
    if unknown := [name for name in question if name not in ours and name not in NOT_ASKED]:
        raise InvalidInputError(
            f"{place}.{unknown[0]}", "is unknown", f"A trip has: {', '.join(sorted(ours))}."
        )
    row: dict[str, Any] = {}
    for given, value in question.items():
        name = ours.get(given)
        if name in row:
            raise InvalidInputError(
                f"{place}.{given}", f"gives {name} for the second time", "Give it once."
            )
        if name is not None:
            row[name] = value
    return row


def _zone(place: str, given: object) -> int:
    try:
        return find_zone(given)
    except InvalidInputError as error:
        raise InvalidInputError(f"{place}: {error.given}", error.rule, error.remedy) from error


def _trips(predictor: Predictor, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The raw columns of the model, complete."""
    if DISTANCE in predictor.columns:
        for row in rows:
            if row["typical"]:
                row[DISTANCE] = typical_distance(row[PICKUP_ZONE], row[DROPOFF_ZONE])
    frame = pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in NAMES}
    )
    checked = check_rows(frame, predictor.columns)
    for place, reason in enumerate(checked.reasons):
        if reason is not None:
            raise InvalidInputError(
                f"inputs[{place}]", f"is refused: {reason}", "Correct it; nothing was predicted."
            )
    for row, time in zip(rows, checked.trips.get(PICKUP_TIME, [None] * len(rows)), strict=True):
        row[PICKUP_TIME] = None if time is None else time.isoformat(timespec="seconds")
    return checked.trips


def _answer(predictor: Predictor, row: dict[str, Any], identifier: str, minutes: float) -> Answer:
    knows_distance = DISTANCE in predictor.columns
    return Answer(
        prediction_id=identifier,
        minutes=minutes,
        model_version=predictor.version.number,
        pickup_zone=row[PICKUP_ZONE],
        dropoff_zone=row[DROPOFF_ZONE],
        trip_distance=float(row[DISTANCE]) if knows_distance else None,
        typical_distance=knows_distance and row["typical"],
        pickup_at=row[PICKUP_TIME],
    )

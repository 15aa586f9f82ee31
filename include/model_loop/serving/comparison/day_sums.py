"""Add up the errors of the request log by version and day, where the log is."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from sqlalchemy import ColumnElement, Engine, Integer, Select, cast, func, select

from model_loop.datasets.classes import Classes
from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import ModelLoopError
from model_loop.models.intervals import ErrorSums, Floats
from model_loop.scoring.limits import LABEL, PROBABILITIES
from model_loop.serving.request_log.inputs import dataset_of_logged
from model_loop.serving.request_log.tables import ACTUAL_LABEL, declarations, feedback, predictions
from model_loop.tracking.deployments import log_once

#: Rows of the log that are read at once.
_ROWS = 10_000


@dataclass(frozen=True)
class Pairs:
    """Hold sums of a day over rows that two versions have predicted.

    Parameters
    ----------
    shadow
        Sums of the errors of the shadow.
    answered
        Sums of the absolute errors of the version that has answered.
    difference, squared
        Sums of the absolute error of the shadow less that of the other, and of its square.
    """

    shadow: ErrorSums
    answered: float
    difference: float
    squared: float


Wanted = tuple[ColumnElement[bool], ...]

#: Losses by which versions are compared: the absolute error of a number, the log loss of a class,
#: and the cost of an answer where the dataset declares what mistakes cost.
Measure = Literal["error", "log_loss", "cost"]

#: Sums by measure, version and day.
AnsweredSums = dict[Measure, dict[int, dict[int, ErrorSums]]]
#: Sums by measure, shadow and answering version, and day.
PairedSums = dict[Measure, dict[tuple[int, int], dict[int, Pairs]]]


@dataclass(frozen=True)
class ClassLosses:
    """Losses of a classifier's answers.

    Parameters
    ----------
    classes
        Classes of the dataset, with what mistakes cost.
    """

    classes: Classes

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The log loss, and the cost where it is declared."""
        return ("log_loss",) if self.classes.cost is None else ("log_loss", "cost")

    def of(self, chances: str | None, label: str, answered: str | None) -> list[float] | None:
        """Return the losses of a row by `measures`; None if no probability of its class is stored.

        Parameters
        ----------
        chances
            Probabilities by label, as JSON.
        label
            The true class.
        answered
            The class that was answered; None of a shadow, which has answered nobody: it is the
            positive one from the threshold of the declared cost on.
        """
        told = {} if chances is None else msgspec.json.decode(chances)
        if (chance := told.get(label)) is None:
            return None
        losses = [-math.log(max(chance, sys.float_info.epsilon))]
        if (cost := self.classes.cost) is None:
            return losses
        positive = str(self.classes.positive)
        if answered is None:
            called = told.get(positive, 0.0) >= self.classes.threshold_in_force
        else:
            called = answered == positive
        if called == (label == positive):
            return [*losses, 0.0]
        false_alarm, miss = cost
        return [*losses, false_alarm if called else miss]


def answered_by_day(engine: Engine, wanted: Wanted) -> AnsweredSums:
    """Add up errors by version and day, the version with the most rows first."""
    version, day = predictions.c.version, day_of(engine, predictions.c.at)
    error = predictions.c.minutes - feedback.c.actual_minutes
    query = (
        select(version, day, func.count(), *_powers(error))
        .join(feedback, feedback.c.prediction_id == predictions.c.prediction_id)
        .where(*wanted)
        .group_by(version, day)
    )
    found: dict[int, dict[int, ErrorSums]] = defaultdict(dict)
    with engine.connect() as connection:
        for number, when, *sums in connection.execute(query):
            found[number][int(when)] = ErrorSums(*sums)
    return {"error": {number: found[number] for number in _most_rows_first(found)}}


def shadowed_by_day(engine: Engine, wanted: Wanted) -> PairedSums:
    """Add up errors of rows that a shadow has predicted: by shadow, answering version and day."""
    log, day = predictions.c, day_of(engine, predictions.c.at)
    error = log.shadow_minutes - feedback.c.actual_minutes
    other = func.abs(log.minutes - feedback.c.actual_minutes)
    difference = func.abs(error) - other
    sums = [*_powers(error), *map(func.sum, (other, difference, difference * difference))]
    query = (
        select(log.shadow_version, log.version, day, func.count(), *sums)
        .join(feedback, feedback.c.prediction_id == log.prediction_id)
        .where(*wanted, log.shadow_version.is_not(None), log.shadow_minutes.is_not(None))
        .group_by(log.shadow_version, log.version, day)
        .order_by(log.shadow_version, log.version)
    )
    found: dict[tuple[int, int], dict[int, Pairs]] = defaultdict(dict)
    with engine.connect() as connection:
        for shadow, version, when, *numbers in connection.execute(query):
            found[shadow, version][int(when)] = Pairs(ErrorSums(*numbers[:5]), *numbers[5:])
    return {"error": dict(found)}


def class_losses_by_day(engine: Engine, wanted: Wanted, losses: ClassLosses) -> AnsweredSums:
    """Add up the losses of answers by version and day, the version with the most rows first.

    No loss is ever negative, so each equals its absolute value. Rows whose true class
    the version does not know are left out.
    """
    log, day = predictions.c, day_of(engine, predictions.c.at)
    found: dict[int, dict[int, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    query = _true_classes(wanted, log.version, day, log[PROBABILITIES], log[LABEL])
    for number, when, chances, answered, label in _streamed(engine, query):
        if (told := losses.of(chances, label, answered)) is not None:
            found[number][int(when)].append(told)
    sums = {
        measure: {
            number: {
                when: ErrorSums.of(np.array(rows)[:, place]) for when, rows in found[number].items()
            }
            for number in found
        }
        for place, measure in enumerate(losses.measures)
    }
    return {
        measure: {number: by_version[number] for number in _most_rows_first(by_version)}
        for measure, by_version in sums.items()
    }


def class_pairs_by_day(engine: Engine, wanted: Wanted, losses: ClassLosses) -> PairedSums:
    """Add up the losses of rows that a shadow has predicted; see `shadowed_by_day`."""
    log, day = predictions.c, day_of(engine, predictions.c.at)
    shadow, own = log[f"shadow_{PROBABILITIES}"], log[PROBABILITIES]
    columns = (log.shadow_version, log.version, day, shadow, own, log[LABEL])
    known = (*wanted, log.shadow_version.is_not(None), shadow.is_not(None))
    found: dict[tuple[int, int], dict[int, list[list[list[float]]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for first, second, when, theirs, ours, answered, label in _streamed(
        engine, _true_classes(known, *columns)
    ):
        unseen, told = losses.of(theirs, label, None), losses.of(ours, label, answered)
        if unseen is not None and told is not None:
            found[first, second][int(when)].append([unseen, told])
    return {
        measure: {
            versions: {when: _pairs(np.array(rows)[:, :, place]) for when, rows in days.items()}
            for versions, days in sorted(found.items())
        }
        for place, measure in enumerate(losses.measures)
    }


def _most_rows_first(found: Mapping[int, Mapping[int, ErrorSums]]) -> list[int]:
    """Return the versions by the number of their rows."""
    rows = {number: sum(day.rows for day in days.values()) for number, days in found.items()}
    return sorted(found, key=lambda number: (-rows[number], number))


def _pairs(losses: Floats) -> Pairs:
    difference = losses[:, 0] - losses[:, 1]
    return Pairs(
        ErrorSums.of(losses[:, 0]),
        float(losses[:, 1].sum()),
        float(difference.sum()),
        float(np.square(difference).sum()),
    )


def _true_classes(wanted: Wanted, *columns: ColumnElement[Any]) -> Select[Any]:
    """Select columns of predictions whose true class is known, and its label as the last."""
    label = feedback.c[ACTUAL_LABEL]
    return (
        select(*columns, label)
        .join(feedback, feedback.c.prediction_id == predictions.c.prediction_id)
        .where(*wanted, label.is_not(None))
    )


def _streamed(engine: Engine, query: Select[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield rows without holding all of them: not every database knows a logarithm, or JSON."""
    with engine.connect() as connection:
        for row in connection.execution_options(yield_per=_ROWS).execute(query):
            yield tuple(row)


def units_logged(engine: Engine, service: str) -> dict[int, str]:
    """Return the units in which versions have predicted, by the declarations that they read by."""
    version, digest = predictions.c.version, predictions.c.declaration
    read_by = (
        select(version, digest)
        .where(predictions.c.service == service, digest != "")
        .distinct()
        .subquery()
    )
    query = select(read_by.c.version, declarations.c.text).join(
        declarations, declarations.c.declaration == read_by.c.declaration
    )
    found = {}
    with engine.connect() as connection:
        for number, text in connection.execute(query):
            try:
                found[number] = dataset_of_logged(service, text).target.unit
            except ModelLoopError as error:
                log_once(f"The unit of version {number} of {service} is not known: {error}")
    return found


def _powers(error: ColumnElement[float]) -> list[ColumnElement[float]]:
    square = error * error
    return [func.sum(one) for one in (error, func.abs(error), square, square * square)]


def day_of(engine: Engine, at: ColumnElement[float]) -> ColumnElement[int]:
    """Return the day of a time in seconds since 1970, as days since then."""
    days = at / SECONDS_PER_DAY
    # SQLite's cast cuts off; that of Postgres rounds, and not every SQLite knows floor.
    return cast(days if engine.dialect.name == "sqlite" else func.floor(days), Integer)

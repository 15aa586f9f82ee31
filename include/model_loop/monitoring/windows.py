"""Predictions within a window of time: the rows of requests, predicted and true values.

A window lies between two moments in UTC. Requests belong to it by the moment at which they were
answered; the rows of a partition by their own time on the clocks of the dataset's place, so that
the window of a month begins at midnight there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import ColumnElement, Engine

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.datasets.stored import dataset_of_text
from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import InvalidInputError
from model_loop.monitoring.class_values import (
    codes_of_labels,
    no_outcomes,
    outcomes_of_texts,
    true_values,
)
from model_loop.partitions.keys import labels_delay, span_of
from model_loop.scoring.answers import IDENTIFIER, PREDICTION, VERSION
from model_loop.scoring.columns import Given, check_rows
from model_loop.scoring.limits import PROBABILITIES
from model_loop.scoring.predictor import Predictor
from model_loop.serving.request_log.inputs import read_inputs
from model_loop.serving.request_log.queries import logged_rows
from model_loop.serving.request_log.tables import ACTUAL_LABEL, declarations, predictions
from model_loop.training_set.frames import clock_times, model_frame
from model_loop.training_set.matrices import Targets

#: Rows of a published partition bear the name that records of windows have had since the first
#: version, whatever the length of a partition.
Source = Literal["request_log", "batch", "month"]

Days = npt.NDArray[np.int64]

_MICROSECONDS = 1e6


@dataclass(frozen=True)
class Window:
    """A time in which a variant is watched.

    Parameters
    ----------
    variant
        Its key.
    start, end
        Moments in UTC; the end is not included.
    label
        For people, and unique among the windows of a variant: ``2024-02``, ``2024-02-01 to
        2024-02-08``.
    trained
        The dataset as the watched version was trained on it, by which its rows are read; the
        present one by default.

    Raises
    ------
    InvalidInputError
        If it ends before it begins, or a time has no time zone.
    """

    variant: str
    start: dt.datetime
    end: dt.datetime
    label: str
    trained: Dataset | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the times."""
        if self.start.tzinfo is None or self.end.tzinfo is None or self.end <= self.start:
            raise InvalidInputError(
                f"A window from {self.start} to {self.end}",
                "is not a range of time in UTC",
                "Give two moments in UTC, the earlier one first.",
            )

    @classmethod
    def of_days(cls, variant: str, start: dt.datetime, end: dt.datetime) -> Window:
        """Return the window between two moments in UTC."""
        first, last = (moment.astimezone(dt.UTC) for moment in (start, end))
        whole = all(moment.time() == dt.time() for moment in (first, last))
        form = "%Y-%m-%d" if whole else "%Y-%m-%d %H:%M"
        return cls(variant, first, last, f"{first.strftime(form)} to {last.strftime(form)}")

    @classmethod
    def of_partition(cls, variant: str, partition: str) -> Window:
        """Return the window of a month, a week or a day: from midnight on the clocks of the place.

        Parameters
        ----------
        partition
            Its key: ``2024-02``, ``2024-W05``.

        Raises
        ------
        InvalidInputError
            If it is no key of the dataset's partitions.
        """
        return cls(variant, *span_of(partition, dataset_of_variant(variant)), partition)

    @property
    def dataset(self) -> Dataset:
        """Dataset by which the rows are read."""
        return self.trained or dataset_of_variant(self.variant)


@dataclass(frozen=True)
class WindowRows:
    """Rows of a window with their predictions.

    Parameters
    ----------
    window
        Window of the rows.
    source
        Source of the rows: the request log, scored files, or a partition.
    rows
        The raw columns that models take, by their names in frames, times on the clocks of the
        dataset's place, shape (rows, columns); NaN, NaT and None if the log does not hold the
        inputs.
    predicted
        Predictions as `models.outcomes` describes them: numbers or probabilities of classes; NaN
        where there is none.
    versions
        Version that has predicted, shape (rows,); 0 where none has.
    ids
        Prediction ids, or numbers of the partition's rows as text; shape (rows,).
    actual
        True values, or codes of true classes, shape (rows,); NaN where they are not known yet.
    asked
        Seconds since 1970 at which they were asked for, shape (rows,); None where rows have times
        of their own.
    declared
        Stored declaration by which each was read, shape (rows,), empty for the present one; None
        of rows that are not from the request log.
    """

    window: Window
    source: Source
    rows: pd.DataFrame
    predicted: Targets
    versions: npt.NDArray[np.int64]
    ids: npt.NDArray[np.object_]
    actual: Targets
    asked: npt.NDArray[np.float64] | None = None
    declared: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def dataset(self) -> Dataset:
        """Dataset of the window's variant."""
        return self.window.dataset

    @property
    def is_predicted(self) -> npt.NDArray[np.bool_]:
        """Return which rows have a prediction, shape (rows,)."""
        known = np.isfinite(self.predicted)
        return np.asarray(known.all(axis=1) if known.ndim > 1 else known)

    def where(self, wanted: npt.NDArray[np.bool_]) -> WindowRows:
        """Return some of the rows."""
        return replace(
            self,
            rows=self.rows[wanted].reset_index(drop=True),
            predicted=self.predicted[wanted],
            versions=self.versions[wanted],
            ids=self.ids[wanted],
            actual=self.actual[wanted],
            asked=None if self.asked is None else self.asked[wanted],
            declared=None if self.declared is None else self.declared[wanted],
        )

    def days(self) -> Days:
        """Return the day of each row: of its own time, or where that is not known, of the request.

        As days since 1970.
        """
        asked = (self._asked_at() // SECONDS_PER_DAY).astype(np.int64)
        times = self._times()
        if times is None:
            return asked
        days = times.to_numpy().astype("datetime64[D]")
        return np.where(np.isnat(days), asked, days.astype(np.int64))

    def awaited(self, now: dt.datetime) -> npt.NDArray[np.bool_]:
        """Return which rows have no true value because it cannot have arrived yet, shape (rows,).

        The declared delay counts from the time of a row, or of the request if the row has none; a
        dataset that declares no delay awaits nothing.
        """
        delay, without = labels_delay(self.dataset), np.isnan(self.actual)
        if delay is None:
            return np.zeros(len(self), dtype=bool)
        moments, times = self._asked_at(), self._times()
        if times is not None:
            # The clocks of the place do not say which of two equal hours in autumn is meant.
            local = times.dt.tz_localize(self.dataset.time_zone, ambiguous="NaT", nonexistent="NaT")
            own = local.dt.tz_convert(None).to_numpy().astype("datetime64[us]")
            moments = np.where(np.isnat(own), moments, own.astype(np.int64) / _MICROSECONDS)
        late: npt.NDArray[np.bool_] = moments + delay.total_seconds() > now.timestamp()
        return without & late

    def _asked_at(self) -> npt.NDArray[np.float64]:
        if self.asked is not None:
            return self.asked
        return np.full(len(self), self.window.start.timestamp())

    def _times(self) -> pd.Series[Any] | None:
        """Return the times of the rows on the clocks of the place; None if they have none."""
        time = self.dataset.time
        return None if time is None or time not in self.rows else clock_times(self.rows[time])

    def of_version(self, version: int) -> WindowRows:
        """Return the predictions of one version."""
        return self.where(self.versions == version)

    def asked_at(self, moment: Moment, moment_of: Callable[[int], Moment | None]) -> WindowRows:
        """Return what versions of one moment have predicted.

        A request at a moment gives what is known by then: requests at other moments say nothing
        about it.

        Parameters
        ----------
        moment_of
            Moment of a version; None where it is not known.
        """
        own = [one for one in set(self.versions.tolist()) if moment_of(one) == moment]
        return self.where(np.isin(self.versions, own))

    def inputs(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return rows that a model of these columns can predict, in the types that it learned.

        Left out are rows of which the log does not hold a column that a model cannot do without.
        """
        declared = self.dataset.columns
        needed = [name for name in columns if name in declared.required - declared.computed]
        known = self.rows.reindex(columns=list(columns)).dropna(subset=needed)
        codes = [one.name for one in declared.by_kind("category") if not one.text]
        known = known.astype({name: np.int32 for name in codes if name in needed})
        return _as_learned(self.dataset, known)


def read_request_log(engine: Engine, window: Window) -> WindowRows:
    """Read all predictions within a window, by every version, with their feedback so far.

    Rows that another declaration has read than that of the window are brought into its columns and
    onto its clocks; a column that has another name or type there is unknown.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the database does not answer.
    """
    log = predictions.c
    query = logged_rows().where(*_within(window)).order_by(log.at, log.prediction_id)
    with engine.connect() as connection:
        found = pd.read_sql(query, connection)
    predicted = found["minutes"].to_numpy(dtype=np.float64)
    actual = found["actual_minutes"].to_numpy(dtype=np.float64)
    if window.dataset.target.is_classified:
        # Codes of the log are those of the day of the feedback; labels do not change.
        predicted = outcomes_of_texts(found[PROBABILITIES], window.dataset.target)
        actual = codes_of_labels(found[ACTUAL_LABEL], window.dataset.target)
    return WindowRows(
        window=window,
        source="request_log",
        rows=_asked_by_all(window, found),
        predicted=predicted,
        versions=found["version"].to_numpy(dtype=np.int64),
        ids=found["prediction_id"].to_numpy(dtype=object),
        actual=actual,
        asked=found["at"].to_numpy(dtype=np.float64),
        declared=found["text"].fillna("").to_numpy(dtype=object),
    )


def declarations_within(engine: Engine, window: Window) -> list[str]:
    """Return the stored declarations by which the predictions of a window were read.

    The empty text stands for the present one.
    """
    texts = logged_rows().where(*_within(window)).with_only_columns(declarations.c.text).distinct()
    with engine.connect() as connection:
        return sorted({text or "" for text in connection.scalars(texts)})


def _within(window: Window) -> tuple[ColumnElement[bool], ...]:
    log = predictions.c
    return (
        log.service == window.variant,
        log.at >= window.start.timestamp(),
        log.at < window.end.timestamp(),
    )


def _asked_by_all(window: Window, found: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs, in the columns of the window's dataset."""
    texts, parts = found["text"].fillna(""), []
    for text in texts.unique():
        some = found[(texts == text).to_numpy()]
        own = dataset_of_text(text) if text else window.trained or window.dataset
        parts.append(_in_columns_of(window.dataset, own, _asked(own, some)))
    if not parts:
        return _asked(window.dataset, found)
    return (pd.concat(parts) if len(parts) > 1 else parts[0]).sort_index()


def _in_columns_of(dataset: Dataset, own: Dataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows that one declaration has read in the columns of another, on its clocks."""
    if own.reader == dataset.reader:
        return rows
    theirs = {column.name: column for column in own.columns}
    made: dict[str, Any] = {}
    for column in dataset.columns:
        other = theirs.get(column.name)
        values: Any = rows.get(column.name)
        if other is None or (other.kind, other.text) != (column.kind, column.text):
            values = pd.Series(np.nan, rows.index, dtype=object if column.text else np.float64)
        elif column.kind == "time" and own.time_zone != dataset.time_zone:
            local = values.dt.tz_localize(own.time_zone, ambiguous="NaT", nonexistent="NaT")
            values = local.dt.tz_convert(dataset.time_zone).dt.tz_localize(None)
        if column.kind == "time":
            values = values.astype("datetime64[us]")
        made[column.name] = values
    return pd.DataFrame(made, index=rows.index)


def _asked(dataset: Dataset, found: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs, by the names of columns in frames, in the types of training sets."""
    fields = list(dataset.columns.fields)
    if dataset.logged_in_columns:
        asked = found[fields]
    else:
        given = [read_inputs(dataset, {"inputs": text}) for text in found["inputs"]]
        asked = pd.DataFrame(given, columns=fields, dtype=object, index=found.index)
    made: dict[str, Any] = {}
    for column in dataset.columns:
        values = asked[column.field]
        if not column.text:
            # A column may be unknown as a whole, which leaves it without a type.
            values = values.astype("float64")
        if column.kind == "time":
            values = pd.to_datetime(values, unit="s").astype("datetime64[us]")
        made[column.name] = values
    return pd.DataFrame(made)


def of_rows(
    window: Window, rows: pd.DataFrame, columns: Sequence[str], predictor: Predictor | None = None
) -> WindowRows:
    """Return the rows of a partition, cleaned as for training, with their true values.

    Parameters
    ----------
    rows
        Raw columns with the target and, where the dataset has one, the time.
    columns
        Raw columns that are wanted.
    predictor
        The version that predicts them; None leaves them without predictions.
    """
    dataset, count = window.dataset, len(rows)
    times = () if dataset.time is None else (dataset.time,)
    asked = rows[list(dict.fromkeys((*times, *columns)))]
    return WindowRows(
        window=window,
        source="month",
        rows=asked,
        predicted=predictor.predict(_as_learned(dataset, asked))
        if predictor
        else no_outcomes(count, dataset.target),
        versions=np.full(count, predictor.version.number if predictor else 0, dtype=np.int64),
        ids=np.arange(count).astype(str).astype(object),
        actual=true_values(rows, dataset),
    )


def of_scored(
    outputs: Iterable[Given],
    window: Window,
    columns: Sequence[str],
    wanted: Callable[[int], bool] = lambda _: True,
) -> WindowRows:
    """Return the rows of outputs of batch scoring.

    Parameters
    ----------
    outputs
        Rows of each file as they are written, with what scoring has added.
    columns
        Raw columns that are wanted.
    wanted
        Says of a version whether the rows that it has predicted count.

    Raises
    ------
    InvalidInputError
        If a column is lacking, or it is no output of batch scoring.
    """
    dataset = window.dataset
    rows, added = [], []
    for output in outputs:
        answers = _answers(dataset, output)
        places = np.flatnonzero(answers[VERSION].map(wanted).astype(bool))
        if not len(places):
            continue
        checked = check_rows(dataset, _rows_at(output, places), columns)
        rows.append(checked.rows)
        added.append(answers.iloc[places[checked.rows.index]])
    empty = pd.DataFrame(columns=[PREDICTION, VERSION, IDENTIFIER, PROBABILITIES])
    answered = pd.concat(added, ignore_index=True) if added else empty
    return WindowRows(
        window=window,
        source="batch",
        rows=pd.concat(rows, ignore_index=True)
        if rows
        else check_rows(dataset, pd.DataFrame(columns=[*columns]), columns).rows,
        predicted=outcomes_of_texts(answered[PROBABILITIES], dataset.target)
        if dataset.target.is_classified
        else answered[PREDICTION].to_numpy(dtype=np.float64),
        versions=answered[VERSION].to_numpy(dtype=np.int64),
        ids=answered[IDENTIFIER].astype(str).to_numpy(dtype=object),
        actual=np.full(len(answered), np.nan),
    )


def _answers(dataset: Dataset, output: Given) -> pd.DataFrame:
    """Return what scoring has added to the rows of a file: prediction, version and identifier."""
    # Files of before 0.2 have the older name alone.
    older = f"predicted_{dataset.target.former}"
    given = {*chain.from_iterable(output)} if isinstance(output, Sequence) else {*output.keys()}
    names = {name: name for name in (PREDICTION, VERSION, IDENTIFIER)}
    names[PREDICTION] = older if PREDICTION not in given and older in given else PREDICTION
    if dataset.target.is_classified:
        names[PROBABILITIES] = PROBABILITIES
    if lacking := [name for name, written in names.items() if written not in given]:
        raise InvalidInputError(
            f"A file without {', '.join(lacking)}",
            "was not made by batch scoring",
            "Give an output of the DAG batch_scoring.",
        )
    found = pd.DataFrame(
        {
            name: [row.get(written) for row in output]
            if isinstance(output, Sequence)
            else pd.Series(output[written]).reset_index(drop=True)
            for name, written in names.items()
        }
    )
    numbers = found[[PREDICTION, VERSION]].apply(pd.to_numeric, errors="coerce")
    if numbers[VERSION].isna().any():
        raise InvalidInputError(
            f"A row without {VERSION}", "was not scored", "Give an output as it was written."
        )
    return found.assign(**{PREDICTION: numbers[PREDICTION], VERSION: numbers[VERSION].astype(int)})


def _rows_at(output: Given, places: npt.NDArray[np.intp]) -> Given:
    if isinstance(output, pd.DataFrame):
        return output.iloc[places]
    if isinstance(output, Sequence):
        return [output[place] for place in places]
    return {name: column.take(places) for name, column in output.items()}


def _as_learned(dataset: Dataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows in the types that models have learned."""
    return rows if dataset.declaration is None else model_frame(dataset.columns, rows)

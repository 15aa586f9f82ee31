"""Labels: the true values of predicted rows, and the predictions that each is one of.

Feedback names predictions by their ids. A file or table of labels may do so as well; otherwise its
rows are those that were predicted where the keys of the dataset agree.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import Engine

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import class_condition
from model_loop.datasets.stored import dataset_of_text
from model_loop.errors import InvalidInputError
from model_loop.monitoring.class_values import codes_of_labels, true_values
from model_loop.monitoring.windows import (
    Window,
    WindowRows,
    declarations_within,
    read_request_log,
)
from model_loop.scoring.answers import IDENTIFIER
from model_loop.serving.request_log.queries import note_feedback
from model_loop.tables.raw import read_raw
from model_loop.tables.table import declared_format
from model_loop.tables.values import ColumnFormat, to_frame
from model_loop.training_set.matrices import Targets

Agreeing = npt.NDArray[np.int64]

_NUMBER, _LABEL = "number of the prediction", "number of the label"


@dataclass(frozen=True)
class LabelReport:
    """Numbers of a window's predictions that were matched with true values.

    Parameters
    ----------
    predictions
        Predictions of the window.
    told
        Predictions whose true value was known before, by feedback.
    matched
        Those that one label agrees with.
    ambiguous
        Those that several labels agree with: left out.
    unmatched
        Those that no label agrees with, although it might have arrived.
    awaited
        Those whose true value cannot have arrived yet, by the declared delay.
    elsewhere
        Those whose keys were not logged, or that these labels cannot be about.
    strays
        Labels that agree with no prediction; `add_labels` alone counts them.
    """

    predictions: int
    told: int
    matched: int
    ambiguous: int
    unmatched: int
    elsewhere: int
    awaited: int = 0
    strays: int = 0

    @property
    def share(self) -> float:
        """Matched predictions as a share of those that could have been; NaN if there were none."""
        possible = self.matched + self.ambiguous + self.unmatched
        return self.matched / possible if possible else float("nan")

    def __str__(self) -> str:
        share = "" if np.isnan(self.share) else f" ({self.share:.1%} of those that could be)"
        awaited = f", {self.awaited:,} whose true value comes later" if self.awaited else ""
        labels = "label is" if self.strays == 1 else "labels are"
        strays = f"; {self.strays:,} {labels} of no logged prediction" if self.strays else ""
        return (
            f"{self.predictions:,} predictions: {self.told:,} with feedback, {self.matched:,} "
            f"matched{share}; left out {self.ambiguous:,} that several labels agree with, "
            f"{self.unmatched:,} that none does{awaited}, {self.elsewhere:,} that cannot be matched"
            f"{strays}"
        )


def read_labels(files: Sequence[str], dataset: Dataset) -> pd.DataFrame:
    """Read files of labels, of the same columns, as the files of the dataset are read.

    Parameters
    ----------
    files
        Paths, or addresses of a store: CSV, Parquet, Arrow or JSON lines.

    Raises
    ------
    InvalidInputError
        If it has no target, nothing by which predictions are found, or a value that cannot be read.
    TableFileError
        If it cannot be read.
    """
    declared, target = dataset.declaration, dataset.target.name
    if declared is None:
        raw = read_raw(files)
        formats = dict.fromkeys(raw.columns, ColumnFormat(kind="text"))
    else:
        raw = read_raw(files, encoding=declared.encoding, dialect=declared.dialect)
        formats = {name: declared_format(declared, name) for name in raw.columns}
    wanted = (*label_keys(list(raw.columns), dataset), target)
    classified = dataset.target.is_classified
    formats[target] = replace(formats[target], kind="text" if classified else "number")
    frame, unreadable = to_frame(
        {name: raw.columns[name] for name in wanted}, {name: formats[name] for name in wanted}
    )
    for row in raw.rejected[:1]:
        raise InvalidInputError(
            f"{row.file}: row {row.row}",
            f"cannot be read ({row.reason}), as {len(raw.rejected):,} rows",
            "Correct the file.",
        )
    for name, rows in unreadable.items():
        if rows.any():
            first = int(np.argmax(rows))
            raise InvalidInputError(
                f"{raw.files[raw.file_of_row[first]]}: {name} of row {raw.row_number[first]}",
                f"cannot be read as {formats[name].kind}, as {np.count_nonzero(rows):,} values",
                "Correct the file, or the format of the column in the declaration.",
            )
    return _coded(frame, dataset) if classified else frame


def _coded(frame: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return labels whose target is the code of a class; others than the learned are refused.

    The target holds the labels of classes or, where a condition makes them, values of its column.

    Raises
    ------
    InvalidInputError
        If a row has a class that the version has not learned, or the condition needs a further
        column.
    """
    name, classes, declared = dataset.target.name, dataset.target.classes, dataset.declaration
    if classes is None or declared is None:
        return frame
    texts, codes = frame[name], codes_of_labels(frame[name], dataset.target)
    condition = class_condition(declared)
    if condition is not None and np.isnan(codes[texts.notna()]).any():
        if further := condition.columns - {name}:
            raise InvalidInputError(
                f"Labels of {name}",
                f"are not classes, and the condition {condition.text!r} also reads "
                f"{', '.join(sorted(further))}",
                classes.remedy,
            )
        values = texts
        if declared.columns[name].type == "number":
            values = pd.to_numeric(texts, errors="coerce")
        codes = true_values(frame.assign(**{name: values}), dataset)
    strange = texts[np.isnan(codes) & texts.notna().to_numpy()]
    if len(strange):
        raise InvalidInputError(
            f"Class {strange.iloc[0]!r} of {len(strange):,} labels",
            "is not one that the version has learned",
            classes.remedy,
        )
    return frame.assign(**{name: codes})


def add_labels(
    engine: Engine,
    variant: str,
    read: Callable[[Dataset], pd.DataFrame],
    since: dt.datetime,
    caller: str,
) -> LabelReport:
    """Note the true values of logged predictions, as feedback does.

    Predictions are matched by the keys of the declaration that their version was trained on.

    Parameters
    ----------
    read
        Returns the labels as a dataset reads them, see `read_labels`.
    since
        Moment (UTC) from which predictions are looked through.
    caller
        Name under which the values are noted.

    Raises
    ------
    InvalidInputError
        If no declaration reads the labels or matches by them; see `match_labels`.
    sqlalchemy.exc.SQLAlchemyError
        If the database does not answer.
    """
    window = Window.of_days(variant, since, dt.datetime.now(dt.UTC))
    reports, refused = list[LabelReport](), None
    strays: list[pd.Index[int]] = []
    for text in declarations_within(engine, window) or [""]:
        scope = replace(window, trained=dataset_of_text(text) if text else None)
        asked = read_request_log(engine, scope)
        asked = asked.where(np.asarray(asked.declared == text))
        try:
            matched, report, left = _match(asked, read(scope.dataset), scope.dataset)
        except InvalidInputError as error:
            refused = refused or error
            reports.append(LabelReport(len(asked), 0, 0, 0, 0, elsewhere=len(asked)))
            continue
        new = np.isnan(asked.actual) & ~np.isnan(matched.actual)
        known: list[Any] = matched.actual[new].tolist()
        classes = scope.dataset.target.classes
        if classes is not None:
            known = [classes.labels[int(code)] for code in known]
        values = dict(zip(asked.ids[new].tolist(), known, strict=True))
        if values:
            note_feedback(engine, values, caller, classes=classes)
        reports.append(report)
        strays.append(left)
    if refused is not None and all(each.elsewhere == each.predictions for each in reports):
        raise refused
    total = LabelReport(
        *(sum(getattr(each, name.name) for each in reports) for name in fields(LabelReport))
    )
    # A label is about a prediction of any version.
    left = functools.reduce(pd.Index.intersection, strays)
    return replace(total, strays=len(left))


def match_labels(
    window: WindowRows, labels: pd.DataFrame, dataset: Dataset
) -> tuple[WindowRows, LabelReport]:
    """Give predictions their true values by a file or table of labels.

    Parameters
    ----------
    labels
        The target, and either ``prediction_id`` or every key of the dataset; see `label_keys`.
        Rows without a true value count for nothing.

    Returns
    -------
    WindowRows, LabelReport
        The window with what is known now, and how much that is.

    Raises
    ------
    InvalidInputError
        If there is no target in it, or neither ids nor keys.
    """
    return _match(window, labels, dataset)[:2]


def _match(
    window: WindowRows, labels: pd.DataFrame, dataset: Dataset
) -> tuple[WindowRows, LabelReport, pd.Index[int]]:
    """Match labels, see `match_labels`; the last are those that agree with no prediction."""
    keys = label_keys(labels.columns, dataset)
    asked = window.rows.assign(**{IDENTIFIER: window.ids})
    if lacking := [name for name in keys if name not in asked]:
        raise InvalidInputError(
            f"Key {', '.join(lacking)} of the dataset {dataset.name}",
            "is not stored with predictions, so they cannot be found by it",
            f"Give labels with {IDENTIFIER}, or declare label_keys of columns that are asked.",
        )
    values, agreeing, strays = _meet(asked[list(keys)], labels, dataset)
    return *_matched(window, values, agreeing), strays


def match_partition(window: WindowRows, partition: Any) -> tuple[WindowRows, LabelReport]:  # noqa: ANN401 - a frame, or what the dataset's own function reads
    """Give predictions the true values of the rows of a partition that they were made for.

    Parameters
    ----------
    partition
        What the dataset's extension `published_labels` reads; without one, a frame of labels.

    Raises
    ------
    ContractError
        If the partition is damaged, or there is none.
    """
    dataset = window.dataset
    find: Callable[..., tuple[Targets, Agreeing]] | None = dataset.extensions.load(
        "published_labels"
    )
    if find is None:
        if dataset.target.is_classified:
            codes = true_values(partition, dataset)
            partition = partition.assign(**{dataset.target.name: codes})
        return match_labels(window, partition, dataset)
    known = ~np.isnan(window.actual)
    values, agreeing = np.full(len(window), np.nan), np.full(len(window), -1)
    values[~known], agreeing[~known] = find(window.rows[~known].reset_index(drop=True), partition)
    return _matched(window, values, agreeing)


def can_match(dataset: Dataset) -> bool:
    """Return whether rows of published partitions can be matched with predictions."""
    declared = dataset.declaration
    if declared is None:
        return bool(dataset.extensions.published_labels)
    # Keys that no request has are found in no prediction.
    keys = declared.label_keys or declared.primary_key
    return bool(keys) and all(name in dataset.columns.places for name in keys)


def label_keys(given: Sequence[str] | pd.Index[Any], dataset: Dataset) -> tuple[str, ...]:
    """Return the columns of labels by which predictions are found.

    The prediction's id where there is one, otherwise the declared ``label_keys``, otherwise the
    primary key.

    Raises
    ------
    InvalidInputError
        If the labels lack the target, or have none of these.
    """
    names = list(map(str, given))
    target, declared = dataset.target.name, dataset.declaration
    keys = (declared.label_keys or declared.primary_key) if declared else ()
    if target not in names:
        raise InvalidInputError(
            f"Labels with the columns {', '.join(names)}",
            f"lack the target {target}",
            f"Give the true values in a column {target}.",
        )
    if IDENTIFIER in names:
        return (IDENTIFIER,)
    if not keys:
        raise InvalidInputError(
            f"Labels without {IDENTIFIER}",
            f"cannot be matched: the dataset {dataset.name} declares no keys",
            f"Add the column {IDENTIFIER}, or declare label_keys or primary_key.",
        )
    if lacking := [name for name in keys if name not in names]:
        raise InvalidInputError(
            f"Labels with the columns {', '.join(names)}",
            f"lack {', '.join(lacking)}",
            f"Give {IDENTIFIER}, or every key: {', '.join(keys)}.",
        )
    return keys


def labelled(
    window: WindowRows, counts: Callable[[Targets], npt.NDArray[np.bool_]] | None = None
) -> WindowRows:
    """Return the predictions whose true value is known.

    Parameters
    ----------
    counts
        Says which true values count: those that the version has learned from. Its errors outside
        that range say nothing about its quality within it.
    """
    known = ~np.isnan(window.actual) & window.is_predicted
    return window.where(known if counts is None else known & counts(window.actual))


def _meet(
    asked: pd.DataFrame, labels: pd.DataFrame, dataset: Dataset
) -> tuple[Targets, Agreeing, pd.Index[int]]:
    """Return a true value of each prediction, how many labels agree with it, and labels of none.

    -1 of predictions whose keys are not known.

    Parameters
    ----------
    asked
        Keys of the predictions, shape (predictions, keys).
    """
    keys, target = list(map(str, asked.columns)), dataset.target.name
    # A label that is given twice is one.
    labels = labels.dropna(subset=[*keys, target]).drop_duplicates([*keys, target])
    known = asked.notna().all(axis=1).to_numpy()
    ours = _comparable(asked[known], dataset).assign(**{_NUMBER: np.flatnonzero(known)})
    numbered = {target: labels[target].to_numpy(np.float64), _LABEL: np.arange(len(labels))}
    theirs = _comparable(labels[keys], dataset).assign(**numbered)
    pairs = ours.merge(theirs, on=keys)
    numbers = pairs[_NUMBER].to_numpy(np.int64)
    values, agreeing = np.full(len(asked), np.nan), np.full(len(asked), -1)
    agreeing[known] = np.bincount(numbers, minlength=len(asked))[known]
    values[numbers] = pairs[target]
    return values, agreeing, labels.index.delete(pairs[_LABEL].unique())


def _comparable(rows: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return keys as text: times to the second on the clocks of the place, codes without a point.

    A code is a number on one side and a text on the other; texts of times may be in other words.
    """
    times = {column.name for column in dataset.columns.by_kind("time")}
    made = {}
    for name in map(str, rows.columns):
        values = rows[name]
        if name in times and pd.api.types.is_datetime64_dtype(values.dtype):
            values = values.astype("datetime64[s]")
        elif name in times:
            values = values.map(dataset.reader.read_time).astype("datetime64[s]")
        made[name] = values.map(_text).astype(str).to_numpy(dtype=object)
    return pd.DataFrame(made)


def _text(value: Any) -> str:  # noqa: ANN401 - a cell of any kind
    if isinstance(value, bool | np.bool_ | float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _matched(
    window: WindowRows, values: Targets, agreeing: Agreeing
) -> tuple[WindowRows, LabelReport]:
    """Fill in the values of one label each; values from feedback stay."""
    told = ~np.isnan(window.actual)
    agreeing = np.where(told, -1, agreeing)
    awaited = (agreeing == 0) & window.awaited(dt.datetime.now(dt.UTC))
    report = LabelReport(
        predictions=len(window),
        told=int(np.count_nonzero(told)),
        matched=int(np.count_nonzero(agreeing == 1)),
        ambiguous=int(np.count_nonzero(agreeing > 1)),
        unmatched=int(np.count_nonzero((agreeing == 0) & ~awaited)),
        elsewhere=int(np.count_nonzero((agreeing < 0) & ~told)),
        awaited=int(np.count_nonzero(awaited)),
    )
    return replace(window, actual=np.where(agreeing == 1, values, window.actual)), report

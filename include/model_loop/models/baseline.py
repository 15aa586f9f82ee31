"""The best trivial rule: what a first champion has to beat.

A model that is no better than the mean of one column's values is not worth its upkeep. Datasets in
Python may have stronger rules of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Target
from model_loop.models.evaluation import measure_outcomes
from model_loop.models.search import Metrics
from model_loop.models.slices import TimePart, as_texts
from model_loop.training_set.frames import clock_times
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

#: Bands of equally many rows into which a number is cut.
_BANDS = 20
_PARTS: tuple[TimePart, ...] = get_args(TimePart)
Statistic = Literal["mean", "median", "share"]
#: Statistics of the rows of a number.
_OF_NUMBERS: tuple[Statistic, ...] = ("mean", "median")


class Baseline(Protocol):
    """A rule that needs no model."""

    @property
    def title(self) -> str:
        """Return what the rule says, for people: ``mean by carrier``."""

    def predict(self, rows: pd.DataFrame) -> Targets:
        """Return the outcomes of raw rows: numbers or probabilities; see `models.outcomes`."""


def title_of(statistic: Statistic) -> str:
    """Return the words for always saying a statistic of the learned rows."""
    return f"{statistic} of all rows"


@dataclass(frozen=True)
class ConstantRule:
    """Always the same value.

    Parameters
    ----------
    statistic
        Statistic of the learned rows: ``mean``, ``median``, or ``share`` of those of a class.
    value
        The value.
    """

    statistic: Statistic
    value: float

    @classmethod
    def of(cls, statistic: Statistic, outcomes: Targets) -> ConstantRule:
        """Learn from outcomes."""
        return cls(
            statistic, float(np.median(outcomes) if statistic == "median" else outcomes.mean())
        )

    @property
    def title(self) -> str:
        """Return what the rule says, for people."""
        return title_of(self.statistic)

    def predict(self, rows: pd.DataFrame) -> Targets:
        """Return the value for each row."""
        return np.full(len(rows), self.value)


@dataclass(frozen=True)
class ColumnRule:
    """The mean of the rows with the same value of one column, shrunk towards that of all.

    A mean of few rows says little by itself: it is drawn to the mean of all rows by as much as the
    rows of one value differ, compared with the values among each other (empirical Bayes).

    Parameters
    ----------
    column, label
        The column, and its words for people.
    edges
        Inner bounds of bands, where the column holds numbers; otherwise none.
    part
        Part of the time, where the column holds times.
    means
        Mean by value or number of the band.
    overall
        Mean of all rows, for values that were never seen.
    statistic
        Word for the means: ``share`` of the rows of a class.
    """

    column: str
    label: str
    edges: tuple[float, ...]
    part: TimePart | None
    means: pd.Series
    overall: float
    statistic: Statistic = "mean"

    @property
    def title(self) -> str:
        """Return what the rule says, for people."""
        return f"{self.statistic} by {self.label}"

    def predict(self, rows: pd.DataFrame) -> Targets:
        """Return the mean of each row's value."""
        keys = _keys(rows[self.column], self.edges, self.part)
        predicted: Targets = keys.map(self.means).fillna(self.overall).to_numpy(dtype=np.float64)
        return predicted


@dataclass(frozen=True)
class ClassesRule:
    """The share of each of several classes, by the same column.

    Parameters
    ----------
    rules
        A rule of each class, by its code.
    """

    rules: tuple[Baseline, ...]

    @property
    def title(self) -> str:
        """Return what the rule says, for people."""
        return self.rules[0].title

    def predict(self, rows: pd.DataFrame) -> Targets:
        """Return the share of each class, shape (rows, classes)."""
        shares = np.stack([rule.predict(rows) for rule in self.rules], axis=1)
        shared: Targets = shares / shares.sum(axis=1, keepdims=True)
        return shared


def baseline_errors(training_set: TrainingSet) -> dict[str, Metrics]:
    """Measure the best rule on the test rows, by its name; nothing where there are none."""
    if training_set.test_rows.empty:
        return {}
    rule = best_baseline(training_set)
    actual, predicted = training_set.test_target, rule.predict(training_set.test_rows)
    return {rule.title: measure_outcomes(actual, predicted, training_set.dataset.target)}


def validation_errors(training_set: TrainingSet) -> dict[str, Metrics]:
    """Measure each rule on the rows that settings are chosen by, by its name.

    Those of the folds, where folds choose; each rule has learned from the train rows alone, as the
    models of a search do. Of large parts, the samples that are kept learn and judge.
    """
    target = training_set.dataset.target
    actual, predicted = list[Targets](), dict[str, list[Targets]]()
    for learned, judged in _chosen_by(training_set):
        if judged.empty:
            continue
        actual.append(judged[target.name].to_numpy(dtype=np.float64))
        for rule in _rules(learned, target, _columns(training_set, learned)):
            predicted.setdefault(rule.title, []).append(rule.predict(judged))
    if not actual:
        return {}
    outcomes = np.concatenate(actual)
    return {
        title: measure_outcomes(outcomes, np.concatenate(parts), target)
        for title, parts in predicted.items()
        if len(parts) == len(actual)
    }


def best_baseline(training_set: TrainingSet) -> Baseline:
    """Return the rule with the lowest RMSE, or log loss, on the rows that settings are chosen by.

    The choice is made by rules that have learned from the train rows; the rule that is chosen
    learns from train and validation, as models do.
    """
    own = training_set.dataset.extensions.load("baselines")
    if own is not None:
        rule: Baseline = own(training_set)
        return rule
    errors, target = validation_errors(training_set), training_set.dataset.target
    metric = target.main_metric
    best = min(errors, key=lambda title: getattr(errors[title], metric), default="")
    learned, judged = _raw_parts(training_set)
    columns = _columns(training_set, learned)
    # Rows may be a sample; all of the targets are there, which is what constants learn from.
    everything = _pooled(learned, judged, training_set.rows)
    all_targets = pd.DataFrame({target.name: training_set.train_validation_target})
    constants = [*_rules(all_targets, target, ())]
    chosen = (rule for rule in _rules(everything, target, columns) if rule.title == best)
    return next((rule for rule in constants if rule.title == best), next(chosen, constants[0]))


def _columns(training_set: TrainingSet, rows: pd.DataFrame) -> list[Column]:
    """Return the columns that a rule may use."""
    names = training_set.recipe.columns
    return [
        column
        for column in training_set.dataset.columns
        if column.name in names and column.name in rows
    ]


def _chosen_by(training_set: TrainingSet) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the rows that are learned from, and those that judge: of each fold, if there are."""
    folds = [
        (fold.train_rows, fold.validation_rows)
        for fold in next(iter(training_set.folds.values()), ())
        if fold.train_rows is not None and fold.validation_rows is not None
    ]
    yield from folds or [_raw_parts(training_set)]


def _raw_parts(training_set: TrainingSet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return train and validation rows; their targets alone, where no more is kept."""
    learned, judged = training_set.train_rows, training_set.validation_rows
    if learned is not None and judged is not None:
        return learned, judged
    # Constants need no column.
    target = training_set.dataset.target.name
    return (
        pd.DataFrame({target: training_set.train_target}),
        pd.DataFrame({target: training_set.validation_target}),
    )


def _pooled(train: pd.DataFrame, validation: pd.DataFrame, rows: Mapping[str, int]) -> pd.DataFrame:
    """Put samples of both parts together, with the same share of the rows of each."""
    shares = [len(train) / max(rows["train"], 1), len(validation) / max(rows["validation"], 1)]
    return pd.concat(
        [
            part.iloc[_spread(len(part), min(shares) / share if share else 1.0)]
            for part, share in zip((train, validation), shares, strict=True)
        ],
        ignore_index=True,
    )


def _spread(rows: int, share: float) -> npt.NDArray[np.int64]:
    """Return the places of a share of rows, evenly spread."""
    return np.linspace(0, rows, round(rows * share), endpoint=False).astype(np.int64)


def _rules(rows: pd.DataFrame, target: Target, columns: Sequence[Column]) -> Iterator[Baseline]:
    outcomes = rows[target.name].to_numpy(dtype=np.float64)
    if not target.is_classified:
        yield from _rules_of(rows, outcomes, columns, _OF_NUMBERS)
    elif target.labels.is_binary:
        yield from _rules_of(rows, outcomes, columns, ("share",))
    else:
        codes = range(len(target.labels.labels))
        hits = [(outcomes == code).astype(np.float64) for code in codes]
        each = [_rules_of(rows, hit, columns, ("share",)) for hit in hits]
        yield from map(ClassesRule, zip(*each, strict=True))


def _rules_of(
    rows: pd.DataFrame,
    outcomes: Targets,
    columns: Sequence[Column],
    statistics: tuple[Statistic, ...],
) -> Iterator[Baseline]:
    """Yield the constants, and the rules by a column, whose word is the first statistic."""
    yield from (ConstantRule.of(statistic, outcomes) for statistic in statistics)
    word = statistics[0]
    for column in columns:
        values = rows[column.name]
        if column.kind == "time":
            for part in _PARTS:
                label = f"{part} of {column.title}"
                yield _rule(column, label, (), part, values, outcomes, word)
            continue
        edges: tuple[float, ...] = ()
        if column.kind == "number" and values.nunique() > _BANDS:
            numbers = _numbers(values)
            finite = numbers[np.isfinite(numbers)]
            edges = tuple(np.unique(np.quantile(finite, np.arange(1, _BANDS) / _BANDS)).tolist())
        yield _rule(column, column.title, edges, None, values, outcomes, word)


def _rule(
    column: Column,
    label: str,
    edges: tuple[float, ...],
    part: TimePart | None,
    values: pd.Series,
    outcomes: Targets,
    word: Statistic,
) -> ColumnRule:
    keys, overall = _keys(values, edges, part), float(outcomes.mean())
    means = _shrunk_means(keys, outcomes)
    if word == "share":
        # A share of 0 or 1 would claim what no number of rows shows: a row of all comes to each.
        sizes = keys.value_counts()[means.index]
        means = (means * sizes + overall) / (sizes + 1)
    return ColumnRule(column.name, label, edges, part, means, overall, word)


def _shrunk_means(keys: pd.Series, outcomes: Targets) -> pd.Series:
    """Return the mean of each key, shrunk towards that of all rows."""
    groups = pd.Series(outcomes).groupby(keys.to_numpy()).agg(["size", "mean", "var"])
    rows, sizes, overall = len(outcomes), groups["size"], float(outcomes.mean())
    within = float((groups["var"].fillna(0.0) * (sizes - 1)).sum()) / max(rows - len(groups), 1)
    # The variance of the means beyond what the rows within make them vary by (one-way analysis of
    # variance with groups of unlike sizes).
    among = float((sizes * np.square(groups["mean"] - overall)).sum())
    freedom = max(len(groups) - 1, 1)
    size = (rows - float(np.square(sizes).sum()) / rows) / freedom
    between = max(among / freedom - within, 0.0) / size if size else 0.0
    if not between:
        return pd.Series(overall, index=groups.index)
    return overall + (groups["mean"] - overall) * sizes / (sizes + within / between)


def _keys(values: pd.Series, edges: tuple[float, ...], part: TimePart | None) -> pd.Series:
    """Return the key of each row; missing values have a key of their own."""
    if part is not None:
        parts: pd.Series = getattr(clock_times(values).dt, part).fillna(-1).astype(int)
        return parts
    if not edges:
        return as_texts(values).fillna("")
    numbers = _numbers(values)
    bands = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))
    return pd.Series(bands, index=values.index)


def _numbers(values: pd.Series) -> npt.NDArray[np.float64]:
    return pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)

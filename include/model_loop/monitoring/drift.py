"""Drift: the rows of a window compared with those that a version has learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from model_loop.datasets.classes import HALF
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import dataset_of_variant
from model_loop.days import HOUR, WEEKDAY
from model_loop.models.explanation import shap_by_feature, shap_rows
from model_loop.models.outcomes import Explains
from model_loop.monitoring.features import Feature, features
from model_loop.monitoring.levels import ALL, Level, Thresholds, WindowFinding, judge_value, unknown
from model_loop.monitoring.profile import (
    ClassProfile,
    FeatureProfile,
    ShapProfile,
    VersionProfile,
    score_of,
)
from model_loop.monitoring.psi import psi_beyond_chance
from model_loop.training_set.frames import clock_times
from model_loop.training_set.matrices import Targets

PSI, PSI_AVERAGE = "psi", "psi_average"
UNSEEN, MISSING = "unseen_share", "missing_change"
SHAP, PREDICTIONS = "shap_drift", "prediction_drift"
CLASSES, PROBABILITY = "class_drift", "mean_probability"

#: SHAP values are computed of so many rows of a window at most; see `explanation.SHAP_VISITS`.
SHAP_ROWS = 2_000
#: Fewer tell nothing of the mean.
_FEWEST_SHAP_ROWS = 50
#: Standard errors within which a difference of two means counts as chance.
_CHANCE = 2.0

#: A feature of the time is compared in windows that are about as long as its cycle, in hours.
_CYCLES = {HOUR: 23.0, WEEKDAY: 6.5 * 24}


@dataclass(frozen=True)
class Inputs:
    """Rows, predictions and SHAP values that are compared with a profile.

    Parameters
    ----------
    rows
        Raw columns of the model, of everything that was asked in the window.
    predicted
        Predictions of the version itself, as `models.outcomes` describes them.
    shap
        SHAP values by feature of some of the rows; None where there are none.
    dataset
        Dataset as the version was trained on it; the present one by default.
    threshold
        Probability from which on the version calls a row positive.
    """

    rows: pd.DataFrame
    predicted: Targets
    shap: pd.DataFrame | None = None
    dataset: Dataset | None = None
    threshold: float = HALF


def shap_of_window(
    model: Pipeline | Explains, rows: pd.DataFrame, random_state: int, most: int = SHAP_ROWS
) -> pd.DataFrame | None:
    """SHAP values by feature of a sample of a window; None unless the model is of trees.

    Parameters
    ----------
    most
        Rows in the sample; fewer for large models.
    """
    count = shap_rows(model, most)
    if count is None or rows.empty:
        return None
    return shap_by_feature(model, rows.sample(min(len(rows), count), random_state=random_state))


def drift_findings(
    profile: VersionProfile,
    inputs: Inputs,
    thresholds: Mapping[str, Thresholds],
    least_rows: int,
) -> list[WindowFinding]:
    """Compare a window with the profile of a version.

    With fewer rows than `least_rows`, all findings are unknown.

    Parameters
    ----------
    thresholds
        Thresholds by metric.
    """
    rows, count = inputs.rows, len(inputs.rows)
    dataset = inputs.dataset or dataset_of_variant(profile.variant)
    several = dataset.rows[0]
    if count < least_rows:
        return no_findings(
            thresholds, f"{count:,} {several}, of the {least_rows:,} that are needed"
        )
    known = features(rows[list(profile.columns)], dataset)
    judged = _Judged(thresholds, dataset, _hours(rows, dataset))
    found = [
        finding
        for feature in profile.features
        for finding in _of_feature(feature, known[feature.bins.name], judged)
    ]
    values = [one.value for one in found if one.metric == PSI and not np.isnan(one.value)]
    average = float(np.mean(values)) if values else None
    found.append(judge_value(PSI_AVERAGE, ALL, average, thresholds[PSI_AVERAGE]))
    score = score_of(inputs.predicted)
    found.append(_predictions(profile, score, thresholds[PREDICTIONS], least_rows))
    found += _classes(profile.classes, inputs, thresholds, least_rows, dataset)
    found += _shap(profile.shap, inputs.shap, thresholds[SHAP], dataset)
    return found


def no_findings(thresholds: Mapping[str, Thresholds], why: str) -> list[WindowFinding]:
    """Return findings that say that nothing can be said, and why."""
    metrics = (PSI_AVERAGE, PREDICTIONS, SHAP)
    return [unknown(metric, ALL, thresholds[metric], why) for metric in metrics]


@dataclass(frozen=True)
class _Judged:
    """Thresholds, the words of the dataset, and the hours that a window is of."""

    thresholds: Mapping[str, Thresholds]
    dataset: Dataset
    hours: float

    @property
    def rows(self) -> str:
        """Word for several rows."""
        return self.dataset.rows[0]


def _of_feature(
    feature: FeatureProfile, values: Feature, judged: _Judged
) -> Iterator[WindowFinding]:
    bins, thresholds, hours = feature.bins, judged.thresholds, judged.hours
    now = FeatureProfile.of(bins, values)
    if not feature.known and not now.known:
        # The variant does not have it.
        return
    cycle = next((cycle for name, cycle in _CYCLES.items() if _is_of(bins.name, name)), 0.0)
    if hours < cycle:
        why = f"the {judged.rows} are of {hours:.0f} hours, of the {cycle:.0f} that its cycle takes"
        yield unknown(PSI, bins.name, thresholds[PSI], why)
        return
    if not feature.known or not now.known:
        where = "the window" if feature.known else "the training set"
        yield unknown(
            PSI, bins.name, thresholds[PSI], f"none of the {judged.rows} of {where} has it"
        )
    else:
        value = psi_beyond_chance(feature.expected, np.asarray(now.counts))
        finding = judge_value(PSI, bins.name, value, thresholds[PSI])
        if finding.level in {Level.WARN, Level.ACT}:
            finding = replace(finding, note=_moved(feature, now, judged.dataset))
        yield finding
        if bins.kind == "category":
            share = now.counts[bins.unseen] / now.known - feature.once / feature.known
            note = _unseen(feature, values)
            yield judge_value(UNSEEN, bins.name, max(share, 0.0), thresholds[UNSEEN], note)
    change = abs(now.missing_share - feature.missing_share)
    note = f"{feature.missing_share:.1%} were missing at training, {now.missing_share:.1%} are now"
    yield judge_value(MISSING, bins.name, change, thresholds[MISSING], note)


def _moved(then: FeatureProfile, now: FeatureProfile, dataset: Dataset) -> str:
    """Describe what has moved most: a category's share, or the share of the numbers below one."""
    bins, place = then.bins, dataset.columns.places.get(then.bins.name)
    column = None if place is None else dataset.columns[place]
    shares = [np.asarray(one.counts) / one.known for one in (then, now)]
    names: Sequence[object]
    if bins.kind == "number":
        unit = f" {column.unit}" if column and column.unit else ""
        shares = [np.cumsum(each)[:-1] for each in shares]
        names = [f"below {edge:.4g}{unit}" for edge in bins.edges]
    else:
        names = [*bins.categories, "others", "new"]
    if not names:
        return ""
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    title = column.title if column and column.title else bins.name
    before, after = (float(each[most]) for each in shares)
    return f"{title}: {before:.1%} were {names[most]} at training, {after:.1%} are now"


def _unseen(feature: FeatureProfile, values: Feature) -> str:
    """List the new categories, the most frequent first; some are to be expected."""
    new = values[feature.bins.codes(values) == feature.bins.unseen]
    found, counts = np.unique(new, return_counts=True)
    first = found[np.argsort(-counts, kind="stable")][:3]
    names = (one if isinstance(one, str) else f"{one:.0f}" for one in first)
    return f"new: {', '.join(names)}" if len(first) else ""


def _predictions(
    profile: VersionProfile, predicted: Targets, thresholds: Thresholds, least_rows: int
) -> WindowFinding:
    known = predicted[np.isfinite(predicted)]
    if len(known) < least_rows:
        why = f"{len(known):,} predictions of this version, of the {least_rows:,} that are needed"
        return unknown(PREDICTIONS, ALL, thresholds, why)
    then = profile.predictions
    value = psi_beyond_chance(np.asarray(then.counts), then.bins.counts(known))
    return judge_value(PREDICTIONS, ALL, value, thresholds)


def _classes(
    then: ClassProfile | None,
    inputs: Inputs,
    thresholds: Mapping[str, Thresholds],
    least_rows: int,
    dataset: Dataset,
) -> Iterator[WindowFinding]:
    """Compare the shares of predicted classes, and mean probabilities; nothing of a regressor.

    The change of a mean probability is a share of what it was, less two standard errors: of a class
    with 1 % of the rows, half a point is much.
    """
    if then is None:
        return
    count = len(inputs.predicted)
    if count < least_rows or dataset.target.classes is None:
        why = f"{count:,} predictions of this version, of the {least_rows:,} that are needed"
        yield unknown(CLASSES, ALL, thresholds[CLASSES], why)
        yield unknown(PROBABILITY, ALL, thresholds[PROBABILITY], why)
        return
    now = ClassProfile.of(inputs.predicted, dataset.target, inputs.threshold)
    before, after = (np.array(each.called) for each in (then, now))
    places = range(1, 2) if dataset.target.labels.is_binary else range(len(now.labels))
    shares = before / max(before.sum(), 1), after / max(after.sum(), 1)
    most = max(places, key=lambda place: abs(float(shares[1][place] - shares[0][place])))
    note = (
        f"{shares[0][most]:.1%} were predicted to be {now.labels[most]} at training, "
        f"{shares[1][most]:.1%} are now"
    )
    yield judge_value(CLASSES, ALL, psi_beyond_chance(before, after), thresholds[CLASSES], note)
    for place in places:
        old, new = then.means[place], now.means[place]
        chance = _CHANCE * float(np.hypot(then.errors[place], now.errors[place]))
        change = max(abs(new - old) - chance, 0.0) / old if old else np.nan
        note = f"{old:.3g} on average at training, {new:.3g} now"
        yield judge_value(PROBABILITY, now.labels[place], change, thresholds[PROBABILITY], note)


def _shap(
    then: ShapProfile | None, shap: pd.DataFrame | None, thresholds: Thresholds, dataset: Dataset
) -> Iterator[WindowFinding]:
    """Change of the mean absolute SHAP value, as a share of what all features add.

    Two standard errors of the difference are taken for chance. Of all features: half the sum of
    the changes, which is the share of the explanation that has moved from one to another, or is
    new.
    """
    if then is None or shap is None:
        yield unknown(SHAP, ALL, thresholds, "the model is not made of trees, or was not explained")
        return
    if (count := min(then.rows, len(shap))) < _FEWEST_SHAP_ROWS:
        why = f"{count} {dataset.rows[0]} explained, {_FEWEST_SHAP_ROWS} are needed"
        yield unknown(SHAP, ALL, thresholds, why)
        return
    now, total = ShapProfile.of(shap), sum(then.means.values())
    changes = []
    for name in sorted({*then.means, *now.means}):
        before, after = then.means.get(name, 0.0), now.means.get(name, 0.0)
        chance = _CHANCE * np.hypot(then.errors.get(name, 0.0), now.errors.get(name, 0.0))
        changes.append(max(abs(after - before) - float(chance), 0.0) / total if total else np.nan)
        mean = dataset.target.with_unit(f"{before:.2f}")
        note = f"{mean} on average at training, {after:.2f} now"
        yield judge_value(SHAP, name, changes[-1], thresholds, note)
    yield judge_value(SHAP, ALL, float(np.sum(changes)) / 2, thresholds)


def _is_of(feature: str, part: str) -> bool:
    return feature == part or feature.endswith(f"_{part}")


def _hours(rows: pd.DataFrame, dataset: Dataset) -> float:
    """Return the hours between the first and the last row; infinite where no time is known."""
    if dataset.time is None or dataset.time not in rows:
        return float("inf")
    times = clock_times(rows[dataset.time]).dropna()
    return float((times.max() - times.min()) / pd.Timedelta(hours=1)) if len(times) else 0.0

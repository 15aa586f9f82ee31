"""Judge a classifier on true classes, against what it came to on its test rows.

The levels, the windows that have to agree, and what counts as certain are those of
`monitoring.performance`: days are the sample, and an increase that days explain is no finding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from model_loop.days import SECONDS_PER_DAY
from model_loop.models.class_metrics import decide, log_losses
from model_loop.models.classification.clusters import clusters_by_day
from model_loop.models.classification.reliability import least_error, reliability
from model_loop.models.intervals import Floats, measured_errors, sums_by_day
from model_loop.monitoring.levels import ALL, Level, Thresholds, WindowFinding, judge_value, unknown
from model_loop.monitoring.performance import (
    MAE,
    WORST,
    PerformanceRules,
    ReferenceErrors,
    counted,
    is_above,
    judge_certain,
    why_unknown,
)
from model_loop.monitoring.psi import psi_beyond_chance
from model_loop.monitoring.slices import SliceErrors, measure_errors
from model_loop.monitoring.windows import WindowRows

#: Metrics of `judge_class_performance`, each with thresholds of its own.
LOG_LOSS, CALIBRATION, SHIFT = "log_loss", "calibration", "label_shift"
PRECISION, RECALL, SLICE = "precision", "recall", "slice_log_loss"
_METRICS = (LOG_LOSS, CALIBRATION, PRECISION, RECALL)
#: Rows of a share below which it says nothing: those called positive, and those that are.
_LEAST = 30


def judge_class_performance(
    labelled: WindowRows,
    reference: ReferenceErrors,
    history: Sequence[Sequence[WindowFinding]],
    thresholds: Mapping[str, Thresholds],
    rules: PerformanceRules | None = None,
    awaited: int = 0,
) -> tuple[WindowFinding, ...]:
    """Judge a classifier in a window by its true classes.

    Values are the increase of the log loss as a share of that of the test rows (`log_loss`, and
    `slice_log_loss` of the worst slice, a warning at most), the calibration error beyond that of
    perfect probabilities (`calibration`), the decrease of precision and recall at the threshold of
    the version (`precision`, `recall`), and the PSI of the true classes (`label_shift`).

    Parameters
    ----------
    labelled, reference, history, thresholds, rules, awaited
        As of `performance.judge_performance`.
    """
    rules, dataset = rules or PerformanceRules(), labelled.dataset
    if why := why_unknown(len(labelled), reference, rules, dataset, awaited):
        found = [unknown(metric, ALL, thresholds[metric], why) for metric in (*_METRICS, SHIFT)]
        return (*found, unknown(SLICE, WORST, thresholds[SLICE], why))
    # Errors of the same rows, each of which may alarm (Bonferroni's correction).
    confidence = 1 - (1 - rules.confidence) / len(_METRICS)
    found = [
        _log_loss(labelled, reference, thresholds[LOG_LOSS], confidence),
        _calibration(labelled, thresholds[CALIBRATION], confidence),
        *_shares(labelled, reference, thresholds, confidence),
        _shift(labelled, reference, thresholds[SHIFT]),
        _slices(labelled, reference, thresholds[SLICE], rules),
    ]
    return tuple(counted(finding, history, rules) for finding in found)


def _log_loss(
    labelled: WindowRows, reference: ReferenceErrors, thresholds: Thresholds, confidence: float
) -> WindowFinding:
    losses, several = log_losses(labelled.actual, labelled.predicted), labelled.dataset.rows[0]
    measured = measured_errors(sums_by_day(losses, labelled.days()), reference.days, confidence)
    standard = reference.mae or math.nan
    low, high = measured.mae_interval or (math.nan, math.nan)
    note = (
        f"{measured.mae:.4g} ({low:.4g} to {high:.4g}) on {measured.rows:,} {several}; "
        f"{standard:.4g} on the test {several}"
    )
    certain = is_above(MAE, measured.mae, measured.mae_interval, reference, confidence)
    increase = measured.mae / standard - 1
    return judge_certain(LOG_LOSS, ALL, increase, thresholds, note, certain=certain)


def _calibration(labelled: WindowRows, thresholds: Thresholds, confidence: float) -> WindowFinding:
    actual, predicted = labelled.actual, labelled.predicted
    measured = reliability(actual, predicted)
    clusters = clusters_by_day(
        (labelled.days() * SECONDS_PER_DAY).astype(np.float64), len(labelled)
    )
    least = least_error(actual, predicted, clusters, confidence=confidence)
    certain = least > measured.by_chance and measured.chance < 1 - confidence
    note = f"calibration error {measured.error:.4f}, {measured.by_chance:.4f} by chance alone"
    if predicted.ndim == 1:
        note += f"; {predicted.mean():.1%} were predicted on average, {actual.mean():.1%} are so"
    return judge_certain(CALIBRATION, ALL, measured.excess, thresholds, note, certain=certain)


def _shares(
    labelled: WindowRows,
    reference: ReferenceErrors,
    thresholds: Mapping[str, Thresholds],
    confidence: float,
) -> list[WindowFinding]:
    """Judge precision and recall: of the positive class, or the mean of those of all classes."""
    actual = labelled.actual.astype(np.int64)
    called = decide(labelled.predicted, reference.threshold)
    hits = (actual == called).astype(np.float64)
    found = []
    for metric, by, words in (
        (PRECISION, called, "that were called positive"),
        (RECALL, actual, "that are positive"),
    ):
        rows, values = np.ones(len(actual), dtype=bool), hits
        if labelled.predicted.ndim == 1:
            rows = by == 1
            values = hits[rows]
        else:
            # The mean over classes of the share of each: rows of a rare class weigh more.
            counts = np.bincount(by, minlength=labelled.predicted.shape[1])
            values = hits * len(actual) / (np.count_nonzero(counts) * counts[by])
        found.append(
            _share(metric, values, labelled.days()[rows], reference, thresholds[metric], confidence)
            if len(values) >= _LEAST
            else unknown(
                metric,
                ALL,
                thresholds[metric],
                f"{len(values):,} {labelled.dataset.rows[0]} {words}, {_LEAST} are needed",
            )
        )
    return found


def _share(
    metric: str,
    values: Floats,
    days: np.typing.NDArray[np.int64],
    reference: ReferenceErrors,
    thresholds: Thresholds,
    confidence: float,
) -> WindowFinding:
    standard = reference.metrics.get(f"test_{metric}", math.nan)
    measured = measured_errors(sums_by_day(values, days), None, confidence)
    low, high = measured.bias_interval or (-math.inf, math.inf)
    theirs = standard - reference.metrics.get(f"test_{metric}_lower", standard)
    certain = measured.bias + math.hypot(high - measured.bias, theirs) < standard
    note = (
        f"{measured.bias:.3f} ({max(low, 0.0):.3f} to {min(high, 1.0):.3f}) at the threshold; "
        f"{standard:.3f} on the test rows"
    )
    decrease = max(standard - measured.bias, 0.0) if math.isfinite(standard) else math.nan
    return judge_certain(metric, ALL, decrease, thresholds, note, certain=certain)


def _shift(
    labelled: WindowRows, reference: ReferenceErrors, thresholds: Thresholds
) -> WindowFinding:
    then = reference.classes
    if then is None or not sum(then.actual):
        return unknown(SHIFT, ALL, thresholds, "the shares of the classes at training are unknown")
    before = np.array(then.actual)
    after = np.bincount(labelled.actual.astype(np.int64), minlength=len(before))
    shares = before / before.sum(), after / after.sum()
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    if len(before) == 2:  # noqa: PLR2004 - both classes of two have changed by as much
        most = 1
    note = (
        f"{shares[0][most]:.1%} were {then.labels[most]} at training, {shares[1][most]:.1%} are now"
    )
    return judge_value(SHIFT, ALL, psi_beyond_chance(before, after), thresholds, note)


def _slices(
    labelled: WindowRows,
    reference: ReferenceErrors,
    thresholds: Thresholds,
    rules: PerformanceRules,
) -> WindowFinding:
    several = labelled.dataset.rows[0]
    _, *slices = measure_errors(labelled, rules.confidence, reference.days, reference.cuts)
    known = [
        each
        for each in slices
        if each.measured.rows >= rules.slice_rows
        and reference.slices.get((each.slice, each.value), 0.0) > 0
    ]
    if not known:
        why = f"no slice has {rules.slice_rows:,} {several} and a log loss on the test {several}"
        return unknown(SLICE, WORST, thresholds, why)

    def badness(each: SliceErrors) -> tuple[bool, float]:
        standard = reference.slices[each.slice, each.value]
        low = each.measured.mae_interval[0] if each.measured.mae_interval else -math.inf
        return low > standard, each.measured.mae / standard - 1

    worst = max(known, key=badness)
    certain, increase = badness(worst)
    standard = reference.slices[worst.slice, worst.value]
    note = (
        f"{worst.slice} {worst.value}: log loss {worst.measured.mae:.4g} on "
        f"{worst.measured.rows:,} {several}; {standard:.4g} on the test {several}"
    )
    finding = judge_certain(SLICE, WORST, increase, thresholds, note, certain=certain)
    return replace(finding, level=Level.WARN) if finding.level == Level.ACT else finding

"""Errors of a version now, against its errors on its test rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from model_loop.datasets.classes import HALF
from model_loop.datasets.dataset import Dataset
from model_loop.errors import require_within
from model_loop.models.gate_rules import GateRules
from model_loop.models.intervals import (
    CONFIDENCE,
    DaySpread,
    Interval,
    MeasuredErrors,
    measured_errors,
    reference_half,
    sums_by_day,
)
from model_loop.models.slices import Cut
from model_loop.monitoring.levels import (
    ALL,
    WITHIN_CHANCE,
    Level,
    Thresholds,
    WindowFinding,
    judge_value,
    unknown,
)
from model_loop.monitoring.profile import ClassProfile
from model_loop.monitoring.slices import SliceErrors, measure_errors
from model_loop.monitoring.windows import WindowRows
from model_loop.options import option, options, setting_option

#: Metrics of `judge_performance`, each with thresholds of its own.
RMSE, MAE, BIAS, SLICE = "rmse", "mae", "bias", "slice_rmse"
#: Subject of the finding about slices.
WORST = "worst slice"


@dataclass(frozen=True)
class ReferenceErrors:
    """Errors of a version on its test rows.

    Parameters
    ----------
    version
        Number in the registry.
    rmse, mae
        In the unit of the target; None where it was not tested. For a classifier, the second is its
        log loss, and the first is None.
    slices
        RMSE, or log loss, by slice and value, of slices that have enough rows to say something.
    days
        How much the errors of days differ there; None where that was not measured.
    cuts
        Rules that cut rows into slices.
    metrics
        Every metric of the test rows by its tracked name, such as ``test_recall``.
    threshold
        Probability from which on it calls a row positive.
    classes
        Classes that it predicts and that rows truly have; None where that was not stored.
    """

    version: int
    rmse: float | None = None
    mae: float | None = None
    slices: Mapping[tuple[str, str], float] = field(default_factory=dict)
    days: DaySpread | None = None
    cuts: tuple[Cut, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    threshold: float = HALF
    classes: ClassProfile | None = None


@options
class PerformanceRules:
    """Rules for findings about errors.

    A level counts when `needed` of the last windows, the present one among them, have reached it.
    Intervals are those of all rows together: an increase counts only where its interval leaves out
    no increase.
    """

    rows: int = setting_option("monitoring_rows", name="least_rows")
    slice_rows: int = option(
        GateRules.slice_rows,
        "Least rows of a slice",
        "Slices with fewer rows get no findings; as at the gate.",
        offered=False,
        ge=2,
    )
    windows: int = setting_option("monitoring_windows", offered=False)
    needed: int = setting_option("monitoring_windows_needed", offered=False)
    confidence: float = option(
        CONFIDENCE, "Confidence", "Confidence of the intervals.", offered=False, ge=0.5, le=0.999
    )

    def __post_init__(self) -> None:
        """Check the bounds."""
        require_within("needed", self.needed, least=1, most=self.windows)


def judge_performance(
    labelled: WindowRows,
    reference: ReferenceErrors,
    history: Sequence[Sequence[WindowFinding]],
    thresholds: Mapping[str, Thresholds],
    rules: PerformanceRules | None = None,
    awaited: int = 0,
) -> tuple[WindowFinding, ...]:
    """Judge the errors of a version in a window.

    Each value is a share: by how much the error is above that of the test rows (`rmse`, `mae`,
    `slice_rmse`), or how large the mean error is beside the mean absolute error of the test rows
    (`bias`). It reaches a level by its threshold where the error is surely above that of the test
    rows, as far as days differ in the window and in the test rows, so that a large window does not
    fire because it is large, nor a small one by chance. The worst slice is a warning at most:
    among dozens, one always is the worst.

    Parameters
    ----------
    labelled
        Rows of this one version whose true value is known; see `labels.labelled`.
    reference
        What it came to on its test rows; see `tested.find_reference`.
    history
        Findings of the windows before, of the same variant and version, in any order within a
        window, the latest window last. One window of a time counts once: leave out an earlier run
        of the present one.
    thresholds
        By metric: `rmse`, `mae`, `bias`, `slice_rmse`.
    rules
        What it takes to say something.
    awaited
        Number of further rows of the version whose true value cannot have arrived yet.

    Returns
    -------
    tuple of Finding
        Four: of `rmse`, `mae`, `bias`, and of the worst slice. If there are too few rows, they are
        unknown, with the reason.
    """
    rules, dataset = rules or PerformanceRules(), labelled.dataset
    if why := why_unknown(len(labelled), reference, rules, dataset, awaited):
        return tuple(
            unknown(metric, WORST if metric == SLICE else ALL, thresholds[metric], why)
            for metric in (RMSE, MAE, BIAS, SLICE)
        )
    _, *slices = measure_errors(labelled, rules.confidence, reference.days, reference.cuts)
    # Three errors of the same rows, each of which may alarm (Bonferroni's correction).
    confidence = 1 - (1 - rules.confidence) / len((RMSE, MAE, BIAS))
    sums = sums_by_day(labelled.predicted - labelled.actual, labelled.days())
    measured = measured_errors(sums, reference.days, confidence)
    found = (
        *_judge_all(measured, reference, thresholds, confidence, dataset),
        _judge_slices(slices, reference, thresholds[SLICE], rules, dataset),
    )
    return tuple(counted(finding, history, rules) for finding in found)


def why_unknown(
    count: int, reference: ReferenceErrors, rules: PerformanceRules, dataset: Dataset, awaited: int
) -> str:
    """Return why nothing can be said of a window; empty where something can."""
    several = dataset.rows[0]
    numbers = not dataset.target.is_classified
    if reference.mae is None or (numbers and reference.rmse is None):
        return f"version {reference.version} has no errors on test {several} to compare with"
    if count < rules.rows:
        later = f"; the true values of {awaited:,} more come later" if awaited else ""
        return f"{count:,} labelled {several}, {rules.rows:,} are needed{later}"
    return ""


def _judge_all(
    measured: MeasuredErrors,
    reference: ReferenceErrors,
    thresholds: Mapping[str, Thresholds],
    confidence: float,
    dataset: Dataset,
) -> tuple[WindowFinding, ...]:
    found, several, with_unit = [], dataset.rows[0], dataset.target.with_unit
    for metric, value, interval, standard in (
        (RMSE, measured.rmse, measured.rmse_interval, reference.rmse),
        (MAE, measured.mae, measured.mae_interval, reference.mae),
    ):
        increase = value / standard - 1 if standard else math.nan
        note = (
            f"{with_unit(f'{value:.2f}')} ({_shown(interval)}) on {measured.rows:,} {several}; "
            f"{standard or 0.0:.2f} on the test {several}"
        )
        certain = is_above(metric, value, interval, reference, confidence)
        found.append(
            judge_certain(metric, ALL, increase, thresholds[metric], note, certain=certain)
        )
    low, high = measured.bias_interval or (-math.inf, math.inf)
    share = abs(measured.bias) / reference.mae if reference.mae else math.nan
    mean = with_unit(f"{measured.bias:+.2f}")
    note = f"predicted less actual is {mean} ({_shown((low, high))})"
    certain = not low <= 0 <= high and _has_moved(measured, reference, confidence)
    return (*found, judge_certain(BIAS, ALL, share, thresholds[BIAS], note, certain=certain))


def _judge_slices(
    slices: Sequence[SliceErrors],
    reference: ReferenceErrors,
    thresholds: Thresholds,
    rules: PerformanceRules,
    dataset: Dataset,
) -> WindowFinding:
    several = dataset.rows[0]
    known = [
        one
        for one in slices
        if one.measured.rows >= rules.slice_rows
        # One without an error has nothing that could have become worse by a share.
        and reference.slices.get((one.slice, one.value), 0.0) > 0
    ]
    if not known:
        why = f"no slice has {rules.slice_rows:,} {several} and an error on the test {several}"
        return unknown(SLICE, WORST, thresholds, why)

    def badness(one: SliceErrors) -> tuple[bool, float]:
        # Certainly worse slices rank above those that may be chance and would mask them.
        standard = reference.slices[one.slice, one.value]
        return _least(one.measured.rmse_interval) > standard, one.measured.rmse / standard - 1

    worst = max(known, key=badness)
    certain, increase = badness(worst)
    interval, standard = worst.measured.rmse_interval, reference.slices[worst.slice, worst.value]
    error = dataset.target.with_unit(f"{worst.measured.rmse:.2f}")
    note = (
        f"{worst.slice} {worst.value}: {error} ({_shown(interval)}) on "
        f"{worst.measured.rows:,} {several}; {standard:.2f} on the test {several}"
    )
    finding = judge_certain(SLICE, WORST, increase, thresholds, note, certain=certain)
    return replace(finding, level=Level.WARN) if finding.level == Level.ACT else finding


def judge_certain(
    metric: str, subject: str, value: float, thresholds: Thresholds, note: str, *, certain: bool
) -> WindowFinding:
    """Judge a value that counts for a finding only where it is more than chance gives."""
    finding = judge_value(metric, subject, value, thresholds, note)
    if certain or finding.level.rank < Level.WARN.rank:
        return finding
    return replace(finding, level=Level.OK, note=f"{note}; {WITHIN_CHANCE}", certain=False)


def _has_moved(measured: MeasuredErrors, reference: ReferenceErrors, confidence: float) -> bool:
    """Return whether the mean error is surely another than in the test rows."""
    if reference.days is None or measured.bias_interval is None:
        return measured.bias_interval is not None
    half = (measured.bias_interval[1] - measured.bias_interval[0]) / 2
    theirs = reference_half(reference.days, 0, confidence)
    return abs(measured.bias - reference.days.bias) > math.hypot(half, theirs)


def is_above(
    metric: str,
    value: float,
    interval: Interval | None,
    reference: ReferenceErrors,
    confidence: float,
) -> bool:
    """Return whether an error is surely above that of the test rows, which are a sample too."""
    standard = (reference.rmse if metric == RMSE else reference.mae) or 0.0
    if interval is None:
        return False
    power, number = (2, 2) if metric == RMSE else (1, 1)
    half = value**power - interval[0] ** power
    if reference.days is not None:
        theirs = reference_half(reference.days, number, confidence)
        half = math.hypot(half, theirs)
    return value**power - half > standard**power


def counted(
    finding: WindowFinding, history: Sequence[Sequence[WindowFinding]], rules: PerformanceRules
) -> WindowFinding:
    """A finding at the gravest level that enough of the last windows have reached."""
    if finding.level.rank < Level.WARN.rank:
        return finding
    before = [one for past in history for one in past if one.what == finding.what]
    last = before[len(before) - min(rules.windows - 1, len(before)) :]
    # Thresholds may have changed since: those of now judge all.
    reached = [
        finding.level,
        *(finding.thresholds.level(one.value) if one.certain else Level.OK for one in last),
    ]
    for level in (finding.level, Level.WARN):
        count = sum(one.rank >= level.rank for one in reached)
        if count >= rules.needed:
            break
    else:
        level = Level.OK
    if level == finding.level:
        return finding
    told = (
        f"{finding.level} in this window; {rules.needed} of the last {rules.windows} are needed, "
        f"{sum(one.rank >= finding.level.rank for one in reached)} have reached it"
    )
    return replace(finding, level=level, note=f"{finding.note}; {told}")


def _least(interval: Interval | None) -> float:
    """The lower end of an interval; without one, less than anything."""
    return interval[0] if interval else -math.inf


def _shown(interval: Interval | None) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "a single row"

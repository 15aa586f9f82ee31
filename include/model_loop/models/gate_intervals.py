"""Intervals at the gate: whether those of a challenger hold on rows that no calibration has seen.

Days are the sample, as rows of a day are not independent; groups of rows where there is no time.
Intervals that fail keep no better model out: it answers with wider ones, and the verdict says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.days import SECONDS_PER_DAY
from model_loop.intervals.adaptive import NO_CORRECTION, Correction, CorrectionRules
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.evidence import TOLERANCE
from model_loop.intervals.grid import DEFAULT_LEVEL, tail_of
from model_loop.intervals.measures import IntervalMeasures, interval_scores, measure_intervals
from model_loop.intervals.scores import Numbers
from model_loop.models.classification.clusters import chance_below, groups_of
from model_loop.models.gate import Check, Contender
from model_loop.models.gate_rules import GateRules
from model_loop.models.intervals import WEEK
from model_loop.models.slices import Slicing
from model_loop.training_set.frames import as_numbers

#: Distances by which coverage may lie below and above the level, and that of a group below it.
BELOW, ABOVE, GROUP_BELOW = TOLERANCE, 0.03, 0.05
#: Allowed increase of the interval score, as a share of the champion's.
SCORE_SHARE = 0.01
#: Probability that intervals which hold are said to fail in a group, or beside the champion.
_CHANCE = 0.05
#: Bands of the prediction that are groups too.
_BANDS = 5
#: Factor by which a tail gets smaller at each step of widening.
_NARROWER = 0.8

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class JudgedIntervals:
    """Judgement of the gate on intervals.

    Parameters
    ----------
    checks
        Checks, none of which keeps a model out.
    widening
        Correction with which the version answers; None where its intervals are wide enough.
    remark
        Sentence for the history and the mails; empty if the intervals hold.
    """

    checks: tuple[Check, ...] = ()
    widening: Correction | None = None
    remark: str = ""


@dataclass(frozen=True)
class _IntervalRows:
    """Rows by which intervals are judged: true values, times, units (days) and named groups."""

    raw: pd.DataFrame
    actual: Numbers
    times: Numbers | None
    units: Codes
    groups: dict[str, npt.NDArray[np.bool_]]

    def limits(
        self,
        intervals: Intervals,
        predicted: Numbers,
        level: float,
        correction: Correction = NO_CORRECTION,
    ) -> tuple[Numbers, Numbers]:
        """Return the limits of all rows by intervals; see `Band.limits_of`."""
        sizes = intervals.sizes(predicted, self.times, self.raw)
        return intervals.at(level, correction).limits_of(predicted, self.times, sizes)


def judge_intervals(
    challenger: Contender,
    champion: Contender | None,
    rows: pd.DataFrame,
    rules: GateRules,
    *,
    slicing: Slicing,
    level: float = DEFAULT_LEVEL,
) -> JudgedIntervals:
    """Judge the intervals of a challenger, where it has any.

    Parameters
    ----------
    champion
        Where it has intervals too, the scores of both are compared, and never their widths.
    rows
        The rows of the gate with their target.
    """
    intervals, dataset = challenger.intervals, slicing.dataset
    if intervals is None:
        return JudgedIntervals()
    if len(rows) < rules.slice_rows:
        found = f"{len(rows):,} {dataset.rows[0]} say nothing of intervals"
        wanted = f"{rules.slice_rows:,} or more"
        return JudgedIntervals((Check("coverage", passed=True, found=found, wanted=wanted),))
    interval_rows = _rows(rows, challenger.predicted, rules, slicing)

    def judged(correction: Correction) -> tuple[IntervalMeasures, tuple[Check, ...]]:
        low, high = interval_rows.limits(intervals, challenger.predicted, level, correction)
        held = measure_intervals(low, high, interval_rows.actual, level)
        inside = (low <= interval_rows.actual) & (interval_rows.actual <= high)
        return held, (_coverage(held, level, dataset), *_worst_group(inside, interval_rows, level))

    held, checks = judged(NO_CORRECTION)
    fails = not all(check.passed for check in checks)
    # Intervals that hold too much are not made narrower by the rows that judge them.
    widening = _widened(judged, level) if fails and held.coverage <= level / 100 + ABOVE else None
    if champion is not None and champion.intervals is not None:
        theirs = interval_rows.limits(champion.intervals, champion.predicted, level)
        ours = interval_rows.limits(intervals, challenger.predicted, level)
        scores = [
            interval_scores(*limits, interval_rows.actual, level) for limits in (ours, theirs)
        ]
        checks += (_score(scores, interval_rows, champion.version, dataset),)
    checks = tuple(replace(check, blocks=False) for check in checks)
    return JudgedIntervals(checks, widening, _remark(challenger.version, checks, widening))


def _rows(
    rows: pd.DataFrame, predicted: Numbers, rules: GateRules, slicing: Slicing
) -> _IntervalRows:
    dataset = slicing.dataset
    times = as_numbers(rows[dataset.time]) if dataset.time in rows else None
    units = groups_of(rows, dataset)
    if times is not None and np.isfinite(times).all():
        units = (times // SECONDS_PER_DAY).astype(np.int64)
    units = np.unique(np.arange(len(rows)) if units is None else units, return_inverse=True)[1]
    bands = np.searchsorted(np.quantile(predicted, np.arange(1, _BANDS) / _BANDS), predicted)
    named = {"fifth of the predictions": bands + 1, **slicing.slices(rows)}
    groups = {
        f"{name} {value}": inside
        for name, values in named.items()
        for value in pd.Series(values).dropna().unique()
        if (inside := np.asarray(values == value)).sum() >= rules.slice_rows
        and len(np.unique(units[inside])) >= WEEK
    }
    actual = rows[dataset.target.name].to_numpy(dtype=np.float64)
    return _IntervalRows(rows, actual, times, units, groups)


def _coverage(held: IntervalMeasures, level: float, dataset: Dataset) -> Check:
    low, high = level / 100 - BELOW, level / 100 + ABOVE
    width = dataset.target.with_unit(f"{held.width:.3g}")
    return Check(
        "coverage",
        bool(low <= held.coverage <= high),
        f"{held.coverage:.1%} at the level {level:g}: {held.below:.1%} below, {held.above:.1%} "
        f"above; mean width {width}",
        f"{low:.0%} to {high:.0%}",
    )


def _worst_group(
    inside: npt.NDArray[np.bool_], known: _IntervalRows, level: float
) -> Iterator[Check]:
    """Check the groups: none may be under its bound by more than chance, of all of them together.

    By days, and with Holm's correction ("A simple sequentially rejective multiple test procedure",
    1979): the least of so many probabilities is small by chance.
    """
    if not known.groups:
        return
    bound = level / 100 - GROUP_BELOW
    chances = {
        name: chance_below(inside[rows].astype(np.float64) - bound, known.units[rows])
        for name, rows in known.groups.items()
    }
    order = sorted(chances, key=lambda name: (chances[name], inside[known.groups[name]].mean()))
    # The first of Holm's steps decides whether any group is under its bound.
    worst, several = order[0], len(order)
    failing = holm([chances[name] for name in order], _CHANCE)
    found = f"{worst}: {inside[known.groups[worst]].mean():.1%}"
    if failing > 1:
        found += f", and {failing - 1} more"
    yield Check(
        "coverage of the worst group",
        failing == 0,
        found,
        f"none of {several} surely under {bound:.0%}",
    )


def holm(chances: Sequence[float], level: float) -> int:
    """Return how many of some rising probabilities are rejected, of all together at a level."""
    for rejected, chance in enumerate(chances):
        if chance > level / (len(chances) - rejected):
            return rejected
    return len(chances)


def _score(scores: Sequence[Numbers], rows: _IntervalRows, version: int, dataset: Dataset) -> Check:
    """Check the interval score against the champion's, by the differences of days."""
    name, wanted = f"interval score against version {version}", f"at most {SCORE_SHARE:+.0%}"
    ours, theirs = (float(score.mean()) for score in scores)
    with_unit = dataset.target.with_unit
    if not math.isfinite(ours):
        found = "no limit for some: too few rows have calibrated it"
        return Check(name, passed=not math.isfinite(theirs), found=found, wanted=wanted)
    if not math.isfinite(theirs):
        return Check(name, passed=True, found=f"{with_unit(f'{ours:.4g}')}", wanted=wanted)
    chance = chance_below(scores[1] - scores[0], rows.units)
    share = ours / theirs - 1 if theirs else 0.0
    return Check(
        name,
        share <= SCORE_SHARE or chance > _CHANCE,
        f"{ours:.4g} against {with_unit(f'{theirs:.4g}')}: {share:+.1%}",
        f"{wanted}, or as much by chance",
    )


def _widened(
    judged: Callable[[Correction], tuple[IntervalMeasures, tuple[Check, ...]]], level: float
) -> Correction:
    """Return the tails with which intervals hold: smaller ones on the side that is missed more."""
    found, tail, least = Correction(version=1), tail_of(level), CorrectionRules.smallest
    held, checks = judged(found)
    while not all(check.passed for check in checks) and min(found.lower, found.upper) > least:
        below, above = held.below > tail, held.above > tail
        found = replace(
            found,
            lower=max(found.lower * _NARROWER, least) if below or not above else found.lower,
            upper=max(found.upper * _NARROWER, least) if above or not below else found.upper,
        )
        held, checks = judged(found)
        if held.coverage > level / 100 + ABOVE:
            break
    return found


def _remark(version: int, checks: Sequence[Check], widening: Correction | None) -> str:
    failed = ", ".join(check.name for check in checks if not check.passed)
    if not failed:
        return ""
    said = f"intervals of version {version} did not hold at the gate ({failed})"
    if widening is None:
        return said
    return (
        f"{said}: it answers with wider ones (tails times {widening.lower:.2g} below and "
        f"{widening.upper:.2g} above)"
    )

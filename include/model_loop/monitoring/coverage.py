"""Intervals of a version by day, once true values are there, and their correction.

A day is closed when it has ended and the declared delay of labels has passed. It is measured once:
what comes later changes nothing of it, so that evidence and correction may be read every day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.days import SECONDS_PER_DAY
from model_loop.intervals.adaptive import ClosedDay, Correction, CorrectionRules, corrected
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.evidence import ENOUGH, TOLERANCE, coverage_evidence
from model_loop.intervals.grid import DEFAULT_LEVEL, tail_of
from model_loop.intervals.measures import measure_intervals
from model_loop.models.slices import Cut, Slicing
from model_loop.monitoring.interval_days import INTERVAL_EVIDENCE, IntervalDay
from model_loop.monitoring.levels import ALL, Level, Thresholds, WindowFinding, judge, unknown
from model_loop.monitoring.windows import WindowRows
from model_loop.partitions.keys import labels_delay
from model_loop.training_set.frames import as_numbers

#: Rows with a true value of which a day says something, and of which a slice of it does.
LEAST_ROWS, _SLICE_ROWS = 10, 20
#: Days that the finding sums up.
_LATEST = 7


@dataclass(frozen=True)
class WatchedIntervals:
    """Intervals of a version, and how they are corrected.

    Parameters
    ----------
    intervals
        As they were calibrated.
    widening
        Correction by the gate.
    correction
        Correction with which the version answers.
    cuts
        Rules that cut rows into slices.
    """

    intervals: Intervals
    widening: Correction
    correction: Correction
    cuts: tuple[Cut, ...] = ()


def measure_days(
    labelled: WindowRows,
    watched: WatchedIntervals,
    recorded: Collection[str] = (),
    *,
    now: dt.datetime,
    learns: bool = True,
    level: float = DEFAULT_LEVEL,
) -> tuple[list[IntervalDay], Correction]:
    """Measure the closed days of a window in their order, and correct the intervals by each.

    Parameters
    ----------
    labelled
        Rows of the version whose true value is known.
    recorded
        Days that were measured before: they correct what they have not corrected yet, and are not
        returned.
    now
        A moment with a time clocks.
    learns
        Whether days correct the intervals.

    Returns
    -------
    list of IntervalDay, Correction
        Further days, and the correction after the last of them.
    """
    intervals, correction, found = watched.intervals, watched.correction, []
    rules = CorrectionRules(tail=tail_of(level))
    # Where the rows were too few for a limit, no bias is bounded by it.
    bound = intervals.spread(level) if np.isfinite(intervals.spread(level)) else 0.0
    days = labelled.days()
    for number in _closed(labelled, days, now):
        rows, day = labelled.where(days == number), str(np.datetime64(int(number), "D"))
        if len(rows) < LEAST_ROWS:
            continue
        times = _times(rows)
        limits = intervals.at(level, correction).limits_of(rows.predicted, times)
        held = measure_intervals(*limits, rows.actual, level)
        before = intervals.at(level, watched.widening).limits_of(rows.predicted, times)
        bias = float(np.median(intervals.scores(rows.actual, rows.predicted)))
        if learns:
            closed = ClosedDay(
                day, held.rows, min(max(bias, -bound), bound), held.below, held.above
            )
            correction = corrected(correction, closed, rules)
        if day in recorded:
            continue
        worst, worst_coverage = _worst(rows, limits, watched.cuts)
        found.append(
            IntervalDay(
                day=day,
                rows=held.rows,
                coverage=held.coverage,
                below=held.below,
                above=held.above,
                calibrated=measure_intervals(*before, rows.actual, level).coverage,
                width=held.width if np.isfinite(held.width) else None,
                score=held.score if np.isfinite(held.score) else None,
                worst=worst,
                worst_coverage=worst_coverage,
                bias=correction.bias,
                lower=correction.lower,
                upper=correction.upper,
                correction=correction.version,
            )
        )
    return found, correction


def judge_days(
    days: Sequence[IntervalDay], thresholds: Thresholds, level: float = DEFAULT_LEVEL
) -> WindowFinding:
    """Judge the coverage of all closed days of a version, as it was registered.

    The correction would hide that the model no longer knows how sure it is. Evidence is a warning
    at most: what errors have grown is another finding.
    """
    if not days:
        why = f"no closed day has {LEAST_ROWS} labelled rows"
        return unknown(INTERVAL_EVIDENCE, ALL, thresholds, why)
    evidence = coverage_evidence([day.calibrated for day in days], level)
    latest, last = days[-_LATEST:], days[-1]
    weights = [day.rows for day in latest]
    calibrated, coverage = (
        float(np.average([getattr(day, name) for day in latest], weights=weights))
        for name in ("calibrated", "coverage")
    )
    note = (
        f"of the true values of the last {len(latest)} closed days, up to {last.day}, "
        f"{calibrated:.1%} lie within intervals of {level:g} % as registered, {coverage:.1%} "
        f"within the corrected ones (correction {last.correction}: bias {last.bias:+.3g}, tails "
        f"times {last.lower:.2g} below and {last.upper:.2g} above)"
    )
    (enough,) = np.nonzero(evidence >= ENOUGH)
    if len(enough):
        first = days[int(enough[0])].day
        note += f"; evidence of less than {level / 100 - TOLERANCE:.0%} suffices since {first}"
    finding = judge(INTERVAL_EVIDENCE, ALL, float(evidence[-1]), thresholds, note)
    return replace(finding, level=Level.WARN) if finding.level is Level.ACT else finding


def _closed(
    labelled: WindowRows, days: npt.NDArray[np.int64], now: dt.datetime
) -> npt.NDArray[np.int64]:
    """Return the days that are closed, but the one in whose midst the window begins."""
    dataset, start = labelled.dataset, labelled.window.start
    delay = labels_delay(dataset) or dt.timedelta(0)
    clocks = dataset.time_zone if dataset.time is not None else "UTC"
    local = pd.Timestamp(start).tz_convert(clocks)
    whole = [
        day
        for day in np.unique(days)
        if _midnight(day + 1, clocks) + delay <= now
        and not (local.time() != dt.time() and local.date() == np.datetime64(int(day), "D").item())
    ]
    return np.array(whole, dtype=np.int64)


def _midnight(day: int, clocks: str) -> pd.Timestamp:
    """Return the moment at which a day begins on the clocks of a place."""
    local = pd.Timestamp(int(day) * SECONDS_PER_DAY, unit="s")
    return local.tz_localize(clocks, ambiguous=True, nonexistent="shift_forward")


def _times(rows: WindowRows) -> npt.NDArray[np.float64] | None:
    time = rows.dataset.time
    return as_numbers(rows.rows[time]) if time is not None and time in rows.rows else None


def _worst(
    rows: WindowRows,
    limits: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    cuts: tuple[Cut, ...],
) -> tuple[str, float | None]:
    """Return the slice of a day that is covered least, with its coverage."""
    inside = pd.Series((limits[0] <= rows.actual) & (rows.actual <= limits[1]))
    least: tuple[str, float | None] = ("", None)
    for name, values in Slicing(rows.dataset, cuts).slices(rows.rows).items():
        by_value = inside.groupby(pd.Series(values), observed=True).agg(["size", "mean"])
        for value, (size, mean) in by_value.iterrows():
            if size >= _SLICE_ROWS and (least[1] is None or mean < least[1]):
                least = (f"{name} {value}", float(mean))
    return least

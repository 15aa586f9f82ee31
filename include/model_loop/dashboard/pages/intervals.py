"""Intervals, or sets of classes, by day: coverage, scores, and the correction by closed days."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.dashboard.page_data import LoadedParts
from model_loop.dashboard.types import WindowRun
from model_loop.monitoring.interval_days import DAYS, IntervalDay, days_of

_NOTHING = Empty(
    "No day with true values is closed yet, or the version has no intervals.", "monitoring"
)
_NO_SETS = Empty(
    "No day with true classes is closed yet, or the version has no sets.", "monitoring"
)
_Of = Callable[[IntervalDay], float | None]


def interval_charts(window: WindowRun, parts: LoadedParts) -> list[Chart]:
    """Return the charts of all days up to a window of a version."""
    stored = parts.numbers(window.run_id, f"intervals/{DAYS}")
    days, unit = days_of(stored) if stored else [], parts.sources.words.unit
    return [
        _by_day(
            "interval_coverage",
            "Coverage by day",
            "share within",
            {
                "corrected": lambda day: day.coverage,
                "as registered": lambda day: day.calibrated,
                "worst slice": lambda day: day.worst_coverage,
            },
            days,
            "Share of the true values within intervals of 90 %, as answers have them and as they "
            f"were registered.{_worst(days)}",
            limits={"level": 0.9},
        ),
        _by_day(
            "interval_misses",
            "Misses by day",
            "share of the true values",
            {"below": lambda day: day.below, "above": lambda day: day.above},
            days,
            "True values below and above their corrected interval; each side may miss 5 %.",
            limits={"allowed": 0.05},
        ),
        _by_day(
            "interval_score",
            "Interval score and width by day",
            unit,
            {"interval score": lambda day: day.score, "mean width": lambda day: day.width},
            days,
            "The score is the width, and for each miss its distance by 20. Less is better.",
        ),
        _by_day(
            "interval_correction",
            "Correction of intervals",
            "factor of the tail; bias in scores",
            {
                "tail below": lambda day: day.lower,
                "tail above": lambda day: day.upper,
                "bias": lambda day: day.bias,
            },
            days,
            "A factor below 1 makes the interval wider on its side; the bias moves both limits."
            f"{_state(days)}",
        ),
    ]


def set_charts(window: WindowRun, parts: LoadedParts) -> list[Chart]:
    """Return the charts of the sets of classes of all days up to a window of a version."""
    stored = parts.numbers(window.run_id, f"intervals/{DAYS}")
    days = days_of(stored) if stored else []
    return [
        _by_day(
            "interval_coverage",
            "Coverage of sets by day",
            "share within",
            {
                "corrected": lambda day: day.coverage,
                "as registered": lambda day: day.calibrated,
                "worst slice": lambda day: day.worst_coverage,
            },
            days,
            "Share of the true classes within sets of 90 %, as answers have them and as they "
            f"were registered.{_worst(days)}",
            limits={"level": 0.9},
            none=_NO_SETS,
        ),
        _by_day(
            "interval_score",
            "Size of sets by day",
            "classes",
            {"mean number of classes": lambda day: day.width},
            days,
            "Sets that say most hold one class.",
            none=_NO_SETS,
        ),
        _by_day(
            "interval_correction",
            "Correction of sets",
            "factor of the misses allowed",
            {"misses allowed": lambda day: day.upper},
            days,
            f"A factor below 1 makes sets larger.{_state(days)}",
            none=_NO_SETS,
        ),
    ]


def _by_day(
    name: str,
    title: str,
    unit: str,
    series: dict[str, _Of],
    days: Sequence[IntervalDay],
    about: str,
    limits: dict[str, float] | None = None,
    none: Empty = _NOTHING,
) -> Chart:
    columns = ("day", "rows", *series, "worst slice of the day", "correction")
    rows = [
        (day.day, day.rows, *(of(day) for of in series.values()), day.worst, day.correction)
        for day in days
    ]
    drawn = {
        label: [(day.day, round(value, 5)) for day in days if (value := of(day)) is not None]
        for label, of in series.items()
    }
    return Chart(
        name,
        title,
        unit,
        about,
        ChartTable(columns, rows),
        none,
        figures.lines(drawn, title=unit, dates=True, limits=limits or {}),
    )


def _worst(days: Sequence[IntervalDay]) -> str:
    last = days[-1] if days else None
    if last is None or last.worst_coverage is None:
        return ""
    return f" Worst on {last.day}: {last.worst}, {last.worst_coverage:.0%}."


def _state(days: Sequence[IntervalDay]) -> str:
    return f" Correction {days[-1].correction}, after {days[-1].day}." if days else ""

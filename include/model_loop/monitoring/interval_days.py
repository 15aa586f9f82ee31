"""Days of a version's intervals, as plain values that are stored and shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

#: Metric of the finding about coverage.
INTERVAL_EVIDENCE = "interval_evidence"
#: Artifact of the days, of the run of a window and of that of all windows.
DAYS = "interval_days.json"
_FORMAT = "interval_days/1"


@dataclass(frozen=True)
class IntervalDay:
    """Intervals, or sets of classes, on a closed day: one whose true values are there.

    Sets have one side, which is `above` and `upper`, a width in classes, and no score and no bias.

    Parameters
    ----------
    day
        As ISO 8601.
    rows
        Number of rows with a true value.
    coverage, below, above
        Shares of the true values within, below and above the corrected intervals.
    calibrated
        Share within the intervals as they were registered, without any correction by days.
    width, score
        Mean width and interval score, in the unit of the target; None without a limit.
    worst, worst_coverage
        The slice that is covered least, and its coverage; None where no slice has enough rows.
    bias, lower, upper, correction
        Correction after the day, and its version; see `intervals.adaptive.Correction`.
    """

    day: str
    rows: int
    coverage: float
    below: float
    above: float
    calibrated: float
    width: float | None
    score: float | None
    worst: str
    worst_coverage: float | None
    bias: float
    lower: float
    upper: float
    correction: int

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers that are known, by their names on the tracking server."""
        numbers = {name: value for name, value in asdict(self).items() if name not in _TEXTS}
        return {f"interval_{name}": value for name, value in numbers.items() if value is not None}


_TEXTS = ("day", "worst")


def days_to_json(days: Iterable[IntervalDay]) -> str:
    """Serialize days."""
    return json.dumps({"format": _FORMAT, "days": [asdict(day) for day in days]}, indent=1)


def days_of(stored: Mapping[str, Any]) -> list[IntervalDay]:
    """Return the days that `days_to_json` has written, from their JSON.

    Raises
    ------
    ValueError
        If they are of another format, or no such days.
    """
    if stored["format"] != _FORMAT:
        message = f"days of the format {stored['format']!r}: {_FORMAT!r} is known"
        raise ValueError(message)
    # Fields of a later version are ignored.
    return msgspec.convert(stored["days"], list[IntervalDay])

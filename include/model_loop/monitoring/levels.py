"""Findings about a window, and their levels."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from model_loop.errors import InvalidInputError

if TYPE_CHECKING:
    from model_loop.settings import Settings

#: Subject of a finding that is about all features, or all rows.
ALL = "all"

#: Note of a change that is not a finding yet.
WITHIN_CHANCE = "within what chance gives"

_ACRONYMS = ("psi", "rmse", "mae")

#: Prefix of the settings that hold thresholds: ``threshold_psi`` is that of the metric ``psi``.
_SETTING = "threshold_"
#: Format of findings that are kept with a window.
_FORMAT = "monitoring_findings/1"


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    #: Too few rows, or nothing to compare with; the finding's note says which.
    UNKNOWN = "unknown"
    #: A person should look.
    WARN = "warn"
    #: A new model is needed.
    ACT = "act"

    @property
    def rank(self) -> int:
        """Higher is graver; what is not known is graver than what is well."""
        return list(Level).index(self)


@dataclass(frozen=True)
class Thresholds:
    """From where on a value is a warning, and from where on something has to be done.

    Parameters
    ----------
    warn, act
        In the unit of the metric; a value that equals one has reached it.

    Raises
    ------
    InvalidInputError
        If they are negative, or `act` is less than `warn`.
    """

    warn: float
    act: float

    def __post_init__(self) -> None:
        """Check the order."""
        if not 0 <= self.warn <= self.act:
            raise InvalidInputError(
                f"Thresholds {self.warn:g} and {self.act:g}",
                "are out of order",
                "Give first the threshold of a warning, then that of acting; neither is negative.",
            )

    def level(self, value: float) -> Level:
        """The level of a value; of NaN, unknown."""
        if math.isnan(value):
            return Level.UNKNOWN
        if value >= self.act:
            return Level.ACT
        return Level.WARN if value >= self.warn else Level.OK

    def __str__(self) -> str:
        return f"warn {self.warn:g}, act {self.act:g}"


@dataclass(frozen=True)
class WindowFinding:
    """One figure about a window.

    Parameters
    ----------
    metric
        What was measured: ``psi``, ``drift_distance``, ``shap_drift``, ``unseen_share``,
        ``missing_change``, ``prediction_drift``, ``rmse``, …
    subject
        Of what: a feature, a slice, or ``all``.
    value
        NaN where it could not be computed.
    level
        How grave it is.
    thresholds
        What it was judged by.
    note
        What else has to be known, such as why it is unknown; empty if nothing.
    certain
        Whether it is more than chance gives; what is not counts for no later window either.
    """

    metric: str
    subject: str
    value: float
    level: Level
    thresholds: Thresholds
    note: str = ""
    certain: bool = True

    @property
    def what(self) -> str:
        """Metric and subject: ``psi(temperature)``; names the finding among those of a window."""
        return f"{self.metric}({self.subject})"

    def __str__(self) -> str:
        name = self.metric.upper() if self.metric in _ACRONYMS else self.metric.replace("_", " ")
        value = "unknown" if math.isnan(self.value) else f"{self.value:.2g}"
        return f"{name}({self.subject}) = {value}"


def judge_value(
    metric: str, subject: str, value: float | None, thresholds: Thresholds, note: str = ""
) -> WindowFinding:
    """Judge a value; None, NaN and infinity are unknown, for which `note` should give the reason.

    Returns
    -------
    Finding
        At the level that the value has reached.
    """
    number = math.nan if value is None or not math.isfinite(value) else float(value)
    return WindowFinding(metric, subject, number, thresholds.level(number), thresholds, note)


def unknown(metric: str, subject: str, thresholds: Thresholds, why: str) -> WindowFinding:
    """A finding that could not be made, and why."""
    return judge_value(metric, subject, None, thresholds, why)


def worst(findings: Iterable[WindowFinding]) -> Level:
    """The gravest level that is known; of nothing, and where nothing is known, unknown."""
    levels = [finding.level for finding in findings if finding.level is not Level.UNKNOWN]
    return max(levels, key=lambda level: level.rank) if levels else Level.UNKNOWN


def gravest_first(findings: Iterable[WindowFinding]) -> list[WindowFinding]:
    """Findings by level, and within one by how far beyond their threshold they are."""

    def order(finding: WindowFinding) -> tuple[int, float]:
        limit = finding.thresholds.act or 1.0
        beyond = 0.0 if math.isnan(finding.value) else finding.value / limit
        return -finding.level.rank, -beyond

    return sorted(findings, key=order)


def thresholds_of(
    settings: Settings, overrides: Mapping[str, Any] | None = None
) -> dict[str, Thresholds]:
    """The thresholds of each metric, from the settings.

    Parameters
    ----------
    overrides
        Pairs of numbers by metric, which count instead.

    Raises
    ------
    InvalidInputError
        If a metric is unknown, or its thresholds are not a pair of numbers in order.
    """
    given = {
        name.removeprefix(_SETTING): getattr(settings, name)
        for name in type(settings).model_fields
        if name.startswith(_SETTING)
    }
    found = {metric: Thresholds(*pair) for metric, pair in given.items()}
    for metric, pair in (overrides or {}).items():
        if metric not in found:
            raise InvalidInputError(
                f"Threshold of {metric!r}",
                "is for an unknown metric",
                f"Choose from: {', '.join(found)}.",
            )
        found[metric] = _pair(metric, pair)
    return found


def _pair(metric: str, pair: Any) -> Thresholds:  # noqa: ANN401 - JSON of a form
    try:
        warn, act = map(float, pair)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"Threshold {pair!r} of {metric}", "is not a pair of numbers", "Give [warn, act]."
        ) from error
    return Thresholds(warn, act)


def to_json(findings: Iterable[WindowFinding]) -> str:
    """Serialize findings; values that are unknown are null."""
    rows = [as_row(finding) for finding in findings]
    return json.dumps({"format": _FORMAT, "findings": rows}, indent=1)


def from_json(text: str | bytes) -> list[WindowFinding]:
    """Read findings that `to_json` has written, or a version before 0.2: those are a list.

    Raises
    ------
    ValueError
        If they are of another format.
    """
    stored = json.loads(text)
    if isinstance(stored, dict):
        if stored["format"] != _FORMAT:
            message = f"findings of the format {stored['format']!r}: {_FORMAT!r} is known"
            raise ValueError(message)
        stored = stored["findings"]
    return from_rows(stored)


def from_rows(rows: Iterable[Mapping[str, Any]]) -> list[WindowFinding]:
    """Findings from what `as_row` has made of them."""
    return [
        WindowFinding(
            metric=row["metric"],
            subject=row["subject"],
            value=math.nan if row["value"] is None else row["value"],
            level=Level(row["level"]),
            thresholds=Thresholds(**row["thresholds"]),
            note=row["note"],
            # Findings that were kept before said so in words alone.
            certain=row.get("certain", WITHIN_CHANCE not in row["note"]),
        )
        for row in rows
    ]


def as_row(finding: WindowFinding) -> dict[str, Any]:
    """A finding as plain JSON values."""
    value = None if math.isnan(finding.value) else finding.value
    return {**asdict(finding), "level": finding.level.value, "value": value}

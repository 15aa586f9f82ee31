"""Findings and their levels."""

from __future__ import annotations

import math

import pytest

from model_loop.errors import InvalidInputError
from model_loop.monitoring.levels import (
    Level,
    Thresholds,
    from_json,
    gravest_first,
    judge,
    thresholds_of,
    to_json,
    unknown,
    worst,
)
from model_loop.settings import Settings

PSI = Thresholds(0.1, 0.25)


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (0.0, Level.OK),
        (0.1, Level.WARN),
        (0.25, Level.ACT),
        (math.nan, Level.UNKNOWN),
        (math.inf, Level.UNKNOWN),
        (None, Level.UNKNOWN),
    ],
)
def test_a_value_has_the_level_that_it_reaches(value: float | None, level: Level) -> None:
    """Thresholds are included; what is no number is unknown."""
    assert judge("psi", "hour", value, PSI).level is level


def test_findings_survive_json() -> None:
    """What is written is what is read, unknown values too."""
    findings = [judge("psi", "hour", 0.3, PSI), unknown("psi", "all", PSI, "3 trips")]
    found = from_json(to_json(findings))
    assert found[0] == findings[0]
    assert (found[1].level, found[1].note) == (Level.UNKNOWN, "3 trips")
    assert math.isnan(found[1].value)


def test_the_gravest_counts() -> None:
    """Acting before warning before unknown before ok; within a level, the farthest beyond."""
    findings = [
        judge("psi", name, value, PSI)
        for name, value in (("a", 0.0), ("b", 0.3), ("c", None), ("d", 0.9), ("e", 0.2))
    ]
    assert [finding.subject for finding in gravest_first(findings)] == ["d", "b", "e", "c", "a"]
    assert worst(findings) is Level.ACT
    assert worst([]) is Level.UNKNOWN


def test_thresholds_come_from_settings_and_form() -> None:
    """A form overrides a metric; unknown metrics and wrong pairs are refused."""
    found = thresholds_of(Settings(), {"psi": [0.2, 0.5]})
    assert found["psi"] == Thresholds(0.2, 0.5)
    assert "rmse" in found
    for wrong in ({"pis": [0.1, 0.2]}, {"psi": [0.5, 0.1]}, {"psi": 3}, {"psi": ["a", "b"]}):
        with pytest.raises(InvalidInputError):
            thresholds_of(Settings(), wrong)

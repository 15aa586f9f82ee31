"""Findings and their levels."""

from __future__ import annotations

import json
import math
from dataclasses import astuple, replace

import pytest

from model_loop.errors import InvalidInputError
from model_loop.monitoring.levels import (
    WITHIN_CHANCE,
    Level,
    Thresholds,
    as_row,
    from_json,
    from_rows,
    gravest_first,
    judge_value,
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
    assert judge_value("psi", "hour", value, PSI).level is level


def test_findings_survive_json() -> None:
    """A stored finding is the same, with unknown values too."""
    findings = [judge_value("psi", "hour", 0.3, PSI), unknown("psi", "all", PSI, "3 trips")]
    found = from_json(to_json(findings))
    assert found[0] == findings[0]
    assert (found[1].level, found[1].note) == (Level.UNKNOWN, "3 trips")
    assert math.isnan(found[1].value)


def test_the_gravest_counts() -> None:
    """Acting before warning before unknown before ok; within a level, the farthest beyond."""
    findings = [
        judge_value("psi", name, value, PSI)
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


def test_a_finding_reads_as_people_say_it() -> None:
    """Acronyms in capitals, other metrics in words, two digits, and what is unknown as such."""
    assert str(judge_value("psi", "hour", 0.3149, PSI)) == "PSI(hour) = 0.31"
    assert str(judge_value("unseen_share", "all", 12.3, PSI)) == "unseen share(all) = 12"
    assert str(unknown("slice_rmse", "worst slice", PSI, "")) == "slice rmse(worst slice) = unknown"
    assert judge_value("psi", "hour", 0.3, PSI).what == "psi(hour)"
    assert str(PSI) == "warn 0.1, act 0.25"


def test_findings_of_other_metrics_are_compared_by_their_thresholds() -> None:
    """By how many times the one of acting they are; of one that is nothing, by themselves."""
    far, near = Thresholds(0.01, 0.02), Thresholds(1.0, 2.0)
    nothing = Thresholds(0.0, 0.0)
    findings = [
        judge_value("rmse", "near", 3.0, near),
        judge_value("mae", "far", 0.1, far),
        judge_value("bias", "nothing", 1.8, nothing),
        judge_value("bias", "less", 0.4, nothing),
    ]
    for given in (findings, findings[::-1]):
        order = [finding.subject for finding in gravest_first(given)]
        assert order == ["far", "nothing", "near", "less"]


def test_a_finding_is_kept_as_plain_json() -> None:
    """Every field by its name, the level as its word, and no number that JSON does not have."""
    finding = replace(judge_value("psi", "hour", 0.3, PSI, "note"), certain=False)
    assert as_row(finding) == {
        "metric": "psi",
        "subject": "hour",
        "value": 0.3,
        "level": "act",
        "thresholds": {"warn": 0.1, "act": 0.25},
        "note": "note",
        "certain": False,
    }
    assert type(as_row(finding)["level"]) is str
    assert from_rows([as_row(finding)]) == [finding]
    row = as_row(unknown("psi", "hour", PSI, "3 trips"))
    assert row["value"] is None
    stored = json.loads(to_json([unknown("psi", "hour", PSI, "3 trips")]))
    assert stored["findings"] == [row]
    # As a list alone, versions before have written them; another format is none of ours.
    assert from_json(json.dumps([as_row(finding)])) == [finding]
    with pytest.raises(ValueError, match=f"'other': {stored['format']!r} is known"):
        from_json(json.dumps(stored | {"format": "other"}))


@pytest.mark.parametrize(("note", "certain"), [("much", True), (f"x; {WITHIN_CHANCE}", False)])
def test_findings_that_were_kept_before_say_it_in_words(note: str, *, certain: bool) -> None:
    """A note beside an old finding counts if it is given."""
    row = as_row(judge_value("psi", "hour", 0.3, PSI, note))
    del row["certain"]
    assert from_rows([row])[0].certain is certain
    for told in (True, False):
        assert from_rows([row | {"certain": told}])[0].certain is told


def test_what_no_thresholds_can_be() -> None:
    """The error names input and rule; a level without a condition may be reached at once."""
    for warn, act in ((0.5, 0.1), (-0.1, 0.2), (math.nan, 1.0)):
        with pytest.raises(
            InvalidInputError, match=r"out of order\. Give first the threshold of a"
        ):
            Thresholds(warn, act)
    assert Thresholds(0.0, 0.0).level(0.0) is Level.ACT
    assert Thresholds(0.2, 0.2).level(0.2) is Level.ACT
    assert Thresholds(0.2, 0.2).level(0.19) is Level.OK
    with pytest.raises(
        InvalidInputError, match=r"'pis' is for an unknown metric\. Choose from: .*psi, "
    ):
        thresholds_of(Settings(), {"pis": [0.1, 0.2]})
    with pytest.raises(InvalidInputError, match=r"Threshold 3 of psi is not a pair of numbers"):
        thresholds_of(Settings(), {"psi": 3})
    found = thresholds_of(Settings())
    assert {f"threshold_{metric}" for metric in found} <= set(Settings.model_fields)
    assert all(astuple(one) == getattr(Settings(), f"threshold_{it}") for it, one in found.items())


def test_levels_in_their_order() -> None:
    """Unknown is more serious than ok."""
    assert sorted(Level, key=lambda level: level.rank) == [
        Level.OK,
        Level.UNKNOWN,
        Level.WARN,
        Level.ACT,
    ]

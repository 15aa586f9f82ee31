"""Test months of so few trips that chance decides."""

from __future__ import annotations

import pytest
from tests.models.test_gate import ACTUAL, DATA, ERRORS, contender, failed, judge_challenger

from model_loop.models.gate_rules import GateRules


@pytest.mark.parametrize("trips", [1, 2, 29])
def test_a_few_trips_say_nothing(trips: int) -> None:
    """Of two trips every resampled month may be better, by chance alone."""
    few = slice(trips)
    challenger, champion = (
        contender(version, error, predicted=ACTUAL[few] + error * ERRORS[few])
        for version, error in ((2, 1.0), (1, 5.0))
    )
    verdict = judge_challenger(challenger, champion, DATA[few], GateRules())
    assert "test trips" in failed(verdict)
    wanted = verdict.table().set_index("name").loc["test trips", "wanted"]
    assert str(wanted).startswith("30 or more")

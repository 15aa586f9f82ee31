"""What the gate says of intervals: by days, by groups and beside the champion's."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest

from model_loop.days import SECONDS_PER_DAY
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.calibration import calibrate
from model_loop.intervals.measures import measure_intervals
from model_loop.intervals.residuals import Residuals
from model_loop.intervals.scale import ErrorScale, ScaleBins, ScaleFactors
from model_loop.models import gate_intervals
from model_loop.models.gate import Check, Contender, GateVerdict
from model_loop.models.gate_intervals import JudgedIntervals, holm
from model_loop.models.gate_rules import GateRules
from model_loop.models.slices import Slicing
from trip_duration.dataset import TRIPS as DATASET

ROWS, DAYS = 9_000, 30
judge_intervals = functools.partial(gate_intervals.judge_intervals, slicing=Slicing(DATASET))


def intervals(noise: float = 2.0, seed: int = 1) -> Intervals:
    """Intervals of residuals with normal noise."""
    random = np.random.default_rng(seed)
    predicted = random.uniform(10, 50, ROWS)
    actual = predicted + random.normal(0, noise, ROWS)
    return calibrate(Residuals("validation", actual, predicted, (), ""))


INTERVALS = intervals()


def rows(noise: float = 2.0, *, days: int = DAYS, by_day: float = 0.0, seed: int = 2) -> Rows:
    """Rows of days, with the predictions of a model that is off by so much."""
    random = np.random.default_rng(seed)
    day = random.integers(0, days, ROWS)
    predicted = random.uniform(10, 50, ROWS)
    off = random.normal(0, noise, ROWS) + by_day * random.normal(0, 1, days)[day]
    data = pd.DataFrame(
        {
            "PULocationID": random.choice([74, 132], ROWS),
            "pickup_datetime": (day * SECONDS_PER_DAY + random.integers(0, SECONDS_PER_DAY, ROWS))
            .astype("datetime64[s]")
            .astype("datetime64[us]"),
            "duration": predicted + off,
        }
    )
    return Rows(data, predicted)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of the gate, and their predictions."""

    data: pd.DataFrame
    predicted: np.ndarray

    def contender(self, version: int, known: Intervals | None = INTERVALS) -> Contender:
        """The model that has predicted them."""
        return Contender(version, self.predicted, (), 1.0, 1.0, known)

    def judged(self, known: Intervals | None = INTERVALS) -> JudgedIntervals:
        """Judge intervals by them."""
        return judge_intervals(self.contender(2, known), None, self.data, GateRules())


def failed(judged: JudgedIntervals) -> list[str]:
    """Names of the checks that failed."""
    return [check.name for check in judged.checks if not check.passed]


def coverage(judged: JudgedIntervals, of: Rows) -> float:
    """Coverage of the widened intervals."""
    assert judged.widening is not None
    limits = INTERVALS.at(90, judged.widening).limits_of(of.predicted)
    return measure_intervals(*limits, of.data.duration.to_numpy(), 90).coverage


def test_intervals_are_judged_by_the_sizes_of_errors() -> None:
    """Those that are three times as wide in one place hold too much there, and score worse."""
    bins = ScaleBins("category", "PULocationID", values=(132.0,))
    scale = ErrorScale(0.0, (bins,), (ScaleFactors(0, -1, (1_099, 0)),))
    scaled = dataclasses.replace(INTERVALS, scale=scale)
    found = rows()
    held, *_ = found.judged(scaled).checks
    wide = (found.data.PULocationID == 132).to_numpy()
    low, high = scaled.at(90).limits_of(found.predicted, None, np.exp(1.099 * wide))
    inside = (low <= found.data.duration) & (found.data.duration <= high)
    assert held.found.startswith(f"{inside.mean():.1%} ")
    assert not held.passed
    champion = found.contender(1)
    judged = judge_intervals(found.contender(2, scaled), champion, found.data, GateRules())
    assert "interval score against version 1" in failed(judged)


def test_intervals_that_hold_are_left_as_they_are() -> None:
    """Coverage, groups; no check of the champion's score where there is none."""
    judged = rows().judged()
    assert [check.name for check in judged.checks] == ["coverage", "coverage of the worst group"]
    assert not failed(judged)
    assert (judged.widening, judged.remark) == (None, "")


@pytest.mark.parametrize(
    ("noise", "passes"), [(1.76, False), (1.87, True), (2.05, True), (2.2, False)]
)
def test_coverage_has_two_bounds(noise: float, *, passes: bool) -> None:
    """From 88 to 93 %: what holds too much is as wrong as what holds too little."""
    judged = rows(noise).judged()
    assert judged.checks[0].passed is passes, judged.checks[0].found


def test_a_version_with_intervals_that_fail_goes_with_wider_ones() -> None:
    """These hold; the verdict is passed all the same, and says so."""
    late = rows(3.0)
    judged = late.judged()
    assert failed(judged)[0] == "coverage"
    assert 0.9 < coverage(judged, late) < 0.93
    assert "version 2 did not hold at the gate (coverage" in judged.remark
    assert "wider" in judged.remark
    verdict = GateVerdict(2, 1, judged.checks, widening=judged.widening)
    assert verdict.passed
    assert "**warning**" in verdict.markdown
    blocking = dataclasses.replace(verdict, checks=(Check("x", passed=False, found="", wanted=""),))
    assert not blocking.passed


def test_only_the_side_that_is_missed_becomes_wider() -> None:
    """True values that rose leave the lower limits as they are."""
    late = rows()
    late.data["duration"] += 2.0
    judged = late.judged()
    assert judged.widening is not None
    assert judged.widening.lower == 1.0
    assert judged.widening.upper < 0.5
    assert judged.widening.version == 1


def test_intervals_that_hold_too_much_are_not_narrowed() -> None:
    """The rows of the gate judge; narrower intervals would have learned from them."""
    judged = rows(1.0).judged()
    assert failed(judged) == ["coverage"]
    assert judged.widening is None
    assert "wider" not in judged.remark


def test_a_group_that_is_missed_is_named() -> None:
    """One zone is far noisier than the others, and coverage of all holds."""
    late = rows(1.8)
    zone = (np.arange(ROWS) % 20 == 0) | (late.data.PULocationID == 1)
    late.data["PULocationID"] = np.where(zone, 1, 74)
    noise = np.random.default_rng(5).normal(0, 4, ROWS)
    late.data["duration"] = np.where(zone, late.predicted + noise, late.data.duration)
    judged = late.judged()
    assert failed(judged) == ["coverage of the worst group"]
    assert judged.checks[1].found.startswith("borough EWR: 5")
    assert judged.widening is not None


def test_groups_are_judged_by_days() -> None:
    """A few bad days are chance, though their rows alone would be certain."""
    few = rows(1.8, days=8, by_day=0.6, seed=11)
    day = few.data.pickup_datetime.dt.floor("D")
    few.data.loc[day == day.min(), "duration"] += 8.0
    by_day = few.judged()
    assert "coverage of the worst group" not in failed(by_day)
    several = few.data.drop(columns="pickup_datetime")
    by_row = judge_intervals(few.contender(2), None, several, GateRules())
    assert "coverage of the worst group" in failed(by_row)


def test_of_many_groups_the_worst_is_not_chance() -> None:
    """Groups at their bound pass nearly always by Holm's correction, and rarely without it."""
    found = [rows(2.25, seed=seed).judged() for seed in range(40)]
    assert sum("coverage of the worst group" in failed(one) for one in found) <= 4


def test_holm() -> None:
    """By the steps of the procedure: each probability has its own bound."""
    assert holm([0.01, 0.02, 0.04], 0.05) == 3
    assert holm([0.01, 0.03, 0.04], 0.05) == 1
    assert holm([0.02, 0.02, 0.02], 0.05) == 0
    assert holm([], 0.05) == 0


@pytest.mark.parametrize(("noise", "passes"), [(2.0, True), (2.6, False), (1.0, False)])
def test_the_interval_score_is_compared_with_the_champions(noise: float, *, passes: bool) -> None:
    """Wider than needed is worse, and narrower than needed too: width ranks nothing."""
    late = rows()
    challenger, champion = late.contender(2, intervals(noise, seed=3)), late.contender(1)
    judged = judge_intervals(challenger, champion, late.data, GateRules())
    assert ("interval score against version 1" not in failed(judged)) is passes


def test_a_score_that_is_worse_by_chance_is_no_failure() -> None:
    """Two per cent, of days that differ by far more."""
    late = rows()
    other = late.predicted + np.random.default_rng(8).normal(0, 9, ROWS)
    challenger = dataclasses.replace(late.contender(2), predicted=other)
    champion = dataclasses.replace(
        late.contender(1),
        predicted=np.random.default_rng(9).permutation(other - late.predicted) + late.predicted,
    )
    judged = judge_intervals(challenger, champion, late.data, GateRules())
    check = judged.checks[-1]
    assert check.name == "interval score against version 1"
    assert check.passed, check.found


def test_without_intervals_nothing_is_judged() -> None:
    """Versions of before, of either side; and of few rows nothing is said."""
    late = rows()
    assert late.judged(None) == JudgedIntervals()
    judged = judge_intervals(late.contender(2), late.contender(1, None), late.data, GateRules())
    assert len(judged.checks) == 2
    few = Rows(late.data.head(199), late.predicted[:199]).judged()
    assert [check.found for check in few.checks] == ["199 trips say nothing of intervals"]

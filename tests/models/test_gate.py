"""What a challenger has to show."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_loop.errors import InvalidInputError
from model_loop.models import gate
from model_loop.models.gate import Contender, GateVerdict, Standard
from model_loop.models.gate_rules import GateRules
from model_loop.models.slices import Slicing
from model_loop.training_set.data_tests import DataTestResult
from trip_duration.dataset import TRIPS as DATASET

RANDOM = np.random.default_rng(0)
TRIPS = 2_000
ACTUAL = RANDOM.uniform(3, 60, TRIPS)
DATA = pd.DataFrame(
    {
        "PULocationID": RANDOM.choice([74, 132], TRIPS),
        "trip_distance": RANDOM.exponential(3, TRIPS),
        "duration": ACTUAL,
    }
)
INPUTS = ("PULocationID", "DOLocationID", "trip_distance")
ERRORS = RANDOM.normal(0, 1, TRIPS)


def contender(version: int, error: float, **changes: object) -> Contender:
    """A model that is so many minutes off."""
    model = Contender(version, ACTUAL + error * ERRORS, INPUTS, 3.0, 1.0)
    return dataclasses.replace(model, **changes)  # type: ignore[arg-type]  # by name


CHAMPION = contender(1, 5.0)
judge_challenger = functools.partial(gate.judge_challenger, slicing=Slicing(DATASET))


def failed(verdict: GateVerdict) -> list[str]:
    """Names of the checks that were not passed."""
    return [check.name for check in verdict.checks if not check.passed]


def test_a_better_model_passes() -> None:
    """A clear gain passes every check; the table tells each of them."""
    verdict = judge_challenger(contender(2, 4.0), CHAMPION, DATA, GateRules())
    assert verdict.passed
    assert (verdict.challenger, verdict.champion) == (2, 1)
    table = verdict.table().set_index("name")
    assert table.passed.all()
    assert {
        "worst slice",
        "signature",
        "inputs beside the champion's",
        "no leak",
        "latency",
        "size",
    } < {*table.index}
    assert "better by 1.0" in str(table.loc["RMSE against version 1", "found"])


def test_chance_does_not_pass() -> None:
    """A gain that resampled test months do not confirm is none."""
    noise = RANDOM.normal(0, 5.0, TRIPS)
    lucky = contender(2, 0.0, predicted=ACTUAL + noise * 4.99 / noise.std())
    champion = contender(1, 0.0, predicted=ACTUAL + 5.0 * ERRORS / ERRORS.std())
    assert failed(judge_challenger(lucky, champion, DATA, GateRules())) == [
        "RMSE against version 1"
    ]


def test_models_are_compared_trip_by_trip() -> None:
    """A small gain at nearly every trip is certain, though errors as such vary by more."""
    better = contender(2, 4.9)
    verdict = judge_challenger(
        better, CHAMPION, DATA, GateRules(margin_share=0.01, confidence=0.99)
    )
    assert verdict.passed, verdict.markdown


def test_the_same_models_get_the_same_verdict() -> None:
    """Resamplings depend on the seed alone; ten seeds draw ten times."""
    trips, few = DATA.head(60), slice(60)
    errors = np.random.default_rng(3).normal(0, 9, (2, 60))
    close, champion = (
        contender(version, 0.0, predicted=ACTUAL[few] + one)
        for version, one in zip((2, 1), errors, strict=True)
    )
    first, again = (
        {
            str(judge_challenger(close, champion, trips, GateRules(), random_state=seed))
            for seed in range(10)
        }
        for _ in range(2)
    )
    assert first == again
    assert len(first) > 5


def test_confidence_is_that_of_one_side() -> None:
    """At 80 percent the bound lies 0.84 standard errors below the gain; with two sides, 1.28."""
    errors = np.random.default_rng(8).normal(0, 5, (2, TRIPS))
    ours, theirs = np.square(errors)
    gain = np.sqrt(theirs.mean()) - np.sqrt(ours.mean())
    # By the delta method, of pairs.
    slopes = theirs / (2 * np.sqrt(theirs.mean())) - ours / (2 * np.sqrt(ours.mean()))
    standard_error = slopes.std() / np.sqrt(TRIPS)
    challenger, champion = (
        contender(version, 0.0, predicted=ACTUAL + one)
        for version, one in zip((2, 1), errors, strict=True)
    )
    verdict = judge_challenger(challenger, champion, DATA, GateRules(confidence=0.8))
    told = re.search(r"at worst (better|worse) by ([\d.]+)", verdict.markdown)
    assert told is not None
    bound = float(told[2]) * (1 if told[1] == "better" else -1)
    assert (gain - bound) / standard_error == pytest.approx(0.84, abs=0.15)


def test_the_margin_is_a_share_of_the_champions_error() -> None:
    """A tenth better is enough for a margin of a twentieth, and not for one of a fifth."""
    better = contender(2, 4.5)
    assert judge_challenger(better, CHAMPION, DATA, GateRules(margin_share=0.05)).passed
    assert not judge_challenger(better, CHAMPION, DATA, GateRules(margin_share=0.2)).passed


def test_no_slice_may_pay_for_the_others() -> None:
    """A model that is better on the whole and worse at one airport is refused."""
    airport = DATA.PULocationID.to_numpy() == 132
    predicted = ACTUAL + np.where(airport, 6.0, 1.0) * ERRORS
    one_airport = DATA.assign(PULocationID=np.where(airport, 1, 74))
    verdict = judge_challenger(
        contender(2, 0.0, predicted=predicted), CHAMPION, one_airport, GateRules()
    )
    assert failed(verdict) == ["worst slice"]
    table = verdict.table().set_index("name")
    assert "borough EWR" in str(table.loc["worst slice", "found"])
    rare = GateRules(slice_rows=TRIPS)
    assert judge_challenger(
        contender(2, 0.0, predicted=predicted), CHAMPION, one_airport, rare
    ).passed


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"inputs": ()}, "signature"),
        ({"inputs": (*INPUTS, "fare_amount")}, "no leak"),
        ({"milliseconds": 101.0}, "latency"),
        ({"megabytes": 201.0}, "size"),
    ],
)
def test_each_check_can_fail(changes: dict[str, object], check: str) -> None:
    """A better model is refused for each of the other reasons."""
    assert check in failed(
        judge_challenger(contender(2, 4.0, **changes), CHAMPION, DATA, GateRules())
    )


def test_the_first_model_is_compared_with_the_median() -> None:
    """Without a champion the naive median is what has to be beaten."""
    assert judge_challenger(contender(1, 5.0), None, DATA, GateRules()).passed
    constant = contender(1, 0.0, predicted=np.full(TRIPS, np.median(ACTUAL)))
    assert failed(judge_challenger(constant, None, DATA, GateRules())) == [
        "RMSE against the naive median"
    ]


def test_the_first_model_has_to_beat_the_baseline() -> None:
    """Where there is a better rule than the median, that is the bar, and it is named."""
    rule = Standard("the mean of the pair of zones", ACTUAL + 6.0 * ERRORS)
    assert judge_challenger(contender(1, 5.0), rule, DATA, GateRules()).passed
    weak = judge_challenger(contender(1, 8.0), rule, DATA, GateRules())
    assert failed(weak) == ["RMSE against the mean of the pair of zones"]
    assert judge_challenger(contender(1, 8.0), None, DATA, GateRules()).passed


def test_a_model_is_not_refused_for_a_slice_that_the_outcome_has_chosen() -> None:
    """Who says 45 is right about long trips by chance: what predicts the mean is far better."""
    champion = contender(1, 0.0, predicted=np.full(TRIPS, 45.0))
    better = contender(2, 0.0, predicted=np.full(TRIPS, ACTUAL.mean()))
    long = ACTUAL > 40
    assert np.abs(better.predicted - ACTUAL)[long].mean() > 1.5 * np.abs(45.0 - ACTUAL[long]).mean()
    assert judge_challenger(better, champion, DATA, GateRules()).passed


def test_what_leaks_depends_on_the_moment() -> None:
    """The metered distance is known when the trip has ended, not when a ride is booked."""
    better = contender(2, 4.0)
    ended = judge_challenger(better, CHAMPION, DATA, GateRules(), moment="ended")
    booked = judge_challenger(better, CHAMPION, DATA, GateRules(), moment="booked")
    assert ended.passed
    assert failed(booked) == ["no leak"]
    found, wanted = booked.table().set_index("name").loc["no leak", ["found", "wanted"]]
    assert found == "known too late: trip_distance"
    assert wanted == "every column is known when a ride is booked"


def test_one_trip_is_no_evidence() -> None:
    """Of a single trip nothing is concluded."""
    one = DATA.head(1)
    better, champion = (
        dataclasses.replace(model, predicted=model.predicted[:1])
        for model in (contender(2, 0.0), CHAMPION)
    )
    assert "RMSE against version 1" in failed(judge_challenger(better, champion, one, GateRules()))


def test_a_verdict_in_words() -> None:
    """All that a person reads; what just keeps to a limit passes, what is above it does not."""
    text = (Path(__file__).parent / "verdicts.md").read_text(encoding="utf-8")
    _, promoted, refused = text.strip().split("\n\n")
    better = contender(
        2, 4.0, inputs=(*INPUTS, "passenger_count"), milliseconds=100.0, megabytes=200.0
    )
    sound = [
        DataTestResult("a", passed=True, found="x"),
        DataTestResult("b", passed=True, found="y"),
    ]
    assert judge_challenger(better, CHAMPION, DATA, GateRules(), sound).markdown == promoted
    late = ("dropoff_datetime", "VendorID", "pickup_datetime")
    worse = contender(2, 6.0, inputs=(*INPUTS, *late), milliseconds=100.06, megabytes=200.06)
    broken = [dataclasses.replace(one, passed=False) for one in sound]
    verdict = judge_challenger(worse, CHAMPION, DATA, GateRules(), broken, moment="booked")
    assert verdict.markdown == refused


def test_a_model_without_a_signature_is_told() -> None:
    """It says neither what it asks for nor, so, that it asks for anything known too late."""
    table = judge_challenger(contender(2, 4.0, inputs=()), CHAMPION, DATA, GateRules()).table()
    found = table.set_index("name").found
    assert (found["signature"], found["inputs beside the champion's"]) == (
        "none",
        "the same or fewer",
    )


def test_slices_of_enough_trips_count() -> None:
    """Of exactly as many as are asked for, a slice that is worse is a refusal."""
    first = np.arange(TRIPS) < 200
    trips = DATA.assign(PULocationID=np.where(first, 132, 74))
    worse = np.where(first, 2.0, 0.5) * 5.0 * ERRORS
    challenger = contender(2, 0.0, predicted=ACTUAL + worse)
    assert failed(judge_challenger(challenger, CHAMPION, trips, GateRules(slice_rows=200))) == [
        "worst slice"
    ]
    assert not failed(judge_challenger(challenger, CHAMPION, trips, GateRules(slice_rows=201)))


@pytest.mark.parametrize(
    ("name", "allowed", "refused", "remedy"),
    [
        ("margin_share", 0.0, -0.001, "Give 0.0 or more"),
        ("margin_share", 1.0, 1.001, "Give 1.0 or less"),
        ("confidence", 0.5, 0.499, "Give 0.5 or more"),
        ("confidence", 0.999, 0.9991, "Give 0.999 or less"),
        ("slice_share", 0.0, -0.001, "Give 0.0 or more"),
        ("slice_rows", 1, 0, "Give 1 or more"),
        ("least_rows", 2, 1, "Give 2 or more"),
        ("latency_milliseconds", 0.001, 0.0, "Give more than 0.0"),
        ("size_megabytes", 0.001, 0.0, "Give more than 0.0"),
    ],
)
def test_bounds(name: str, allowed: float, refused: float, remedy: str) -> None:
    """The last value that is allowed, and the first that is not: refused by name, with the rule."""
    assert getattr(GateRules(**{name: allowed}), name) == allowed  # type: ignore[arg-type]  # by name
    with pytest.raises(InvalidInputError, match=rf"^{name} = .* out of bounds.*{remedy}"):
        GateRules(**{name: refused})  # type: ignore[arg-type]  # by name


def test_a_failed_data_test_is_named() -> None:
    """What is learned from unsound data stays out."""
    outcomes = [
        DataTestResult("rows", passed=True, found="all"),
        DataTestResult("leak", passed=False, found="2"),
    ]
    verdict = judge_challenger(contender(2, 4.0), CHAMPION, DATA, GateRules(), outcomes)
    assert failed(verdict) == ["data tests"]
    assert verdict.checks[-1].found == "leak: 2"
    assert judge_challenger(contender(2, 4.0), CHAMPION, DATA, GateRules(), outcomes[:1]).passed

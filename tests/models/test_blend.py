"""Selection of the members of a blend, and the judgement whether it is worth having."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from model_loop.datasets.classes import Classes
from model_loop.datasets.dataset import Target
from model_loop.models import blend as blends
from model_loop.models.blend import (
    BLOCK_DAYS,
    PICKS,
    blended,
    halves_of,
    judge_blend,
    row_losses,
    select_weights,
)
from model_loop.models.class_metrics import log_losses
from model_loop.models.classification.clusters import Clusters
from model_loop.models.search import SearchRequest

Floats = npt.NDArray[np.float64]
MINUTES = Target("time", unit="min")
CLASSES = Target("late", kind="binary", classes=Classes(("no", "yes"), positive="yes"))
LOG_LOSS = SearchRequest(primary_metric="log_loss")


def drawn(rows: int = 600, members: int = 3, seed: int = 0) -> tuple[dict[str, Floats], Floats]:
    """Draw true values and what members predict, each with errors of its own."""
    random = np.random.default_rng(seed)
    actual = random.normal(0, 10, rows)
    return {
        name: actual + random.normal(0, 3 + place, rows)
        for place, name in enumerate("abcdef"[:members])
    }, actual


def days(rows: int, number: int = 30) -> Clusters:
    """Return rows that are spread over days, in the order of time."""
    return Clusters("days", np.arange(rows) * number // rows)


def loss_of(predicted: Mapping[str, Floats], weights: Mapping[str, float], actual: Floats) -> float:
    """Return the mean squared error of a blend."""
    return float(row_losses(actual, blended(predicted, weights), "rmse").mean())


@pytest.mark.parametrize("seed", range(5))
def test_no_blend_of_as_many_picks_is_much_better(seed: int) -> None:
    """Every blend of two members is tried: greedy picks come to within a thousandth of the best."""
    predicted, actual = drawn(members=2, seed=seed)
    weights = select_weights(predicted, actual, "rmse")
    every = [
        {"a": picks / total, "b": 1 - picks / total}
        for total in range(1, PICKS + 1)
        for picks in range(total + 1)
    ]
    best = min(loss_of(predicted, each, actual) for each in every)
    assert loss_of(predicted, weights, actual) <= best * 1.001
    assert sum(weights.values()) == pytest.approx(1)
    counted = [value * total for total in range(1, PICKS + 1) for value in weights.values()]
    assert any(float(one).is_integer() for one in np.round(counted, 9))


def test_the_first_two_picks_are_the_best_ones() -> None:
    """The best alone, then the one that goes best with it, as all pairs show."""
    predicted, actual = drawn(members=4, seed=2)
    alone = min(predicted, key=lambda name: loss_of(predicted, {name: 1.0}, actual))
    pairs = {
        name: loss_of(predicted, {alone: 0.5, name: 0.5} if name != alone else {alone: 1.0}, actual)
        for name in predicted
    }
    other = min(pairs, key=pairs.__getitem__)
    picked = _select(predicted, actual, picks=2)
    assert picked == {alone: 0.5, other: 0.5}


def _select(predicted: Mapping[str, Floats], actual: Floats, picks: int) -> Mapping[str, float]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blends, "PICKS", picks)
        return select_weights(predicted, actual, "rmse")


def test_a_member_that_is_there_twice_counts_once() -> None:
    """Of equal members the one that is in the blend is picked again."""
    predicted, actual = drawn()
    twice = {**predicted, "z": predicted["a"].copy()}
    assert select_weights(twice, actual, "rmse") == select_weights(predicted, actual, "rmse")
    same = {"b": predicted["a"], "a": predicted["a"].copy()}
    # Of blends that are equally good, the smallest.
    assert select_weights(same, actual, "rmse") == {"a": 1.0}


def test_noise_is_not_taken() -> None:
    """What a member that knows nothing adds by chance is not worth it."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        known = random.normal(0, 5, (3, 600))
        actual = known.sum(axis=0) + random.normal(0, 2, 600)
        predicted = {
            "a": known[0] + known[1],
            "b": known[1] + known[2],
            "noise": random.normal(0, 5, 600),
        }
        assert [*select_weights(predicted, actual, "rmse")] == ["a", "b"]


def test_a_further_member_has_to_be_worth_its_time() -> None:
    """One that lowers the loss by less than a thousandth is left out."""
    random = np.random.default_rng(1)
    actual, shared = np.zeros(600), random.normal(0, 3, 600)
    # Errors that go against each other by a hundredth: their mean is better by less than that.
    against = np.where(np.arange(600) % 2, 0.99, 1.01)
    nearly = {"a": shared * against, "b": shared * (2 - against)}
    both = loss_of(nearly, {"a": 0.5, "b": 0.5}, actual)
    assert both < min(loss_of(nearly, {name: 1.0}, actual) for name in "ab")
    assert len(select_weights(nearly, actual, "rmse")) == 1
    other = random.normal(0, 3, 600)
    assert len(select_weights({"a": shared, "b": other}, actual, "rmse")) == 2


@pytest.mark.parametrize("kind", ["days", "groups", "rows"])
def test_the_order_of_rows_changes_nothing(kind: str) -> None:
    """Weights, halves and figures are those of the same rows in another order."""
    predicted, actual = drawn(2_000)
    codes = {
        "days": days(2_000).codes,
        "groups": np.random.default_rng(1).integers(0, 90, 2_000),
        "rows": np.arange(2_000),
    }[kind]
    clusters = Clusters(kind, codes)  # type: ignore[arg-type]  # as above
    order = np.random.default_rng(2).permutation(2_000)
    shuffled = {name: values[order] for name, values in predicted.items()}
    # Rows without a cluster, and groups, are numbered as they come.
    others = codes[order] if kind == "days" else np.unique(codes[order], return_inverse=True)[1]
    permuted = Clusters(kind, others if kind != "rows" else codes)  # type: ignore[arg-type]  # as above
    assert (
        halves_of(shuffled, actual[order], permuted).tolist()
        == halves_of(predicted, actual, clusters)[order].tolist()
    )
    one = judge_blend(predicted, actual, clusters, SearchRequest(), MINUTES)
    other = judge_blend(shuffled, actual[order], permuted, SearchRequest(), MINUTES)
    assert other.weights == one.weights
    assert (other.gain, other.lower, other.upper) == pytest.approx((one.gain, one.lower, one.upper))


def test_halves_hold_whole_days_in_blocks() -> None:
    """Every other block; no day, and no group, is in both halves."""
    predicted, actual = drawn(3_000)
    second = halves_of(predicted, actual, days(3_000))
    by_day = [set(second[days(3_000).codes == day].tolist()) for day in range(30)]
    assert all(len(each) == 1 for each in by_day)
    blocks = [each.pop() for each in by_day][::BLOCK_DAYS]
    assert blocks == [bool(number % 2) for number in range(10)]
    groups = np.random.default_rng(1).integers(0, 90, 3_000)
    second = halves_of(predicted, actual, Clusters("groups", groups))
    assert all(len({*second[groups == group].tolist()}) == 1 for group in range(90))
    assert 0.3 < second.mean() < 0.7


def test_a_blend_that_is_better_is_chosen() -> None:
    """By its error on rows that its selection has not seen, in the unit of the target."""
    predicted, actual = drawn(6_000)
    found = judge_blend(predicted, actual, days(6_000), SearchRequest(), MINUTES, noun="rides")
    assert found.chosen
    assert found.alone == "a"
    alone = np.sqrt(np.square(predicted["a"] - actual).mean())
    assert found.error_alone == pytest.approx(alone)
    assert found.error_alone - found.error_blended == pytest.approx(found.gain)
    assert 0 < found.lower < found.gain < found.upper
    assert found.weights == select_weights(predicted, actual, "rmse")
    assert "is registered: RMSE" in found.reason
    assert "min on validation rows that its selection has not seen" in found.reason
    assert "by 30 days" in found.reason


def test_a_gain_that_days_do_not_tell_from_noise_is_none() -> None:
    """What rows would call certain, a few days that all rows of them share do not."""
    random, rows = np.random.default_rng(1), 6_000
    clusters = days(rows)
    # Errors are those of the day: one member is better on some days, and another one on others.
    effects = random.normal(0, 3, 30) + random.normal(0, 1.5, (2, 30))
    actual = random.normal(0, 1, rows)
    predicted = {
        name: actual + effect[clusters.codes] + random.normal(0, 0.1, rows)
        for name, effect in zip("ab", effects, strict=True)
    }
    by_rows = judge_blend(predicted, actual, Clusters.of_rows(rows), SearchRequest(), MINUTES)
    by_days = judge_blend(predicted, actual, clusters, SearchRequest(), MINUTES)
    assert by_rows.chosen
    assert not by_days.chosen
    assert "gains less than noise" in by_days.reason
    assert by_days.gain > 0.02 * by_days.error_alone
    assert by_days.upper - by_days.lower > 3 * (by_rows.upper - by_rows.lower)


def test_the_selection_does_not_see_what_it_is_judged_on() -> None:
    """Members that fit one half by chance are chosen there, and are no better on the other."""
    random, rows = np.random.default_rng(4), 900
    actual, clusters = random.normal(0, 1, rows), days(rows)
    many = {f"m{number}": random.normal(0, 0.4, rows) for number in range(40)}
    found = judge_blend(many, actual, clusters, SearchRequest(), MINUTES)
    seen = loss_of(many, select_weights(many, actual, "rmse"), actual)
    assert seen < float(np.square(actual).mean())
    assert found.error_blended**2 > seen * 1.02
    assert found.error_blended > actual.std()


def test_a_gain_that_is_certain_and_tiny_is_not_worth_its_time() -> None:
    """A blend takes the time of all its members for every answer."""
    random, rows = np.random.default_rng(6), 60_000
    actual = random.normal(0, 10, rows)
    shared = actual + random.normal(0, 3, rows)
    predicted = {name: shared + random.normal(0, 0.165, rows) for name in "ab"}
    found = judge_blend(predicted, actual, days(rows, 60), SearchRequest(), MINUTES)
    assert found.lower > 0
    assert not found.chosen
    assert "too little for what it costs" in found.reason


def test_probabilities_are_blended_by_their_log_loss() -> None:
    """Of two classes and of several, in no unit."""
    random, rows = np.random.default_rng(7), 4_000
    truth = random.normal(0, 2, rows)
    actual = (random.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.float64)
    predicted = {name: 1 / (1 + np.exp(-(truth + random.normal(0, 1.5, rows)))) for name in "ab"}
    found = judge_blend(predicted, actual, days(rows), LOG_LOSS, CLASSES)
    assert found.chosen
    assert found.error_alone == pytest.approx(
        min(log_losses(actual, each).mean() for each in predicted.values())
    )
    assert "log loss 0." in found.reason
    several = {
        name: np.stack([1 - each, each * 0.4, each * 0.6], 1) for name, each in predicted.items()
    }
    kinds = np.where(actual == 1, random.choice([1, 2], rows, p=[0.4, 0.6]), 0).astype(np.float64)
    again = judge_blend(several, kinds, days(rows), LOG_LOSS, CLASSES)
    assert again.chosen
    assert blended(several, again.weights).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("members", "clusters", "said"),
    [
        (1, days(600), "it takes two families, and there is a alone"),
        (0, days(600), "it takes two families, and there is none"),
        (3, days(600, 9), "9 days of validation do not tell a gain from noise"),
        (3, Clusters("groups", np.arange(600) % 4), "4 groups of validation"),
    ],
)
def test_where_nothing_can_be_told_there_is_no_blend(
    members: int, clusters: Clusters, said: str
) -> None:
    """A sentence says why."""
    predicted, actual = drawn(members=members)
    found = judge_blend(predicted, actual, clusters, SearchRequest(), MINUTES)
    assert not found.chosen
    assert said in found.reason


def test_a_blend_of_one_is_none() -> None:
    """Where the best family alone has the lowest error, it needs no blend."""
    predicted, actual = drawn(members=2)
    noise = {"a": predicted["a"], "b": np.random.default_rng(5).normal(0, 99, len(actual))}
    found = judge_blend(noise, actual, days(600), SearchRequest(), MINUTES)
    assert "none has a lower error on validation than a alone" in found.reason
    assert list(itertools.chain(found.weights)) == []


@pytest.mark.parametrize(("metric", "best"), [("mae", "steady"), ("rmse", "tame")])
def test_the_metric_of_the_search_ranks(metric: str, best: str) -> None:
    """Absolute errors forgive one that is far off, squared ones do not."""
    actual = np.zeros(400)
    wild = np.zeros(400)
    wild[::40] = 60.0
    predicted = {"steady": wild, "tame": np.full(400, 5.0)}
    request = SearchRequest(primary_metric=metric)  # type: ignore[arg-type]  # as above
    assert judge_blend(predicted, actual, days(400), request, MINUTES).alone == best

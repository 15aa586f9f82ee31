"""Tests of the gate for challengers that predict classes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from tests.outcomes import LATE, build_late

from model_loop.models.classification.clusters import Numbers
from model_loop.models.gate import Check, Contender, Standard, judge_challenger
from model_loop.models.gate_classes import judge_classes
from model_loop.models.gate_rules import GateRules
from model_loop.models.slices import Cut, Slicing

RANDOM = np.random.default_rng(0)
ROWS = 4_000
CHANCES = expit(RANDOM.normal(-1, 1.5, ROWS))
ACTUAL = (RANDOM.random(ROWS) < CHANCES).astype(np.float64)
DATA = pd.DataFrame({"carrier": RANDOM.choice(["ant", "bee"], ROWS), "days": ACTUAL, "weight": 1.0})
CUTS = (Cut("carrier", "carrier", values=("ant", "bee")),)
RULES = GateRules()


@pytest.fixture(scope="module")
def slicing(tmp_path_factory: pytest.TempPathFactory) -> Slicing:
    """Slices by the carrier, of a dataset that states what a mistake costs."""
    task = LATE + "cost = {false_alarm = 1, miss = 4}\n"
    built = build_late(tmp_path_factory.mktemp("late"), 600, task)
    return Slicing(built.dataset, CUTS)


def contender(version: int, noise: float, seed: int = 1, **changes: object) -> Contender:
    """Make a model whose logits are off by so much."""
    wrong = np.random.default_rng(seed).normal(0, noise, ROWS)
    predicted = expit(logit(CHANCES) + wrong)
    model = Contender(version, predicted, ("carrier",), 3.0, 1.0, threshold=0.2)
    return dataclasses.replace(model, **changes)  # type: ignore[arg-type]  # by name


CHAMPION = contender(1, 1.0)
BASELINE = Standard("the share by carrier", np.full(ROWS, ACTUAL.mean()), 0.2)


def checks(
    ours: Contender,
    theirs: Contender | Standard,
    slicing: Slicing,
    rows: pd.DataFrame = DATA,
    baseline: Standard | None = None,
) -> dict[str, Check]:
    """Return every check of both judgements by name."""
    verdict = judge_challenger(ours, theirs, rows, RULES, slicing=slicing)
    further = judge_classes(ours, theirs, rows, RULES, slicing=slicing, baseline=baseline)
    return {check.name: check for check in (*verdict.checks, *further)}


def failed(found: dict[str, Check]) -> set[str]:
    """Return the names of the checks that keep a model out."""
    return {name for name, check in found.items() if check.blocks and not check.passed}


def test_a_better_classifier_passes(slicing: Slicing) -> None:
    """Every check is named after its metric, and none after one of numbers."""
    found = checks(contender(2, 0.5), CHAMPION, slicing, baseline=BASELINE)
    assert failed(found) == set()
    assert {
        "log loss against version 1",
        "log loss against the share by carrier",
        "worst slice",
        "calibration against version 1",
        "cost against version 1",
    } < found.keys()
    assert "rows of the rarer class" not in found
    texts = " ".join(f"{check.name} {check.found} {check.wanted}" for check in found.values())
    assert "RMSE" not in texts
    assert "better by 0.0" in found["log loss against version 1"].found


def test_chance_does_not_pass(slicing: Slicing) -> None:
    """A model that is as good as the champion is refused for its log loss alone."""
    found = checks(contender(2, 1.0, seed=2), CHAMPION, slicing)
    assert failed(found) == {"log loss against version 1"}


def test_the_log_loss_is_compared_row_by_row(slicing: Slicing) -> None:
    """The bound is that of the mean difference of pairs, one-sided."""
    ours, theirs = contender(2, 0.8, seed=2), CHAMPION
    found = checks(ours, theirs, slicing)["log loss against version 1"].found
    losses = [
        -np.log(np.where(ACTUAL > 0, each.predicted, 1 - each.predicted)) for each in (theirs, ours)
    ]
    gains = losses[0] - losses[1]
    bound = gains.mean() - 1.645 * gains.std() / np.sqrt(ROWS)
    told = float(found.split("at worst ")[1].split(" by ")[1].split()[0])
    assert told == pytest.approx(abs(bound), abs=0.003)
    assert f"by {gains.mean():.4f}, at worst" in found


def test_groups_are_resampled_whole(slicing: Slicing) -> None:
    """A gain of a few groups, each with many rows, is chance where the groups are told."""
    few = np.repeat(np.arange(40), ROWS // 40)
    dataset = dataclasses.replace(slicing.dataset, group="sender")
    rows = DATA.assign(sender=few, days=ACTUAL[few])
    predicted = [contender(version, 0.6, seed).predicted[few] for version, seed in ((2, 7), (1, 8))]
    ours, theirs = (
        contender(version, 0.0, predicted=each)
        for version, each in zip((2, 1), predicted, strict=True)
    )
    by_row = judge_challenger(ours, theirs, rows, RULES, slicing=slicing)
    grouped = judge_challenger(ours, theirs, rows, RULES, slicing=Slicing(dataset, CUTS))
    worst = [
        float(verdict.checks[1].found.split("at worst ")[1].split(" by ")[1].split()[0])
        for verdict in (by_row, grouped)
    ]
    assert worst[0] != worst[1]
    assert "of 40 groups" in grouped.checks[0].found


def test_few_positive_rows_judge_nothing(slicing: Slicing) -> None:
    """The number that is needed is said, at the share of the rows."""
    rare = np.zeros(ROWS)
    rare[:20] = 1
    found = checks(contender(2, 0.5), CHAMPION, slicing, DATA.assign(days=rare))
    check = found["test rows of the rarer class"]
    assert not check.passed
    assert check.found == "20 of 4,000 are late"
    assert "about 6,000 test rows at this share" in check.wanted


def test_a_slice_may_not_be_surely_worse(slicing: Slicing) -> None:
    """A model that is better on the whole and worse for a carrier is refused."""
    bee = DATA.carrier == "bee"
    predicted = np.where(bee, contender(2, 2.0).predicted, CHANCES)
    rows = DATA.assign(carrier=np.where(RANDOM.random(ROWS) < 0.8, "ant", DATA.carrier))
    predicted = np.where(rows.carrier == "bee", predicted, CHANCES)
    found = checks(contender(2, 0.0, predicted=predicted), CHAMPION, slicing, rows)
    assert failed(found) >= {"worst slice"}
    assert "carrier bee" in found["worst slice"].found


def test_a_slice_with_hardly_any_positive_row_is_noise(slicing: Slicing) -> None:
    """One missed row doubles the log loss of a slice, and refuses no model."""
    carrier = np.where(np.arange(ROWS) < 300, "bee", "ant")
    actual = np.where(carrier == "bee", 0.0, ACTUAL)
    actual[0] = 1
    calm = np.where(carrier == "bee", 0.004, CHAMPION.predicted)
    champion = contender(1, 0.0, predicted=np.where(np.arange(ROWS) == 0, 0.2, calm))
    ours = contender(2, 0.0, predicted=np.where(carrier == "bee", 0.004, CHANCES))
    found = checks(ours, champion, slicing, DATA.assign(carrier=carrier, days=actual))
    assert "+" in found["worst slice"].found
    assert found["worst slice"].passed


def sharper(factor: float) -> Numbers:
    """Return probabilities whose logits are too large, in the right order."""
    sure: Numbers = expit(factor * logit(CHANCES))
    return sure


def test_calibration_may_not_be_surely_worse(slicing: Slicing) -> None:
    """Probabilities that are too sure keep a model out; ones that are as good do not."""
    name, right = "calibration against version 1", contender(1, 0.0)
    worse = checks(contender(2, 0.0, predicted=sharper(1.8)), right, slicing)[name]
    assert (worse.passed, worse.blocks) == (False, True)
    assert "higher by 0.0" in worse.found
    assert checks(contender(2, 0.2), right, slicing)[name].passed


def test_the_declared_cost_counts_at_each_models_own_threshold(slicing: Slicing) -> None:
    """A better model with a wrong threshold costs more, which keeps it out."""
    found = checks(contender(2, 0.3, threshold=0.9), CHAMPION, slicing)
    assert failed(found) == {"cost against version 1"}
    assert "at the threshold 0.9" in found["cost against version 1"].found
    classes = dataclasses.replace(slicing.dataset.target.labels, false_alarm=None, miss=None)
    target = dataclasses.replace(slicing.dataset.target, classes=classes)
    free = Slicing(dataclasses.replace(slicing.dataset, target=target), CUTS)
    assert not any("cost" in name for name in checks(contender(2, 0.3), CHAMPION, free))


def test_the_baseline_is_to_be_beaten_beside_the_champion(slicing: Slicing) -> None:
    """A champion that has gone stale is no measure: its successor has to beat the rule as well."""
    stale = contender(1, 0.0, predicted=1 - CHANCES)
    ours = contender(2, 0.0, predicted=np.full(ROWS, 0.5))
    found = checks(ours, stale, slicing, baseline=BASELINE)
    assert "log loss against the share by carrier" in failed(found)
    assert found["log loss against version 1"].passed


def test_a_first_model_is_compared_with_the_baseline(slicing: Slicing) -> None:
    """Its calibration is a warning, and no slice is compared."""
    found = checks(contender(2, 0.5), BASELINE, slicing)
    assert failed(found) == set()
    assert {"log loss against the share by carrier", "cost against the share by carrier"} < {*found}
    sure = checks(contender(2, 0.0, predicted=sharper(2.5)), BASELINE, slicing)["calibration"]
    assert (sure.passed, sure.blocks) == (False, False)
    assert "worst slice" not in found


def test_without_an_opponent_the_shares_of_the_classes_are_to_beat(slicing: Slicing) -> None:
    """No median of yes and no is compared."""
    verdict = judge_challenger(contender(2, 0.5), None, DATA, RULES, slicing=slicing)
    assert verdict.checks[1].name == "log loss against the shares of the classes"


def test_a_regressor_has_no_further_checks(slicing: Slicing) -> None:
    """Nothing of it is judged here."""
    target = dataclasses.replace(slicing.dataset.target, kind="regression", classes=None)
    other = Slicing(dataclasses.replace(slicing.dataset, target=target), CUTS)
    assert judge_classes(CHAMPION, BASELINE, DATA, RULES, slicing=other) == ()

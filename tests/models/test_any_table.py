"""Slices, baselines, gate and charts of a table that no part of the loop knows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.parcels import build_parcels, declared, write_parcels

from model_loop.charts.models import model_charts
from model_loop.charts.numbers import numbers_of
from model_loop.charts.wording import Wording
from model_loop.models.baseline import (
    ColumnRule,
    ConstantRule,
    baseline_errors,
    best_baseline,
    validation_errors,
)
from model_loop.models.evaluation import measure
from model_loop.models.gate import Contender, GateVerdict, Standard, judge_challenger
from model_loop.models.gate_rules import GateRules
from model_loop.models.search import SearchRequest
from model_loop.models.slices import Slicing, learn_slicing, slicing_of
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.tracking.card import model_card
from model_loop.training_set.types import EncodedFold, TrainingSet

SEARCH = SearchRequest(max_evaluations=1, threads=1)
FAMILY = "ensemble.RandomForestRegressor"
#: Words of the dataset that the loop was born with.
FOREIGN = re.compile(
    r"\b(trips?|taxi|zones?|boroughs?|pick-?up|minutes?|miles?|green)\b", re.IGNORECASE
)


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """A training set of parcels."""
    return build_parcels(tmp_path_factory.mktemp("parcels"))


@pytest.fixture(scope="module")
def trained(parcels: TrainingSet) -> TrainedModel:
    """A model of it."""
    return train(tune(FAMILY, parcels, SEARCH), parcels, SEARCH)


def test_rows_are_cut_by_what_tells_most(parcels: TrainingSet) -> None:
    """Categories as they are, numbers in bands with their unit, yes and no, and the time."""
    slices = slicing_of(parcels).slices(parcels.test_rows)
    assert set(slices) == {"carrier", "weight", "express", "hour", "weekday"}
    assert set(slices["carrier"]) == {"ant", "bee", "cat"}
    assert set(slices["express"]) == {"yes", "no"}
    assert {"Monday", "Sunday"} < set(slices["weekday"])
    assert all(name.split(" ")[-1] in {"kg", "more"} for name in set(slices["weight"]))
    assert slices["weekday"][0] == pd.to_datetime(parcels.test_rows.sent_at[0], unit="s").day_name()


def test_bands_hold_about_equally_many_rows(parcels: TrainingSet) -> None:
    """They are learned from the train rows, and hold a fifth of them each."""
    assert parcels.train_rows is not None
    counts = pd.Series(slicing_of(parcels).slices(parcels.train_rows)["weight"]).value_counts()
    assert counts.drop("missing", errors="ignore").between(0.15 * 540, 0.25 * 540).all()


def test_what_is_unknown_has_a_slice(parcels: TrainingSet) -> None:
    """A missing value is told apart, and a category that was never seen joins the others."""
    rows = parcels.test_rows.head(3).assign(
        carrier=["dog", np.nan, "cat"], weight=[np.nan, 1.0, 2.0], express=[np.nan, 1.0, 0.0]
    )
    slices = slicing_of(parcels).slices(rows)
    assert list(slices["carrier"]) == ["others", "missing", "cat"]
    assert slices["weight"][0] == slices["express"][0] == "missing"


def test_declared_slices_go_first(parcels: TrainingSet) -> None:
    """Where the dataset declares columns, rows are cut by these, however little they tell."""
    dataset = dataclasses.replace(parcels.dataset, slices=("express",), time=None)
    target = parcels.train_target
    slicing = learn_slicing(dataset, parcels.train_rows, target, parcels.recipe.columns)
    assert [cut.name for cut in slicing.cuts] == ["express"]


def test_a_column_of_noise_is_no_slice(parcels: TrainingSet) -> None:
    """Slices are ranked by the variance that they explain beyond chance."""
    assert parcels.train_rows is not None
    noise = np.random.default_rng(1).choice(list("abcdefgh"), len(parcels.train_rows))
    rows = parcels.train_rows.assign(carrier=noise)
    slicing = learn_slicing(parcels.dataset, rows, parcels.train_target, parcels.recipe.columns)
    assert {"weight", "express"} <= {cut.name for cut in slicing.cuts[:2]}


def test_the_best_rule_is_that_of_the_strongest_column(parcels: TrainingSet) -> None:
    """It is learned from train and validation, and beats mean and median on the test rows."""
    rule = best_baseline(parcels)
    assert isinstance(rule, ColumnRule)
    assert rule.title in {"mean by carrier", "mean by weight"}
    (errors,) = baseline_errors(parcels).values()
    median = np.full_like(parcels.test_target, np.median(parcels.train_target))
    assert errors.rmse < 0.9 * measure(parcels.test_target, median).rmse


def replaced(parcels: TrainingSet, **columns: Any) -> TrainingSet:
    """Return parcels with other columns in train and validation."""
    parts = {}
    for name in ("train_rows", "validation_rows"):
        rows = getattr(parcels, name)
        parts[name] = rows.assign(**{key: value(rows) for key, value in columns.items()})
    return dataclasses.replace(parcels, folds={}, **parts)


def test_a_rule_is_chosen_by_rows_that_it_has_not_learned_from(parcels: TrainingSet) -> None:
    """A column of names that never come again is the best on train, and tells nothing."""
    named = replaced(
        parcels, carrier=lambda rows: [f"{len(rows)}-{number}" for number in range(len(rows))]
    )
    assert best_baseline(named).title != "mean by carrier"


def test_a_mean_of_few_rows_is_drawn_to_that_of_all(parcels: TrainingSet) -> None:
    """One parcel of a carrier says little; a value that was never seen has the mean of all."""
    strange = replaced(
        parcels,
        carrier=lambda rows: np.where(np.arange(len(rows)) == 0, "rare", rows.carrier),
        days=lambda rows: (
            np.where(np.arange(len(rows)) == 0, 60.0, 1.0 + 9.0 * (rows.carrier == "cat"))
            + np.random.default_rng(0).normal(0, 1.0, len(rows))
        ),
    )
    rule = best_baseline(strange)
    assert rule.title == "mean by carrier"
    asked = pd.DataFrame({"carrier": ["rare", "cat", "never seen"]})
    rare, cat, unseen = rule.predict(asked)
    assert unseen < rare < 60.0
    assert cat == pytest.approx(10.0, abs=0.3)


def test_rules_are_judged_by_the_rows_that_choose_models(parcels: TrainingSet) -> None:
    """By the validation rows after learning from train alone; by all folds, where folds choose."""
    whole = dataclasses.replace(parcels, folds={})
    actual, mean = parcels.validation_target, parcels.train_target.mean()
    errors = validation_errors(whole)
    assert errors["mean of all rows"].rmse == pytest.approx(np.sqrt(np.mean((actual - mean) ** 2)))
    assert best_baseline(whole).title == min(errors, key=lambda title: errors[title].rmse)
    train, validation = parcels.train_rows, parcels.validation_rows
    assert train is not None
    assert validation is not None
    half = len(train) // 2
    empty = np.zeros((0, 1), dtype=np.float32)
    folds = tuple(
        EncodedFold(
            empty, empty, learned.days.to_numpy(), judged.days.to_numpy(), (), learned, judged
        )
        for learned, judged in ((train[:half], train[half:]), (train, validation))
    )
    folded = dataclasses.replace(parcels, folds={"dense": folds})
    off = np.concatenate([fold.validation_target - fold.train_target.mean() for fold in folds])
    found = validation_errors(folded)["mean of all rows"].rmse
    assert found == pytest.approx(np.sqrt(np.mean(off**2)))
    assert validation_errors(dataclasses.replace(whole, train_rows=None)).keys() == {
        "mean of all rows",
        "median of all rows",
    }


def test_constants_do_without_rows(parcels: TrainingSet) -> None:
    """A training set that keeps no raw rows has the mean and the median."""
    few = dataclasses.replace(parcels, train_rows=None, validation_rows=None, folds={})
    rule = best_baseline(few)
    assert isinstance(rule, ConstantRule)
    assert rule.predict(parcels.test_rows).shape == (len(parcels.test_rows),)


def test_a_rule_has_as_much_of_each_part_as_there_is(parcels: TrainingSet) -> None:
    """Of a large train part, only a sample is kept; the rows of validation weigh no more for it."""
    train, later = parcels.train_rows, parcels.validation_rows
    assert train is not None
    assert later is not None
    level = parcels.train_validation_target.mean()
    shifted = dataclasses.replace(
        parcels,
        train_rows=train[::10],
        validation_rows=later.assign(days=later.days + 10),
        folds={},
    )
    rule = best_baseline(shifted)
    assert isinstance(rule, ColumnRule)
    assert rule.overall == pytest.approx(level + 10 * len(later) / (len(train) + len(later)), 0.1)
    names = train.columns.difference(["days"])
    constant = best_baseline(
        dataclasses.replace(
            shifted, train_rows=train[::10].drop(columns=names), validation_rows=later[["days"]]
        )
    )
    assert isinstance(constant, ConstantRule)
    statistic = np.median if constant.statistic == "median" else np.mean
    assert constant.value == statistic(parcels.train_validation_target)


def contenders(actual: np.ndarray, errors: Mapping[int, np.ndarray]) -> list[Contender]:
    """Models that are off by some errors."""
    return [
        Contender(version, actual + error, ("carrier",), 1.0, 1.0)
        for version, error in errors.items()
    ]


def gain_is_certain(verdict: GateVerdict) -> bool:
    """Whether the first check that compares errors was passed."""
    return next(check for check in verdict.checks if check.name.startswith("RMSE")).passed


def test_rows_of_a_group_are_resampled_together(parcels: TrainingSet) -> None:
    """A gain in a few of forty groups is chance, however many rows each of them has."""
    random = np.random.default_rng(3)
    groups, size = 40, 50
    actual, errors = np.zeros(groups * size), random.normal(0, 1.0, groups)
    ours, theirs = contenders(
        actual, {2: errors.repeat(size), 1: (1.07 * random.permutation(errors)).repeat(size)}
    )
    rows = pd.DataFrame({"days": actual, "customer": np.arange(groups).repeat(size)})
    apart = Slicing(parcels.dataset)
    together = Slicing(dataclasses.replace(parcels.dataset, group="customer"))
    rules = GateRules()
    alone = judge_challenger(ours, theirs, rows, rules, slicing=apart)
    grouped = judge_challenger(ours, theirs, rows, rules, slicing=together)
    assert gain_is_certain(alone)
    assert not gain_is_certain(grouped)
    assert "of 40 groups" in grouped.checks[0].found


def test_one_group_is_no_evidence(parcels: TrainingSet) -> None:
    """Rows of a single group say nothing of others."""
    random = np.random.default_rng(0)
    actual = random.normal(0, 1, 500)
    ours, theirs = contenders(actual, {2: 0.1 * actual, 1: actual})
    rows = pd.DataFrame({"days": actual, "customer": 1})
    grouped = Slicing(dataclasses.replace(parcels.dataset, group="customer"))
    verdict = judge_challenger(ours, theirs, rows, GateRules(), slicing=grouped)
    assert not gain_is_certain(verdict)
    assert not verdict.checks[0].passed


def test_few_rows_say_how_little_they_know(parcels: TrainingSet) -> None:
    """The check of the number of rows tells the interval where it is wide, with the unit."""
    random = np.random.default_rng(0)
    actual = random.normal(0, 1, 40)
    (ours,) = contenders(actual, {2: random.normal(0, 1, 40)})
    rows = pd.DataFrame({"days": actual})
    standard = Standard("the mean", actual + 3.0)
    verdict = judge_challenger(ours, standard, rows, GateRules(), slicing=Slicing(parcels.dataset))
    found = verdict.checks[0].found
    assert verdict.checks[0].passed
    assert re.search(r"^40(: the RMSE is known to within 0\.\d+ d only)?", found)
    zeros = np.zeros(9_000)
    ours, theirs = contenders(zeros, {2: random.normal(0, 1, 9_000), 1: zeros + 1})
    rows = pd.DataFrame({"days": zeros})
    many = judge_challenger(ours, theirs, rows, GateRules(), slicing=Slicing(parcels.dataset))
    assert many.checks[0].found == "9,000"


def test_the_words_are_those_of_the_table(parcels: TrainingSet, trained: TrainedModel) -> None:
    """Charts, card and gate name its target, its unit and its rows, and nothing of another."""
    charts = model_charts(numbers_of(trained, parcels), Wording.of(parcels.dataset))
    card = model_card(trained, parcels)
    (ours,) = contenders(parcels.test_target, {2: np.zeros(len(parcels.test_rows))})
    rule = best_baseline(parcels)
    standard = Standard(rule.title, rule.predict(parcels.test_rows))
    verdict = judge_challenger(
        ours, standard, parcels.test_rows, GateRules(), slicing=slicing_of(parcels), moment="sent"
    )
    texts = [str([chart.title, chart.about, chart.table.columns, chart.figure]) for chart in charts]
    for text in (*texts, card, verdict.markdown):
        assert FOREIGN.search(text) is None, FOREIGN.search(text)
    assert any("actual delivery time (d)" in text for text in texts)
    assert " d: better by" in verdict.markdown
    assert "| express | yes/no |" in card
    assert "only one depot so far" in card
    assert "baseline: mean by" in card


def test_a_later_column_is_a_leak(parcels: TrainingSet) -> None:
    """What is known once a parcel has arrived may not be asked for when it is sent."""
    ours = Contender(2, parcels.test_target, ("carrier", "scans"), 1.0, 1.0)
    rules, slicing = GateRules(), slicing_of(parcels)
    sent = judge_challenger(
        ours, None, parcels.test_rows, rules, slicing=slicing, moment="sent"
    ).table()
    arrived = judge_challenger(
        ours, None, parcels.test_rows, rules, slicing=slicing, moment="arrived"
    ).table()
    assert not sent.set_index("name").passed["no leak"]
    assert arrived.set_index("name").passed["no leak"]


def test_another_name_changes_no_number(
    parcels: TrainingSet, trained: TrainedModel, tmp_path: Path
) -> None:
    """A table that is called otherwise is split, learned and judged alike."""
    again = build_parcels(tmp_path, declared(write_parcels(tmp_path / "letters.csv"), "letters"))
    other = train(tune(FAMILY, again, SEARCH), again, SEARCH)
    assert other.test == trained.test
    assert baseline_errors(again) == baseline_errors(parcels)
    assert trained.evaluation is not None
    assert other.evaluation is not None
    pd.testing.assert_frame_equal(other.evaluation.slices, trained.evaluation.slices)
    ours, theirs = numbers_of(other, again), numbers_of(trained, parcels)
    assert ours["test"] == theirs["test"]

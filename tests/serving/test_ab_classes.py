"""Classifiers are compared by the day means of their log losses and costs, where the log is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import cast

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sqlalchemy import Engine, update
from tests.outcomes import build_late

from model_loop.datasets.classes import Classes
from model_loop.datasets.registry import get_dataset, use_dataset
from model_loop.models.class_metrics import log_losses
from model_loop.models.classification.thresholds import cost_of
from model_loop.models.intervals import CONFIDENCE
from model_loop.monitoring.canaries import CanaryRules, judge_canary
from model_loop.serving.comparison.report import ab_report, compare_canary
from model_loop.serving.comparison.sequential import evidence_of
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.queries import note_feedback
from model_loop.serving.request_log.tables import open_log, predictions
from model_loop.tracking.deployments import Deployment
from model_loop.tracking.shares import Canary, Segment

DAY = 86_400.0
DAYS, ROWS = 20, 100
RANDOM = np.random.default_rng(0)
CHANCES = expit(RANDOM.normal(-1, 1.5, DAYS * ROWS))
ACTUAL = (RANDOM.random(len(CHANCES)) < CHANCES).astype(np.float64)
WHEN = np.arange(len(CHANCES)) // ROWS
NOISE = {1: 2.0, 2: 0.3}
#: Probability from which each version says late: the better one misses most of what is late.
THRESHOLDS = {1: 0.5, 2: 0.95}
COST = (1.0, 5.0)
VERSIONS = np.arange(len(CHANCES)) % 2 + 1


def told(version: int) -> np.ndarray:
    """Return the probabilities of a version, the worse the noisier."""
    noise = np.random.default_rng(version).normal(0, NOISE[version], len(CHANCES))
    return np.asarray(expit(logit(CHANCES) + noise))


def shares(chance: float) -> dict[str, float]:
    """Return the probabilities of both classes."""
    return {"in time": 1 - chance, "late": chance}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A log in which two versions answer in turn, and the second is a shadow of the first."""
    folder = tmp_path_factory.mktemp("late")
    dataset = build_late(folder, 600).dataset
    log = RequestLog(open_log("", folder / "log"), LogRules(inputs=False, days=0))
    both, known = {version: told(version) for version in NOISE}, {}
    for number, (version, day) in enumerate(zip(VERSIONS.tolist(), WHEN.tolist(), strict=True)):
        one, chance = f"{number:032d}", float(both[version][number])
        part = "champion" if version == 1 else "challenger"
        about = (DAY * (day + 0.5) + number, "late_parcels", version, part, "me", None)
        entry = Entry(one, *about, chance, 1.0, ())
        label = "late" if chance >= THRESHOLDS[version] else "in time"
        log.record(entry._replace(label=label, probabilities=shares(chance)))
        known[one] = "late" if ACTUAL[number] else "in time"
    log._write_all()
    note_feedback(log.engine, known, "me", classes=dataset.target.labels)
    with log.engine.begin() as connection:
        for number in np.flatnonzero(VERSIONS == 1).tolist():
            chance = float(both[2][number])
            text = f'{{"in time": {1 - chance!r}, "late": {chance!r}}}'
            named = predictions.c.prediction_id == f"{number:032d}"
            values = {"shadow_version": 2, "shadow_minutes": chance, "shadow_probabilities": text}
            connection.execute(update(predictions).where(named).values(values))
    return log.engine


@pytest.fixture
def priced(engine: Engine) -> Iterator[Engine]:
    """Return the same log, of a dataset that declares what mistakes cost."""
    plain = get_dataset("late_parcels")
    classes = cast("Classes", plain.target.classes)
    priced = dataclasses.replace(classes, false_alarm=COST[0], miss=COST[1])
    target = dataclasses.replace(plain.target, classes=priced)
    use_dataset(dataclasses.replace(plain, target=target))
    yield engine
    use_dataset(plain)


def mean_by_day(losses: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the mean of each day."""
    return pd.Series(losses).groupby(WHEN[rows]).mean().to_numpy()


def daily(version: int, rows: np.ndarray) -> np.ndarray:
    """Return the mean log loss of a version by day, on some rows."""
    return mean_by_day(log_losses(ACTUAL[rows], told(version)[rows]), rows)


def daily_cost(version: int, rows: np.ndarray, threshold: float) -> np.ndarray:
    """Return the mean cost of a version by day, on some rows."""
    return mean_by_day(cost_of(ACTUAL[rows], told(version)[rows], threshold, COST), rows)


def sent(_version: int) -> str:
    """Say that every version is asked at the same moment."""
    return "sent"


def test_versions_are_compared_by_their_log_losses(engine: Engine) -> None:
    """The day means are those of the log losses; the better version is decided for."""
    report = ab_report(engine, "late_parcels", sent)
    (pair,) = report.comparisons
    differences = daily(2, VERSIONS == 2) - daily(1, VERSIONS == 1)
    evidence = evidence_of(differences)
    assert (pair.version, pair.against) == (2, 1)
    assert pair.difference == pytest.approx(differences.mean())
    assert pair.e_value == pytest.approx(evidence.e_value)
    assert pair.interval == pytest.approx(evidence.interval)
    assert pair.verdict == "version 2 is nearer to the truth"
    for one in report.versions:
        rows = np.equal(VERSIONS, one.version)
        assert one.mae == pytest.approx(log_losses(ACTUAL[rows], told(one.version)[rows]).mean())
        assert one.rows == rows.sum()


def test_a_shadow_is_compared_on_the_same_rows(engine: Engine) -> None:
    """Its probabilities of the true class are those that the log holds beside the answer's."""
    (pair,) = ab_report(engine, "late_parcels", sent).paired
    rows = VERSIONS == 1
    differences = daily(2, rows) - daily(1, rows)
    assert (pair.version, pair.against, pair.paired) == (2, 1, True)
    assert pair.difference == pytest.approx(differences.mean())
    assert pair.e_value == pytest.approx(evidence_of(differences).e_value)


def test_a_canary_is_compared_from_its_beginning(engine: Engine) -> None:
    """Earlier days do not count."""
    (pair,) = compare_canary(engine, "late_parcels", (2, 1), 10 * DAY, 100 * DAY)
    differences = daily(2, VERSIONS == 2)[10:] - daily(1, VERSIONS == 1)[10:]
    assert pair.days == 10
    assert pair.difference == pytest.approx(differences.mean())


def test_a_declared_cost_is_compared_besides(priced: Engine) -> None:
    """By what was answered, each measure with half the probability of an error."""
    report = ab_report(priced, "late_parcels", sent)
    loss, cost = report.comparisons
    differences = daily_cost(2, VERSIONS == 2, 0.95) - daily_cost(1, VERSIONS == 1, 0.5)
    evidence = evidence_of(differences, 1 - (1 - CONFIDENCE) / 2)
    assert (loss.measure, cost.measure) == ("log_loss", "cost")
    assert loss.verdict == "version 2 is nearer to the truth"
    assert cost.verdict == "version 1 costs less"
    assert cost.difference == pytest.approx(differences.mean())
    assert cost.e_value == pytest.approx(evidence.e_value)
    assert cost.interval == pytest.approx(evidence.interval)
    assert loss.confidence == cost.confidence == pytest.approx(0.975)
    for one in report.versions:
        rows = np.equal(VERSIONS, one.version)
        costs = cost_of(ACTUAL[rows], told(one.version)[rows], THRESHOLDS[one.version], COST)
        assert one.cost == pytest.approx(costs.mean())


def test_a_shadow_is_priced_at_the_threshold_of_the_cost(priced: Engine) -> None:
    """A shadow answers nobody, unlike the version beside it."""
    _, pair = ab_report(priced, "late_parcels", sent).paired
    rows = VERSIONS == 1
    differences = daily_cost(2, rows, 1 / 6) - daily_cost(1, rows, 0.5)
    assert (pair.measure, pair.verdict) == ("cost", "version 2 costs less")
    assert pair.difference == pytest.approx(differences.mean())


def test_a_canary_that_costs_more_is_ended(priced: Engine) -> None:
    """Its probabilities are better all the same: a proposal asks for both."""
    canary = Canary(2, "sent", "run", 0.0, (Segment(0.0, 99 * DAY, 0.5),), 0.5, is_open=True)
    rules = CanaryRules(failures=0.1, refused=0.1, slower=10.0, requests=100, days=14.0)
    standing = Deployment(champion=1, challenger=2, share=0.5)
    verdict = judge_canary(priced, "late_parcels", canary, standing, sent, rules, 30 * DAY)
    assert (verdict.outcome, verdict.why) == ("end", "version 1 costs less")
    passed = {one.name: one.passed for one in verdict.checks}
    assert passed["errors"]
    assert not passed["cost"]


def test_a_class_that_a_version_does_not_know_is_left_out(engine: Engine) -> None:
    """Its log loss would be infinite, by a label of another declaration."""
    before = {one.version: one.rows for one in ab_report(engine, "late_parcels", sent).versions}
    with engine.begin() as connection:
        named = predictions.c.prediction_id == f"{0:032d}"
        connection.execute(update(predictions).where(named).values(probabilities='{"soon": 1.0}'))
    after = {one.version: one.rows for one in ab_report(engine, "late_parcels", sent).versions}
    assert after == {**before, 1: before[1] - 1}

"""Classifiers are compared by the day means of their log losses, where the log is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sqlalchemy import Engine, update
from tests.outcomes import build_late

from model_loop.models.class_metrics import log_losses
from model_loop.serving.comparison.report import ab_report, compare_canary
from model_loop.serving.comparison.sequential import evidence_of
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.queries import note_feedback
from model_loop.serving.request_log.tables import open_log, predictions

DAY = 86_400.0
DAYS, ROWS = 20, 100
RANDOM = np.random.default_rng(0)
CHANCES = expit(RANDOM.normal(-1, 1.5, DAYS * ROWS))
ACTUAL = (RANDOM.random(len(CHANCES)) < CHANCES).astype(np.float64)
WHEN = np.arange(len(CHANCES)) // ROWS
NOISE = {1: 2.0, 2: 0.3}
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
        about = (DAY * (day + 0.5), "late_parcels", version, "champion", "me", None)
        entry = Entry(one, *about, chance, 1.0, ())
        label = "late" if chance > 0.5 else "in time"
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


def daily(version: int, rows: np.ndarray) -> np.ndarray:
    """Return the mean log loss of a version by day, on some rows."""
    losses = log_losses(ACTUAL[rows], told(version)[rows])
    return pd.Series(losses).groupby(WHEN[rows]).mean().to_numpy()


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
    pair = compare_canary(engine, "late_parcels", (2, 1), 10 * DAY, 100 * DAY)
    differences = daily(2, VERSIONS == 2)[10:] - daily(1, VERSIONS == 1)[10:]
    assert pair.days == 10
    assert pair.difference == pytest.approx(differences.mean())


def test_a_class_that_a_version_does_not_know_is_left_out(engine: Engine) -> None:
    """Its log loss would be infinite, by a label of another declaration."""
    before = {one.version: one.rows for one in ab_report(engine, "late_parcels", sent).versions}
    with engine.begin() as connection:
        named = predictions.c.prediction_id == f"{0:032d}"
        connection.execute(update(predictions).where(named).values(probabilities='{"soon": 1.0}'))
    after = {one.version: one.rows for one in ab_report(engine, "late_parcels", sent).versions}
    assert after == {**before, 1: before[1] - 1}

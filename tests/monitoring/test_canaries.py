"""Canaries that end by themselves, against a registry and a request log that are real."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from sqlalchemy import Engine
from tests.servers import tracking_database
from tests.serving.test_log import entry
from upath import UPath

from model_loop.alerts.outbox import Outbox
from model_loop.alerts.types import Envelope
from model_loop.monitoring.canaries import (
    BY_ITSELF,
    CanaryRules,
    CanaryVerdict,
    canary_alert,
    watch_canary,
)
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.deployments import Deployment, HistoryEntry
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

pytestmark = pytest.mark.integration

DAY = 86_400.0
SHARE = 0.5
RULES = CanaryRules(failures=0.01, refused=0.01, slower=1.5, requests=50, days=14.0)


class Trial:
    """Version 2 as canary beside version 1, and the log of what both were asked."""

    def __init__(self, folder: Path, experiment: str = "promotions") -> None:
        tracker = Tracker(tracking_database(folder / "mlflow.db"), experiment)
        self.promoter = Promoter(tracker, "green", "ended")
        run_id = tracker.open_run("model", "model", {})
        tracker.client.create_registered_model(self.promoter.name)
        for _ in range(3):
            tracker.client.create_model_version(self.promoter.name, f"runs:/{run_id}/model", run_id)
        self.act("promote", 1)
        self.log = RequestLog(open_log("", folder))
        self._numbers = itertools.count(1)
        self._random = np.random.default_rng(5)
        self.begin()

    @property
    def engine(self) -> Engine:
        """Engine of the log."""
        return self.log.engine

    def act(self, kind: Any, version: int | None = None, **more: Any) -> HistoryEntry:
        """Move versions by hand."""
        count = len(self.promoter.history())
        return self.promoter.act(Action(kind, "green", version, **more), f"by hand/{count}")

    def begin(self, share: float = SHARE) -> None:
        """Begin a canary."""
        self.begun = self.act("canary", 2, share=share).at

    def ask(
        self,
        days: float = 0.5,
        requests: int = 400,
        part: Callable[[int], str] = lambda _: "challenger",
        slow: float = 1.0,
        errors: tuple[float, float] | None = None,
        lost: float = 0.0,
    ) -> None:
        """Fill the log, from two minutes after the canary has begun.

        Parameters
        ----------
        part
            Part of the answer to a request of the canary, by its number.
        slow
            Multiple of the champion's latency.
        errors
            Standard deviations of the errors of champion and canary; without them, true values are
            not known.
        lost
            Share of the canary's requests that are missing.
        """
        draw, actual, entries = self._random, {}, []
        for at in np.sort(draw.uniform(120, days * DAY, requests)):
            own, number = draw.random() < SHARE, next(self._numbers)
            if own and draw.random() < lost:
                continue
            is_part = part(number) if own else "champion"
            one = entry(number, self.begun + at, 2 if is_part == "challenger" else 1, 20.0)
            latency = draw.gamma(2.0) * (slow if own else 1.0)
            entries.append(one._replace(part=is_part, latency_ms=latency))
            if errors is not None:
                actual[one.prediction_id] = 20.0 + draw.normal(0, errors[own])
        self.log.record_many(entries)
        self.log._write_all()
        assert not actual or not self.log.add_feedback(actual, "tests")

    def look(
        self, days: float = 1.0, rules: CanaryRules = RULES
    ) -> tuple[CanaryVerdict, HistoryEntry | None]:
        """Look at the canary so many days after it has begun."""
        seen = watch_canary(self.engine, self.promoter, rules, self.begun + days * DAY)
        assert seen is not None
        return seen

    def failed(self, days: float = 1.0) -> list[str]:
        """Return the names of the checks that a canary does not pass."""
        verdict, _ = self.look(days)
        return [one.name for one in verdict.checks if not one.passed]


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    """A canary that has just begun."""
    made = Trial(tmp_path)
    yield made
    made.log.stop()


def test_a_canary_that_is_well_goes_on(trial: Trial) -> None:
    """Nothing moves, and no mail is sent."""
    trial.ask(slow=1.4)
    verdict, done = trial.look()
    assert (verdict.outcome, done) == ("goes_on", None)
    assert [one.name for one in verdict.checks] == [
        "failures",
        "refused inputs",
        "latency",
        "sample of the traffic",
        "errors",
    ]
    assert all(one.passed for one in verdict.checks)
    assert trial.promoter.standing().challenger == 2


@pytest.mark.parametrize("part", ["failed", "unloadable"])
def test_one_that_cannot_answer_is_ended(trial: Trial, part: str) -> None:
    """The champion answers everything again; the history says why, and who."""
    trial.ask(part=lambda number: part if number % 10 == 0 else "challenger")
    verdict, done = trial.look()
    assert done is not None
    assert trial.promoter.standing() == Deployment(champion=1)
    assert trial.promoter.history()[0] == done
    assert (done.kind, done.version, done.who) == ("end_canary", 2, BY_ITSELF)
    assert done.why == verdict.why
    assert done.why.startswith("failures: ")


def test_inputs_that_it_refuses_end_it(trial: Trial) -> None:
    """Its declaration refuses what the champion's takes."""
    trial.ask(part=lambda number: "refused" if number % 10 == 0 else "challenger")
    assert trial.failed() == ["refused inputs"]


def test_a_slow_one_is_ended(trial: Trial) -> None:
    """Twice the champion's latency where one and a half times is allowed."""
    trial.ask(requests=3_000, slow=3.0)
    assert trial.failed() == ["latency"]


def test_few_requests_end_nothing(trial: Trial) -> None:
    """Too few requests never decide."""
    trial.ask(requests=60, part=lambda _: "failed", slow=9.0)
    verdict, done = trial.look()
    assert done is None
    assert verdict.checks[2].found == "too few requests yet"


def test_requests_of_before_the_canary_count_nothing(trial: Trial) -> None:
    """Nor do those of the first minute, which servers may still have answered otherwise."""
    trial.begun -= DAY
    trial.ask(part=lambda _: "failed")
    trial.begun += DAY
    verdict, _ = trial.look()
    assert verdict.checks[0].found == "0 of 0 requests"


def test_one_that_is_farther_from_the_truth_is_ended(trial: Trial) -> None:
    """By the days whose true values are there."""
    trial.ask(12, 3_000, errors=(2.0, 4.0))
    verdict, done = trial.look(13)
    assert done is not None
    assert (done.kind, done.why) == ("end_canary", "version 1 is nearer to the truth")
    assert not verdict.checks[-1].passed


def test_one_that_is_nearer_is_proposed_once(trial: Trial) -> None:
    """Nothing moves: a person, or the gate, promotes it. Days do not end it any more."""
    trial.ask(12, 3_000, errors=(4.0, 2.0))
    verdict, done = trial.look(13)
    assert (verdict.outcome, done.kind if done else "") == ("propose", "propose")
    assert trial.promoter.standing() == Deployment(champion=1, challenger=2, share=SHARE)
    assert trial.look(13.1)[1] == done
    assert len(trial.promoter.history()) == 3
    verdict, _ = trial.look(30)
    assert verdict.outcome == "propose"
    trial.ask(requests=5_000, part=lambda _: "failed")
    assert trial.look(30)[0].outcome == "end"
    assert trial.promoter.standing().challenger is None


def test_what_is_missing_from_the_sample_proposes_nothing(trial: Trial) -> None:
    """No difference is read where requests are missing on one side."""
    trial.ask(12, 3_000, errors=(4.0, 2.0), lost=0.3)
    verdict, done = trial.look(13)
    assert (verdict.outcome, done) == ("goes_on", None)
    assert [one.name for one in verdict.checks if not one.passed] == ["sample of the traffic"]
    assert verdict.checks[-1].found == "not read, because of the sample"
    _, done = trial.look(15)
    assert done is not None
    assert done.why.startswith("no difference can be read, because version 2 was assigned")


def test_after_so_many_days_it_ends(trial: Trial) -> None:
    """No difference has shown by then."""
    trial.ask(10, 800, errors=(3.0, 3.0))
    assert trial.look(13.9)[1] is None
    _, done = trial.look(14.1)
    assert done is not None
    assert done.why == "no difference shown in 14 days"


def test_one_that_answers_all_requests_stays(trial: Trial) -> None:
    """It has taken over as a whole; faults end it all the same."""
    trial.begin(1.0)
    trial.begun -= 1_000
    trial.act("canary", 2, share=0.5)
    trial.act("canary", 2, share=1.0)
    assert trial.look(100)[1] is None
    trial.ask(requests=400, part=lambda _: "failed")
    _, done = trial.look(100)
    assert done is not None
    assert done.why.startswith("failures")


def test_an_end_is_undone_and_ends_anew(trial: Trial) -> None:
    """The same version is another canary the next time."""
    trial.ask(part=lambda _: "failed")
    assert trial.look()[1] is not None
    trial.begin(0.3)
    assert trial.promoter.standing().challenger == 2
    _, again = trial.look(0.001)
    assert again is None
    trial.begun += DAY
    trial.ask(part=lambda _: "failed")
    trial.begun -= DAY
    assert trial.look(2)[1] is not None
    assert [one.kind for one in trial.promoter.history()] == [
        "end_canary",
        "canary",
        "end_canary",
        "canary",
        "promote",
    ]


@pytest.mark.parametrize("write", ["delete_registered_model_alias", "set_terminated"])
def test_a_look_that_was_killed_is_ended_by_the_next(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    """It moves once, and sends one mail."""
    trial.ask(part=lambda _: "failed")
    with monkeypatch.context() as dying:
        dying.setattr(MlflowClient, write, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            trial.look()
    verdict, done = trial.look()
    assert done is not None
    assert verdict.why == done.why
    assert trial.promoter.standing() == Deployment(champion=1)
    assert len(trial.promoter.history()) == 3


def test_an_end_is_told_once_and_for_a_day(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a look was killed after the move, the next one sends the mail."""
    outbox = Outbox(UPath(tmp_path / "alerts"))
    trial.ask(part=lambda _: "failed")
    for days in (1.0, 1.1):
        verdict, done = trial.look(days)
        assert done
        told = outbox.put(canary_alert(verdict, done, "http://mlflow/run"))
        assert told == (days == 1.0)
    later = time.time() + 2 * DAY
    monkeypatch.setattr(time, "time", lambda: later)
    assert watch_canary(trial.engine, trial.promoter, RULES) is None


def test_an_end_that_was_given_up_is_tried_anew(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has done something else after the look was killed, before it had moved anything."""
    trial.ask(part=lambda _: "failed")
    with monkeypatch.context() as dying:
        killed = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # noqa: E731
        dying.setattr(MlflowClient, "delete_registered_model_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            trial.look()
    trial.act("shadow", 3)
    assert trial.look()[1] is not None
    assert trial.promoter.standing() == Deployment(champion=1, shadow=3)


def test_nothing_to_look_at(trial: Trial) -> None:
    """There was no canary, or somebody has ended it."""
    trial.act("end_canary")
    assert watch_canary(trial.engine, trial.promoter, RULES) is None
    other = Promoter(trial.promoter.tracker, "green", "booked")
    assert watch_canary(trial.engine, other, RULES) is None


@pytest.mark.parametrize(("part", "words"), [("failed", "has ended"), ("challenger", "is better")])
def test_the_mail_says_what_to_do(trial: Trial, part: str, words: str) -> None:
    """The finding, the version that answers now, and the commands to undo or continue."""
    trial.ask(12, 3_000, part=lambda _: part, errors=(4.0, 2.0))
    verdict, done = trial.look(13)
    assert done is not None
    alert = canary_alert(verdict, done, "http://mlflow/run")
    assert words in alert.subject
    assert ("Share of the requests", "50%") in alert.facts
    assert alert.table is not None
    assert len(alert.table.rows) == 5
    (advice,) = alert.advice
    kind = "canary 2 --share 0.5" if part == "failed" else "promote 2"
    assert f"`model-loop traffic {kind} --variant green`" in advice
    assert Envelope(alert).alert == alert


def test_rules_are_settings() -> None:
    """Each has its own."""
    rules = CanaryRules.of(get_settings())
    assert rules == CanaryRules(0.01, 0.01, 1.5, 100, 14.0)

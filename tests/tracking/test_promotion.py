"""Moves of versions and their history, against a real MLflow registry."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from tests.variants import made_up

from model_loop.errors import InvalidInputError
from model_loop.models.gate import Check, GateVerdict
from model_loop.tracking.actions import Action
from model_loop.tracking.challengers import latest_challengers
from model_loop.tracking.deployments import Deployment
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from trip_duration.services import MOMENTS

pytestmark = pytest.mark.integration

VERSIONS = 4


@pytest.fixture
def promoter(tracker: Tracker, request: pytest.FixtureRequest) -> Iterator[Promoter]:
    """A service with some versions, none of which is champion."""
    service = made_up(request.node.name[:60])
    history = Tracker(tracker.tracking_uri, "promotions")
    promoter = Promoter(history, service, "ended")
    run_id = history.open_run(f"{service}/model", "model", {})
    history.client.create_registered_model(promoter.name)
    for _ in range(VERSIONS):
        history.client.create_model_version(promoter.name, f"runs:/{run_id}/model", run_id)
    yield promoter
    history.client.delete_registered_model(promoter.name)


def promote(promoter: Promoter, version: int) -> None:
    """Make a version champion."""
    service = promoter.service
    action = Action("promote", service, version, who="somebody", why="it is better")
    promoter.act(action, f"{service}/promote {version}")


def test_nothing_is_registered(tracker: Tracker) -> None:
    """Without a registered model there is no champion, and no history."""
    promoter = Promoter(tracker, "fhvhv", "ended")
    assert promoter.standing() == Deployment()
    assert promoter.history() == []


def test_history_tells_who_when_why_and_from_what(promoter: Promoter) -> None:
    """Each move is an entry with its evidence."""
    promote(promoter, 1)
    evidence = pd.DataFrame({"name": ["RMSE"], "passed": [True]})
    action = Action("promote", promoter.service, 2, who="Ada", why="new month", evidence=evidence)
    entry = promoter.act(action, f"{promoter.service}/second")
    assert promoter.standing() == Deployment(champion=2)
    assert promoter.history()[0] == entry
    assert (entry.who, entry.why, entry.version) == ("Ada", "new month", 2)
    assert (entry.before.champion, entry.after.champion) == (1, 2)
    mlflow.set_tracking_uri(promoter.tracker.tracking_uri)
    table = mlflow.artifacts.load_dict(f"runs:/{entry.run_id}/evidence.json")
    assert table == {"columns": ["name", "passed"], "data": [["RMSE", True]]}


def test_rollback_restores_the_former_champion(promoter: Promoter) -> None:
    """One action goes back to the one before; a second goes further back than that one."""
    service = promoter.service
    for version in (1, 2, 3):
        promote(promoter, version)
    back = promoter.act(Action("rollback", service, why="errors"), f"{service}/back")
    assert promoter.standing().champion == 2
    assert (back.version, back.before.champion) == (2, 3)
    promoter.act(Action("rollback", service, 1), f"{service}/named")
    assert promoter.standing().champion == 1
    moves = [(entry.before.champion, entry.after.champion) for entry in promoter.history()]
    assert moves == [(2, 1), (3, 2), (2, 3), (1, 2), (None, 1)]


def test_a_version_that_needs_more_gets_no_traffic(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before the move; a shadow may need what it likes."""
    needs = {1: frozenset({"PULocationID"}), 2: frozenset({"PULocationID", "trip_distance"})}
    monkeypatch.setattr(promoter.versions, "needs", needs.get)
    promote(promoter, 1)
    canary = Action("canary", promoter.service, 2, share=0.5)
    with pytest.raises(
        InvalidInputError, match=r"needs trip_distance, .*\(version 1\) does without"
    ):
        promoter.act(canary, f"{promoter.service}/canary")
    assert promoter.standing() == Deployment(champion=1)
    promoter.act(Action("shadow", promoter.service, 2), f"{promoter.service}/shadow")
    promote(promoter, 2)
    less = Action("canary", promoter.service, 1, share=0.5)
    assert promoter.act(less, f"{promoter.service}/less").after.challenger == 1


def test_the_best_of_the_newest_training_set_is_the_challenger(promoter: Promoter) -> None:
    """Older training sets and the champion are left out; the lowest validation error wins."""
    client, tracker = promoter.tracker.client, promoter.tracker
    for training_set, rmse in (("old", 3.0), ("new", 4.4), ("new", 4.1), ("new", 4.0)):
        run_id = tracker.open_run(f"{promoter.service}/{training_set}/{rmse}", "model", {})
        tracker.log(run_id, metrics={"validation_rmse": rmse})
        tags = {"training_set": training_set}
        client.create_model_version(promoter.name, f"runs:/{run_id}/model", run_id, tags=tags)
    assert latest_challengers(promoter) == [VERSIONS + 4, VERSIONS + 3, VERSIONS + 2]
    promote(promoter, VERSIONS + 4)
    assert latest_challengers(promoter) == [VERSIONS + 3, VERSIONS + 2]


def test_of_two_promotions_one_wins(promoter: Promoter) -> None:
    """What was decided against another champion is refused, and nothing moves."""
    service = promoter.service
    promote(promoter, 1)
    first = Action("promote", service, 2, expected=1)
    second = Action("promote", service, 3, expected=1)
    promoter.act(first, f"{service}/first")
    with pytest.raises(InvalidInputError, match=r"version 1 was champion, which is now 2"):
        promoter.act(second, f"{service}/second")
    assert promoter.standing().champion == 2
    assert len(promoter.history()) == 2


def killed_at(monkeypatch: pytest.MonkeyPatch, write: str, promoter: Promoter, *what: Any) -> None:
    """Do an action in a process that dies before a write of MLflow's client."""
    with monkeypatch.context() as dying:
        dying.setattr(MlflowClient, write, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            promoter.act(*what)


def test_the_next_action_ends_what_was_interrupted(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion that has moved is ended, one that has moved nothing is given up."""
    service = promoter.service
    promote(promoter, 1)
    promoter.act(Action("canary", service, 2, share=0.2), f"{service}/canary")
    half = Action("promote", service, 2), f"{service}/half"
    killed_at(monkeypatch, "delete_registered_model_alias", promoter, *half)
    promoter.act(Action("shadow", service, 3), f"{service}/shadow")
    assert promoter.standing() == Deployment(champion=2, shadow=3)
    assert [one.kind for one in promoter.history()] == ["shadow", "promote", "canary", "promote"]
    assert promoter.act(*half) == promoter.history()[1]
    unmoved = Action("promote", service, 1), f"{service}/unmoved"
    killed_at(monkeypatch, "set_registered_model_alias", promoter, *unmoved)
    promoter.act(Action("end_shadow", service), f"{service}/end")
    with pytest.raises(InvalidInputError, match="end_shadow of version 3 was begun since"):
        promoter.act(*unmoved)
    assert promoter.standing() == Deployment(champion=2)
    assert len(promoter.history()) == 5


def test_no_version_answers_the_larger_share_of_the_next(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the change from one canary to another stops, nobody has more than was meant."""
    service = promoter.service
    promote(promoter, 1)
    promoter.act(Action("canary", service, 2, share=0.1), f"{service}/small")
    large = Action("canary", service, 3, share=0.5), f"{service}/large"
    killed_at(monkeypatch, "set_registered_model_alias", promoter, *large)
    assert promoter.standing() == Deployment(champion=1, challenger=2, share=0.1)
    killed_at(monkeypatch, "set_registered_model_tag", promoter, *large)
    assert promoter.standing() == Deployment(champion=1, challenger=3, share=0.1)
    promoter.act(*large)
    assert promoter.standing() == Deployment(champion=1, challenger=3, share=0.5)


def test_all_moments_are_enabled_at_once(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever that stops, all of them answer, or none."""
    service, client = promoter.service, MlflowClient
    for moment in MOMENTS:
        one = Promoter(promoter.tracker, service, moment)
        one.act(Action("disable", service), f"{service}/off {moment}")
    enable = Action("enable", service, everywhere=True), f"{service}/on"
    delete, left = client.delete_registered_model_tag, iter(range(1))

    def die(*what: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        delete(*what)

    with monkeypatch.context() as dying:
        dying.setattr(client, "delete_registered_model_tag", die)
        with pytest.raises(KeyboardInterrupt):
            promoter.act(*enable)
    assert not any(one.enabled for one in promoter.versions.standings().values())
    promoter.act(*enable)
    assert all(one.enabled for one in promoter.versions.standings().values())


def test_a_second_try_leaves_the_evidence_as_it_is(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the gate said is there once, however often it was written; also what was begun alone."""
    verdict = GateVerdict(
        2, None, (Check("RMSE", passed=True, found="5.0 minutes", wanted="below 5.1"),)
    )
    for _ in range(2):
        run_id = promoter.record(verdict, f"{promoter.service}/gate")
    action = Action("promote", promoter.service, 2, evidence=verdict.table())
    with monkeypatch.context() as dying:
        dying.setattr(Tracker, "log_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            promoter.act(action, f"{promoter.service}/move")
    entry = promoter.act(action, f"{promoter.service}/move")
    tracker = promoter.tracker
    mlflow.set_tracking_uri(tracker.tracking_uri)
    for found in (run_id, entry.run_id):
        table = tracker.client.load_table(tracker.experiment_id, "evidence.json", run_ids=[found])
        assert table.to_dict("list") == verdict.table().to_dict("list")


def test_clocks_that_differ_do_not_change_the_history(
    promoter: Promoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine moves whose clock is an hour late comes after what was moved before."""
    promote(promoter, 1)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3_600)
    promote(promoter, 2)
    promote(promoter, 3)
    monkeypatch.undo()
    assert [entry.version for entry in promoter.history()] == [3, 2, 1]
    assert promoter.act(Action("rollback", promoter.service), f"{promoter.service}/b").version == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "crown"}, "is unknown"),
        ({"version": None}, "names no version"),
        ({"kind": "canary", "share": 0.0}, "share"),
        ({"version": 99}, "is not in the registry"),
        ({"version": 1}, "is champion already"),
        ({"kind": "retire", "version": 1}, "Promote another version first"),
        ({"kind": "rollback", "version": None}, "has no champion before it"),
    ],
)
def test_what_cannot_be_done(promoter: Promoter, changes: dict[str, object], message: str) -> None:
    """Wrong actions are refused by name, and change nothing."""
    promote(promoter, 1)
    good = Action("promote", promoter.service, 2)
    with pytest.raises(InvalidInputError, match=message):
        promoter.act(dataclasses.replace(good, **changes), f"{promoter.service}/wrong")  # type: ignore[arg-type]  # by name
    assert promoter.standing() == Deployment(champion=1)


def test_a_run_that_is_no_entry_breaks_nothing(promoter: Promoter) -> None:
    """Somebody's own run beside the history is passed over: it can be read, and gone back."""
    promote(promoter, 1)
    promote(promoter, 2)
    others: tuple[dict[str, str], ...] = (
        {},
        {"who": "me", "why": "", "after_share": "10%"},
        {"moment": "later"},
    )
    for number, tags in enumerate(others):
        stray = {"service": promoter.service, "action": "promote", **tags}
        run_id = promoter.tracker.open_run(f"{promoter.service}/{number}", "mine", stray)
        promoter.tracker.close_run(run_id)
    assert [entry.version for entry in promoter.history()] == [2, 1]
    action = Action("rollback", promoter.service, who="somebody", why="it is worse")
    assert promoter.act(action, f"{promoter.service}/back").version == 1
    assert promoter.standing().champion == 1
    promoter.tracker.client.set_registered_model_tag(promoter.name, "challenger_share", "10%")
    promoter.tracker.client.set_registered_model_alias(promoter.name, "challenger", "3")
    action = Action("disable", promoter.service, who="somebody", why="it is wrong")
    assert not promoter.act(action, f"{promoter.service}/off").after.enabled

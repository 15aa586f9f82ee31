"""Versions that are not ours, under our aliases on a real registry: they hold up no decision."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.servers import mlflow_server
from tests.serving.conftest import Server

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError
from model_loop.serving.models import registry as registry_module
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.registry import MlflowRegistry
from model_loop.tracking.actions import SWITCHES, Action, ActionKind
from model_loop.tracking.choosing import promoter_for
from model_loop.tracking.deployments import DISABLED_TAG, MOMENT_TAG, Deployment
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

NAME = "trip_duration_green"
#: A store that nobody here may read.
AWAY = "s3://nowhere/model"
#: Of an action: by far more than it takes beside readable versions, by far less than one look at
#: a store that does not answer.
SECONDS = 20.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server."""
    with mlflow_server(tmp_path_factory.mktemp("stray")) as url:
        yield url


class Stray:
    """A registered model with three versions of ours, and others."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        # As a server does.
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        self.url = url
        self.client = MlflowClient(url)
        self.client.create_registered_model(NAME)
        for _ in range(3):
            self.version({MOMENT_TAG: "ended"})
        self.alias("champion_ended", 1)

    def version(self, tags: dict[str, str]) -> int:
        """Register a version."""
        return int(self.client.create_model_version(NAME, AWAY, tags=tags).version)

    def alias(self, name: str, version: int | None) -> None:
        """Set an alias, or remove it."""
        if version is None:
            self.client.delete_registered_model_alias(NAME, name)
        else:
            self.client.set_registered_model_alias(NAME, name, str(version))


@pytest.fixture
def stray(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stray]:
    """Such a model."""
    made = Stray(url, monkeypatch)
    yield made
    made.client.delete_registered_model(NAME)


@pytest.mark.parametrize("plain", [True, False], ids=["rest", "client"])
@pytest.mark.parametrize(
    ("alias", "tags"),
    [
        ("shadow", {}),
        ("champion", {}),
        ("challenger", {"recipe": "[]"}),
        ("shadow", {MOMENT_TAG: "later"}),
        ("champion", {MOMENT_TAG: "x" * 4_000}),
        ("challenger", {MOMENT_TAG: ""}),
    ],
)
def test_a_stray_version_freezes_nothing(
    stray: Stray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alias: str,
    tags: dict[str, str],
    *,
    plain: bool,
) -> None:
    """Changes of other parts, moments and switches are applied."""
    if not plain:
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    stray.alias("challenger_ended", 2)
    stray.alias("shadow_ended", 3)
    registry = MlflowRegistry(stray.url, NAME, tmp_path)
    assert registry.standings()["ended"] == Deployment(1, 2, 3)
    assert not registry.unreadable
    number = stray.version(tags)
    stray.alias(alias, number)
    stray.client.set_registered_model_tag(NAME, DISABLED_TAG, "yes")
    stray.alias("champion_ended", 2)
    stray.alias("challenger_ended", None)
    stray.alias("shadow_ended", None)
    last = {
        "champion": Deployment(2),
        "challenger": Deployment(2, 2),
        "shadow": Deployment(2, None, 3),
    }
    fresh = MlflowRegistry(stray.url, NAME, tmp_path)
    for one, expected in ((registry, last[alias]), (fresh, Deployment(2))):
        found = one.standings()
        assert found["ended"] == dataclasses.replace(expected, enabled=False)
        assert found["booked"] == Deployment(enabled=False)
        assert any(f"version {number}" in problem for problem in one.unreadable)
        assert max(map(len, one.unreadable)) < 500
    stray.alias(alias, None)
    assert registry.standings()["ended"] == Deployment(2, enabled=False)
    assert not registry.unreadable


def test_a_store_that_does_not_answer_freezes_nothing(
    stray: Stray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    predictors: dict[int, ServedVersion],
) -> None:
    """A version is looked up beside the look at the registry, once, and counts when it is known."""
    asked, answer = [], threading.Event()

    def wait(_client: MlflowClient, _name: str, version: int) -> Moment:
        asked.append(version)
        answer.wait(30)
        return "ended"

    monkeypatch.setattr("model_loop.tracking.versions.find_moment", wait)
    monkeypatch.setattr(registry_module, "FIRST_SECONDS", 0.2)
    monkeypatch.setattr(registry_module, "MORE_SECONDS", 0.1)
    number = stray.version({})
    stray.alias("shadow", number)
    registry = MlflowRegistry(stray.url, NAME, tmp_path)
    monkeypatch.setattr(
        registry, "load", lambda version, _: predictors[1 + version % len(predictors)]
    )
    live = ModelManager(registry, tmp_path, 3_600)
    for champion in (1, 2, 3):
        stray.alias("champion_ended", champion)
        began = time.monotonic()
        live.look()
        assert time.monotonic() - began < 2.0
        assert live.now.sides["ended"].standing == Deployment(champion)
        assert "looked up" in live.unreadable[0]
    answer.set()
    live.look()
    assert live.now.sides["ended"].standing == Deployment(3, shadow=number)
    assert asked == [number]
    assert not live.unreadable
    live.stop()


def test_what_cannot_be_read_is_told(server: Server) -> None:
    """In answers about models, and in metrics."""
    assert "model_loop_registry_unreadable 0.0" in server.ask("GET", "/metrics").text
    server.registry.unreadable = ("The shadow stays as it was",)
    assert server.ask("GET", "/models").json()["unreadable"] == ["The shadow stays as it was"]
    assert "model_loop_registry_unreadable 1.0" in server.ask("GET", "/metrics").text


@pytest.mark.parametrize("tags", [{}, {MOMENT_TAG: "later"}])
def test_a_stray_version_stops_no_action(stray: Stray, tags: dict[str, str]) -> None:
    """Disabling, promotion and rollback work; only an unknown champion is reported first."""
    promoter = Promoter(Tracker(stray.url, f"stray/{len(tags)}"), "green", "ended")
    number = stray.version(tags)
    stray.alias("shadow", number)
    done = (
        Action("disable", "green"),
        Action("enable", "green"),
        Action("canary", "green", 2, share=0.5),
        Action("end_canary", "green"),
    )
    for action in done:
        promoter.act(action, f"stray/{len(tags)}/{action.kind}")
    assert promoter.standing() == Deployment(1)
    stray.alias("champion", number)
    stray.alias("champion_ended", None)
    with pytest.raises(InvalidInputError, match=f"Version {number} of .* alias champion"):
        promoter.act(Action("promote", "green", 2), f"stray/{len(tags)}/promote")
    promoter.act(Action("disable", "green"), f"stray/{len(tags)}/again")
    assert not promoter.standing().enabled


@pytest.fixture
def _silent(stray: Stray, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that takes every request and answers none."""
    assert stray.url
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        yield


@pytest.mark.usefixtures("_silent")
def test_an_emergency_waits_for_no_store(stray: Stray) -> None:
    """An emergency is over within seconds, beside versions that nobody can read.

    One of them was champion, and is passed over.
    """
    tracker = Tracker(stray.url, "stray/emergency")

    def act(kind: ActionKind, version: int | None = None) -> Deployment:
        began = time.monotonic()
        promoter = promoter_for(tracker, "green", kind, version)
        everywhere = kind in SWITCHES
        promoter.act(
            Action(kind, "green", version, everywhere=everywhere), f"stray/{kind}/{version}"
        )
        assert time.monotonic() - began < SECONDS
        found = promoter.versions.standings()["ended"]
        return dataclasses.replace(found, challenger=None, shadow=None)

    assert act("promote", 2) == Deployment(2)
    stray.alias("champion_ended", stray.version({}))
    assert act("promote", 3) == Deployment(3)
    for alias in ("challenger", "shadow"):
        stray.alias(alias, stray.version({}))
    assert act("disable") == Deployment(3, enabled=False)
    assert act("enable") == Deployment(3)
    assert act("rollback") == Deployment(2)


@pytest.mark.parametrize("timeout", ["soon", "-1", "inf", ""])
def test_a_setting_that_is_no_number_is_passed_over(
    stray: Stray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout: str
) -> None:
    """MLflow's own setting is read at every look."""
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", timeout)
        assert MlflowRegistry(stray.url, NAME, tmp_path).standings()["ended"] == Deployment(1)

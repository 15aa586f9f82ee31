"""How a server sees the registry: the standing over REST, and versions from another process."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.servers import mlflow_server
from tests.serving.conftest import fit, require
from upath import UPath

from model_loop.alerts.outbox import Outbox
from model_loop.errors import InvalidInputError
from model_loop.intervals.adaptive import NO_CORRECTION, Correction
from model_loop.models.catalogue import ModelFamily
from model_loop.models.extras import extra_families
from model_loop.scoring.rows import to_frame
from model_loop.serving.models.loading import RegistryError
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.registry import MlflowRegistry
from model_loop.serving.models.store import DIGESTS, ModelStore
from model_loop.tracking.actions import Action
from model_loop.tracking.corrections import keep_correction, keep_widening
from model_loop.tracking.deployments import Deployment
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker
from model_loop.training_set.types import TrainingSet
from trip_duration.compiled.forms import odd_rows
from trip_duration.dataset import TRIPS
from trip_duration.services import MOMENTS

NEIGHBORS = "neighbors.KNeighborsRegressor"


def families() -> tuple[str | ModelFamily, ...]:
    """Of the versions; the last has no compiled form."""
    extra = extra_families({NEIGHBORS: {"n_neighbors": [3]}})[NEIGHBORS]
    return ("xgboost", "linear_model.LinearRegression", extra)


NOTHING = {moment: Deployment() for moment in MOMENTS}


@pytest.fixture(scope="module")
def promoter(
    tmp_path_factory: pytest.TempPathFactory, sample_training_set: TrainingSet
) -> Iterator[Promoter]:
    """Three versions on a real server."""
    with mlflow_server(tmp_path_factory.mktemp("registry")) as url:
        promoter = Promoter(Tracker(url, "registry-promotion"), "green", "ended")
        for number, family in enumerate(families(), start=1):
            register_model(
                promoter.tracker,
                promoter.tracker.open_run(f"registry/{number}", "family", {}),
                fit(family, sample_training_set),
                name=promoter.name,
                example=sample_training_set.example_rows,
                tags={},
            )
        yield promoter


@pytest.fixture
def registry(promoter: Promoter, tmp_path: Path) -> MlflowRegistry:
    """The registry as a server asks it."""
    url = promoter.tracker.tracking_uri
    return MlflowRegistry(url, promoter.name, tmp_path, experiment="registry")


def test_the_standing_is_what_the_client_of_mlflow_says(
    promoter: Promoter, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every action, over REST and by MLflow's client alike."""
    actions = (
        Action("promote", "green", 1),
        Action("canary", "green", 2, share=0.25),
        Action("shadow", "green", 3),
        Action("disable", "green"),
        Action("enable", "green"),
    )
    seen = set()
    for action in actions:
        promoter.act(action, f"registry/{action.kind}")
        standing = registry.standings()
        assert standing == promoter.versions.standings()
        seen.add(standing["ended"])
    assert len(seen) == 4
    moves = promoter.moves()
    assert [(one.challenger, one.share) for one in moves] == [(2, 0.25), (2, 0.25), (None, 0.0)]
    assert sorted(registry.moves(), key=lambda one: -one.begun) == moves
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert registry.standings() == standing
    assert sorted(registry.moves(), key=lambda one: -one.begun) == moves


def test_a_look_brings_the_corrections_of_intervals(
    promoter: Promoter, registry: MlflowRegistry
) -> None:
    """Those by days, else what the gate has widened; none of a version without either."""
    promoter.tracker.client.set_registered_model_alias(promoter.name, "champion", "1")
    registry.standings()
    assert registry.corrections[1] == NO_CORRECTION
    wide = Correction(lower=0.5, upper=0.5, version=1)
    later = Correction(bias=0.1, lower=0.4, version=2, day="2024-03-02")
    keep_widening(promoter.tracker, promoter.name, 1, wide)
    registry.standings()
    assert registry.corrections[1] == wide
    keep_correction(promoter.tracker, promoter.name, 1, later)
    registry.standings()
    assert registry.corrections[1] == later


def test_a_registry_without_the_model(promoter: Promoter, tmp_path: Path) -> None:
    """Nothing answers, and nothing is wrong."""
    url = promoter.tracker.tracking_uri
    assert MlflowRegistry(url, "trip_duration_fhvhv", tmp_path).standings() == NOTHING


@pytest.mark.parametrize(
    ("version", "machine_code"), [(1, True), (1, False), (2, True), (2, False), (3, True)]
)
def test_a_version_says_what_the_registered_model_says(
    promoter: Promoter,
    sample_training_set: TrainingSet,
    tmp_path: Path,
    version: int,
    machine_code: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Compiled by another process, or read by this one where it cannot be compiled."""
    url = promoter.tracker.tracking_uri
    registry = MlflowRegistry(url, promoter.name, tmp_path, machine_code=machine_code)
    predictor = registry.load(version)
    family = families()[version - 1]
    rows = odd_rows(500, seed=3)
    expected = fit(family, sample_training_set).predict(to_frame(TRIPS, rows, predictor.columns))
    np.testing.assert_allclose(predictor.predict(rows), expected, rtol=0, atol=1e-5)
    assert predictor.version == version
    assert predictor.compiled == (version != 3)


def test_versions_that_cannot_be_had(
    registry: MlflowRegistry, promoter: Promoter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the version, and the reason."""
    # As a server does.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(InvalidInputError, match="99"):
        registry.load(99)
    nobody = MlflowRegistry("http://127.0.0.1:9", promoter.name, tmp_path / "empty")
    with pytest.raises(InvalidInputError, match="cannot be had from the tracking server"):
        nobody.load(1)


class Odd(http.server.BaseHTTPRequestHandler):
    """A server that keeps what it is sent, and does not speak MLflow's language."""

    asked: list[str | None]
    body = b""
    status = 200

    def do_GET(self) -> None:
        """Answer."""
        self.asked.append(self.headers["Authorization"])
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def odd() -> Iterator[tuple[type[Odd], str]]:
    """Such a server, and its address."""
    kind = type("Asked", (Odd,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kind, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (200, b"<html>"), (200, b'{"registered_model": 3}'), (404, b"no such page")],
)
def test_answers_that_are_none(
    odd: tuple[type[Odd], str], tmp_path: Path, status: int, body: bytes
) -> None:
    """An answer without the aliases counts as a registry that does not answer."""
    kind, url = odd
    kind.status, kind.body = status, body
    with pytest.raises(RegistryError, match="does not tell"):
        MlflowRegistry(url, "trip_duration_green", tmp_path).standings()


def test_a_server_that_is_down(tmp_path: Path) -> None:
    """A server that does not listen counts as one, too."""
    with pytest.raises(RegistryError, match="does not answer"):
        MlflowRegistry("http://127.0.0.1:9", "trip_duration_green", tmp_path).standings()


def test_the_login_is_that_of_mlflow(
    odd: tuple[type[Odd], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and password, or a token, as MLflow's client takes them from the environment."""
    kind, url = odd
    kind.body = b'{"registered_model": {"name": "green"}}'
    registry = MlflowRegistry(url, "trip_duration_green", tmp_path)
    assert registry.standings() == NOTHING
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    registry.standings()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass")
    registry.standings()
    assert kind.asked == [None, "Bearer secret", "Basic bWU6cGFzcw=="]


def test_a_server_needs_none_of_the_large_libraries() -> None:
    """Imports of a server before it has a version that needs more."""
    large = "{'mlflow', 'pandas', 'pyarrow', 'sklearn', 'scipy', 'skops', 'xgboost', 'numba'}"
    code = f"import sys, model_loop.serving.http.server; print({large} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "set()"


def test_an_upgrade_of_a_library_stops_no_prediction(
    promoter: Promoter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The compiled form of a version that another line has made answers, and a mail says so.

    Without a compiled form that says what the model said, it is refused with the remedy.
    """
    outbox = Outbox(UPath(tmp_path / "alerts"))
    registry = MlflowRegistry(promoter.tracker.tracking_uri, promoter.name, tmp_path, outbox=outbox)
    rows = odd_rows(50)
    before = registry.load(1).predict(rows)
    assert not outbox.waiting()
    (files,) = (tmp_path / promoter.name).glob("1-*")
    require(files, "xgboost", "xgboost==9.4.1")
    for _ in range(2):
        upgraded = registry.load(1)
        np.testing.assert_array_equal(upgraded.predict(rows), before)
        assert upgraded.compiled
    assert "goes on answering" in caplog.text
    (waiting,) = outbox.waiting()
    assert "xgboost 9.4.1" in waiting.alert.summary
    assert "DAG retraining" in waiting.alert.advice[0]
    (form,) = files.glob("compiled*")
    form.write_bytes(form.read_bytes()[:-100])
    with pytest.raises(InvalidInputError, match=r"xgboost 9\.4\.1.*DAG retraining"):
        registry.load(1)
    form.unlink()
    with pytest.raises(InvalidInputError, match=r"xgboost 9\.4\.1"):
        registry.load(1)


def damage(path: Path) -> None:
    """Alter one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_file_is_fetched_again(
    promoter: Promoter, registry: MlflowRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has happened to the kept files, the version answers; without the server, none does.

    A damaged file would not always be refused: another leaf says other minutes.
    """
    url, rows = promoter.tracker.tracking_uri, odd_rows(50)
    before = registry.load(2).predict(rows)
    store = ModelStore(url, promoter.name, tmp_path)
    files = store.files(2)
    names = [path.relative_to(files) for path in files.rglob("*") if path.is_file()]
    assert len(names) > 4
    for name in names:
        if name.name.startswith(("compiled", "input_example")):
            continue
        content = (files / name).read_bytes()
        damage(files / name)
        assert (store.files(2) / name).read_bytes() == content
    (files / DIGESTS).write_bytes(b"[" * 100_000)
    (files / "MLmodel").unlink()
    np.testing.assert_array_equal(registry.load(2).predict(rows), before)
    (model,) = files.glob("model.*")
    content = model.read_bytes()
    damage(model)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    alone = MlflowRegistry("http://127.0.0.1:9", promoter.name, tmp_path)
    with pytest.raises(InvalidInputError, match="cannot be had from the tracking server"):
        alone.load(2)
    model.write_bytes(content)
    np.testing.assert_array_equal(alone.load(2).predict(rows), before)


@pytest.mark.parametrize("share", ["10%", "", "nan", "7", "-1", "0,1"])
def test_a_tag_that_cannot_be_read_freezes_nothing(
    odd: tuple[type[Odd], str], tmp_path: Path, share: str
) -> None:
    """The last good share stays, a new challenger has none, and all else is applied."""
    kind, url = odd
    registry = MlflowRegistry(url, "trip_duration_green", tmp_path)
    aliases = {"champion": 1, "challenger": 2}

    def told(share: str, **tags: str) -> bytes:
        named = [{"alias": name, "version": str(one)} for name, one in aliases.items()]
        given = {"challenger_share": share, **tags}
        listed = [{"key": name, "value": value} for name, value in given.items()]
        return json.dumps({"registered_model": {"aliases": named, "tags": listed}}).encode()

    registry._moments = {1: "booked", 2: "booked", 3: "booked"}
    kind.body = told("0.25")
    assert registry.standings()["booked"] == Deployment(1, 2, share=0.25)
    assert not registry.unreadable
    kind.body = told(share, disabled="yes")
    assert registry.standings()["booked"] == Deployment(1, 2, share=0.25, enabled=False)
    assert "challenger_share" in registry.unreadable[0]
    aliases["challenger"] = 3
    kind.body = told(share)
    assert registry.standings()["booked"] == Deployment(1, 3, share=0.0)


def test_a_moment_that_cannot_be_read_freezes_nothing(
    odd: tuple[type[Odd], str],
    tmp_path: Path,
    predictors: dict[int, ServedVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a version's tag names no moment, what stood last stays, also after a restart."""
    kind, url = odd

    def look(champion: int, *tags: str) -> ModelManager:
        aliases = [{"alias": "champion", "version": str(champion)}]
        listed = [{"key": name, "value": "yes"} for name in tags]
        moment = "booked" if champion == 1 else "later"
        told = {
            "registered_model": {"aliases": aliases, "tags": listed},
            "model_version": {"tags": [{"key": "moment", "value": moment}]},
        }
        kind.body = json.dumps(told).encode()
        registry = MlflowRegistry(url, "trip_duration_green", tmp_path)
        monkeypatch.setattr(registry, "load", lambda version, _: predictors[version])
        live = ModelManager(registry, tmp_path, 3_600)
        live.refresh()
        return live

    assert not look(1).unreadable
    for tags in ((), ("disabled",)):
        live = look(2, *tags)
        side = live.now.sides["booked"]
        assert side.champion is not None
        assert (side.champion.version, side.standing.enabled) == (1, not tags)
        assert "'later'" in live.unreadable[0]

"""Models, a registry in memory, and the application without a network."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from model_loop.datasets.dataset import Moment
from model_loop.intervals.adaptive import Correction
from model_loop.models.catalogue import XGBOOST, ModelFamily, get_family
from model_loop.models.estimators import make_booster, make_sklearn
from model_loop.models.search import SearchRequest
from model_loop.models.selection import ColumnSelector
from model_loop.serving.compiled.compiler import make_predictor
from model_loop.serving.http.app import create_app
from model_loop.serving.http.asgi import Guard
from model_loop.serving.http.bearer import BearerTokens
from model_loop.serving.http.tokens import TokenFile, TokenIndex
from model_loop.serving.metrics import ServerMetrics
from model_loop.serving.models.loading import RegistryError
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.store import DIGESTS
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.service import PredictionService
from model_loop.tracking.deployments import Deployment, Standings
from model_loop.tracking.registry import LoadedModel
from model_loop.tracking.shares import ShareMove
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

TRIP = {
    "pickup_zone": 74,
    "dropoff_zone": 75,
    "trip_distance": 1.5,
    "pickup_at": "2024-03-01T08:00:00",
}
MAX_BYTES, MAX_TRIPS = 200_000, 500

_SMALL: dict[str, Any] = {
    "max_depth": 8,
    "n_estimators": 12,
    "learning_rate": 0.2,
    "max_iter": 50,
    "alpha": 0.01,
}


def require(folder: Path, library: str, becomes: str) -> None:
    """Let a stored model require another version of a library."""
    requirements = folder / "requirements.txt"
    lines = requirements.read_text().splitlines()
    others = [line for line in lines if not line.startswith(library)]
    assert len(others) == len(lines) - 1
    requirements.write_text("\n".join([*others, becomes]))
    if (digests := folder / DIGESTS).exists():
        known = json.loads(digests.read_text())
        known[requirements.name] = hashlib.sha256(requirements.read_bytes()).hexdigest()
        digests.write_text(json.dumps(known))


def fit(family: str | ModelFamily, training_set: TrainingSet, *, keep: int = 0) -> Pipeline:
    """A small model of a family, made of what the training DAGs make theirs of.

    Parameters
    ----------
    keep
        Every so many-th column is kept; 0 keeps all without a step for it.
    """
    family = get_family(family) if isinstance(family, str) else family
    splits = training_set.layout_for(family.layout)
    matrix: Any = splits.train_validation
    steps: list[tuple[str, Any]] = [("encode", splits.encoder)]
    if keep:
        names = list(splits.encoder.get_feature_names_out())[::keep]
        steps.append(("select", ColumnSelector(names, list(range(0, matrix.shape[1], keep)))))
        matrix = steps[-1][1].transform(matrix)
    settings = {name: value for name, value in _SMALL.items() if name in family.space}
    estimator = (
        make_booster(family, settings, SearchRequest(threads=1), rounds=30)
        if family.name == XGBOOST
        else make_sklearn(family, settings, random_state=42)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(matrix, training_set.train_validation_target)
    return Pipeline([*steps, ("estimate", estimator)])


def loaded(model: Pipeline, training_set: TrainingSet) -> LoadedModel:
    """A model as it comes from the registry."""
    return LoadedModel(model, training_set.recipe.columns, 1.0, training_set.example_rows)


@pytest.fixture(scope="session")
def predictors(sample_training_set: TrainingSet) -> dict[int, ServedVersion]:
    """Three versions with different answers."""
    families = ("xgboost", "linear_model.LinearRegression", "ensemble.GradientBoostingRegressor")
    return {
        number: make_predictor(
            TRIPS, number, loaded(fit(family, sample_training_set), sample_training_set)
        )
        for number, family in enumerate(families, start=1)
    }


class MemoryRegistry:
    """A registry that a test moves versions in."""

    dataset = TRIPS
    unreadable: tuple[str, ...] = ()
    before: Standings | None = None

    def __init__(self, predictors: dict[int, ServedVersion], standing: Deployment) -> None:
        self.now = standing
        self.predictors = predictors
        self.early = Deployment()
        self.corrections: Mapping[int, Correction] = {}
        self.reachable = True
        #: Versions whose files take for ever to come.
        self.stuck: set[int] = set()
        #: Versions that were asked for, one after the other.
        self.tries: list[int] = []

    def standings(self) -> Standings:
        """How the versions stand, if the server is up; all of them know the metered distance."""
        if not self.reachable:
            raise RegistryError("the server is down")
        return {"booked": self.early, "ended": self.now}

    def moves(self) -> list[ShareMove]:
        """Nothing was ever moved, if the server is up."""
        if not self.reachable:
            raise RegistryError("the server is down")
        return []

    def moment(self, _version: int) -> Moment:
        """Not known of versions that do not stand."""
        raise RegistryError("the server is down")

    def load(self, version: int, given_up: threading.Event) -> ServedVersion:
        """A version that was made before."""
        self.tries.append(version)
        if version in self.stuck:
            given_up.wait()
            raise RegistryError("it was given up")
        if version not in self.predictors:
            raise RegistryError("no such version")
        return self.predictors[version]


class Server:
    """The application with everything behind it, in this process."""

    def __init__(
        self,
        folder: Path,
        registry: MemoryRegistry,
        rules: LogRules,
        refresh_seconds: float = 3_600,
    ) -> None:
        self.registry = registry
        self.live = ModelManager(registry, folder, refresh_seconds)
        self.log = RequestLog(open_log("", folder), rules, self.shadows)
        self.service = PredictionService(
            "green", self.live, self.log, ServerMetrics({"green": self.live}, self.log)
        )
        self.tokens = TokenFile(folder / "tokens.json")
        self.secret = self.tokens.add("tests", rate=0)
        known = TokenIndex(self.tokens, rate=1_000, served={"trips", "green"})
        bearer = BearerTokens(known, refresh_seconds=0)
        self.app: Guard = create_app(self.service, bearer, max_bytes=MAX_BYTES, max_rows=MAX_TRIPS)
        self.service.start()
        self.live.refresh()

    def shadows(self) -> dict[str, ServedVersion]:
        """The version that is asked unseen."""
        shadow = self.live.now.shadow
        return {} if shadow is None else {"green": shadow}

    def ask(
        self, method: str, path: str, *, secret: str | None = None, **more: Any
    ) -> httpx.Response:
        """Send one request, with the token of the tests unless there is another."""
        bearer = {"Authorization": f"Bearer {self.secret if secret is None else secret}"}
        headers = {**bearer, **more.pop("headers", {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://tests") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(send())

    def predict(self, body: object) -> list[dict[str, Any]]:
        """Answers to a request that has to succeed."""
        response = self.ask("POST", "/predict", json=body)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()
        return found


@pytest.fixture
def make_server(
    tmp_path: Path, predictors: dict[int, ServedVersion]
) -> Iterator[Callable[..., Server]]:
    """Makes servers that are stopped at the end."""
    made: list[Server] = []

    def make(
        standing: Deployment | None = None,
        rules: LogRules | None = None,
        folder: Path = tmp_path,
        refresh_seconds: float = 3_600,
    ) -> Server:
        registry = MemoryRegistry(predictors, standing or Deployment(champion=1))
        quick = rules or LogRules(flush_seconds=0.02)
        made.append(Server(folder / f"server-{len(made)}", registry, quick, refresh_seconds))
        return made[-1]

    yield make
    for server in made:
        server.service.stop()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server whose champion is version 1."""
    return make_server()

"""One champion for each moment: a request names it, or is answered by the earliest that can."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import sample_request
from tests.serving.conftest import MemoryRegistry, Server, fit, loaded

from model_loop.serving.compiled.compiler import make_predictor
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.tracking.deployments import Deployment
from model_loop.training_set.preparation import build_training_set
from trip_duration.dataset import TRIPS

BOOKED = {"pickup_zone": 74, "dropoff_zone": 166, "pickup_at": "2024-03-01T08:30:00"}
ENDED = {**BOOKED, "trip_distance": 1.9}
EARLY = 9

Make = Callable[..., Server]


@pytest.fixture(scope="session")
def early(sample_root: Path) -> ServedVersion:
    """A version that does without the metered distance."""
    training_set = build_training_set(sample_request("booking"), storage_root=str(sample_root))
    model = fit("linear_model.LinearRegression", training_set)
    return make_predictor(TRIPS, EARLY, loaded(model, training_set))


@pytest.fixture
def server(make_server: Make, predictors: dict[int, ServedVersion], early: ServedVersion) -> Server:
    """A server with a champion of each moment; the later one has a canary and a shadow."""
    made = make_server(Deployment(champion=1))
    made.registry.predictors = {**predictors, EARLY: early}
    made.registry.early = Deployment(champion=EARLY)
    made.live.refresh()
    return made


def ask(server: Server, trip: dict[str, Any], **more: Any) -> tuple[int, Any]:
    """Status and answer, of a refusal the reason."""
    response = server.ask("POST", "/predict", json={**trip, **more})
    return response.status_code, response.json()


def test_a_request_is_answered_by_the_earliest_that_can(server: Server) -> None:
    """Without a name, with and without the distance; the answer says at which moment."""
    for trip in (BOOKED, ENDED):
        _, (one,) = ask(server, trip)
        assert (one["model_version"], one["moment"]) == (EARLY, "booked")
    server.registry.early = Deployment()
    server.live.refresh()
    _, (one,) = ask(server, ENDED)
    assert (one["model_version"], one["moment"]) == (1, "ended")


def test_a_request_names_the_moment(server: Server) -> None:
    """Each moment has its own champion, over both protocols."""
    for moment, version in (("booked", EARLY), ("ended", 1)):
        _, (one,) = ask(server, ENDED, moment=moment)
        assert (one["model_version"], one["moment"]) == (version, moment)
        told = server.ask(
            "POST",
            "/invocations",
            json={"dataframe_records": [ENDED]},
            headers={"X-Moment": moment},
        ).json()
        assert (told["model_version"], told["moment"]) == (version, moment)
    assert ask(server, ENDED, moment="later")[0] == 422
    assert (
        server.ask(
            "POST", "/invocations", json={"inputs": [ENDED]}, headers={"X-Moment": "later"}
        ).status_code
        == 422
    )


def test_what_is_missing_and_what_there_is_are_told(server: Server) -> None:
    """The typical distance is taken where only that is missing, and where it is asked for."""
    off_the_map = {**BOOKED, "dropoff_zone": 264}
    (_, (booked,)), (_, (ended,)) = ask(server, BOOKED), ask(server, BOOKED, moment="ended")
    assert (booked["moment"], "assumed" in booked) == ("booked", False)
    assert (ended["moment"], [*ended["assumed"]]) == ("ended", ["trip_distance"])
    assert ask(server, off_the_map)[0] == 200
    server.registry.early = Deployment()
    server.live.refresh()
    _, (one,) = ask(server, BOOKED)
    assert (one["moment"], [*one["assumed"]]) == ("ended", ["trip_distance"])
    status, told = ask(server, off_the_map)
    assert (status, told["error"]["given"]) == (422, "trip_distance")
    assert told["error"]["rule"] == "is missing, and a zone has no place on the map"
    status, told = ask(server, ENDED, moment="booked")
    assert status == 503
    assert "has no champion yet at the moment booked" in told["error"]["rule"]
    assert "There is version 1 at the moment ended." in told["error"]["remedy"]


def test_a_challenger_that_needs_more_answers_nothing(server: Server) -> None:
    """Not even a request that it could answer: the same one would be refused by chance."""
    server.registry.early = Deployment(champion=EARLY, challenger=1, share=1.0)
    server.live.refresh()
    for trip in (BOOKED, ENDED):
        _, (one,) = ask(server, trip, moment="booked")
        assert one["model_version"] == EARLY
    server.registry.now = Deployment(champion=1, challenger=EARLY, share=1.0)
    server.live.refresh()
    _, (one,) = ask(server, ENDED, moment="ended")
    assert one["model_version"] == EARLY


def test_a_moment_that_is_disabled_leaves_the_other(server: Server) -> None:
    """Disabling one moment disables nothing else; disabling all says so."""
    server.registry.early = Deployment(champion=EARLY, enabled=False)
    server.live.refresh()
    _, (one,) = ask(server, ENDED)
    assert one["model_version"] == 1
    status, told = ask(server, ENDED, moment="booked")
    assert (status, told["error"]["rule"]) == (503, "is disabled")
    server.registry.now = Deployment(champion=1, enabled=False)
    server.live.refresh()
    assert ask(server, ENDED)[0] == 503
    assert server.ask("GET", "/readyz").status_code == 503


def test_each_moment_is_shown(server: Server) -> None:
    """Routes and metrics tell every champion."""
    server.registry.now = Deployment(champion=1, challenger=2, share=0.25, shadow=3)
    server.live.refresh()
    told = server.ask("GET", "/models").json()
    found = {(one["moment"], one["alias"]): one["version"] for one in told["versions"]}
    assert found == {
        ("booked", "champion"): EARLY,
        ("ended", "champion"): 1,
        ("ended", "challenger"): 2,
        ("ended", "shadow"): 3,
    }
    assert {name: one["champion"] for name, one in told["moments"].items()} == {
        "booked": EARLY,
        "ended": 1,
    }
    assert server.ask("GET", "/readyz").json()["champions"] == {"booked": EARLY, "ended": 1}
    text = server.ask("GET", "/metrics").text
    for moment, version in (("booked", EARLY), ("ended", 1)):
        assert f'model_live{{compiled="true",moment="{moment}",part="champion"' in text
        assert f'version="{version}"' in text


def test_what_an_older_server_has_kept_is_read(
    predictors: dict[int, ServedVersion], tmp_path: Path
) -> None:
    """It knew one champion, whose columns say of which moment it is."""
    registry = MemoryRegistry(predictors, Deployment())
    registry.reachable = False
    (tmp_path / "standing.json").write_text(json.dumps(asdict(Deployment(champion=2))))
    live = ModelManager(registry, tmp_path, 3_600)
    live.refresh()
    champion = live.now.sides["ended"].champion
    assert champion is not None
    assert champion.version == 2
    assert live.now.sides["booked"].champion is None

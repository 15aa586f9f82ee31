"""Several datasets in one process: paths, tokens, descriptions, the log, and broken ones."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from sqlalchemy import inspect
from tests.serving.conftest import TRIP, MemoryRegistry, Server
from tests.serving.flights import fitted, flights

from model_loop.client.code import request_code
from model_loop.datasets import registry
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import use_dataset
from model_loop.errors import InvalidInputError
from model_loop.scoring.columns import check_rows
from model_loop.serving.compiled.compiler import make_predictor
from model_loop.serving.http.app import create_app
from model_loop.serving.http.bearer import BearerTokens
from model_loop.serving.http.openapi import example_row
from model_loop.serving.http.server import make_services
from model_loop.serving.http.tokens import TokenIndex
from model_loop.serving.models.loading import RegistryError
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.export import export_log
from model_loop.serving.request_log.log import LogRules
from model_loop.serving.request_log.tables import open_log, predictions
from model_loop.serving.service import PredictionService
from model_loop.settings import get_settings
from model_loop.tracking.deployments import Deployment, Standings
from model_loop.tracking.registry import LoadedModel

FLIGHT = {
    "time_hour": "2013-03-01T10:00:00Z",
    "carrier": "EV",
    "flight": 12,
    "distance": 700,
    "dep_delay": 25.0,
    "weekend": "no",
}
#: A log as versions before there were other datasets have made it.
OLD_LOG = """
create table predictions (
  prediction_id varchar(32) not null primary key, at float not null, service varchar(16) not null,
  version integer not null, part varchar(10) not null, caller varchar(100) not null,
  key varchar(200), minutes float not null, latency_ms float not null, shadow_version integer,
  shadow_minutes float, pickup_zone bigint, dropoff_zone bigint, pickup_at bigint,
  trip_distance float, passenger_count float, vendor_id float, trip_type float
);
insert into predictions values
  ('0000000000000000000000000000000a', 1709280000.0, 'green', 3, 'champion', 'me', null, 11.5, 1.0,
   null, null, 239, 236, 1709280000, 1.98, null, null, null);
"""


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The dataset of flights, known to this process alone."""
    monkeypatch.setattr(registry, "_given", {})
    return use_dataset(flights())


class FlightRegistry(MemoryRegistry):
    """A registry of flights, with a champion for each moment."""

    def __init__(self, dataset: Dataset, predictors: dict[int, ServedVersion]) -> None:
        super().__init__(predictors, Deployment())
        self.dataset = dataset
        self.standing: Standings = {
            "planned": Deployment(champion=1),
            "departed": Deployment(champion=2),
        }

    def standings(self) -> Standings:
        """How the versions stand."""
        if not self.reachable:
            raise RegistryError("the server is down")
        return self.standing

    def load(self, version: int, given_up: threading.Event) -> ServedVersion:
        """A version that was made before."""
        return super().load(version, given_up)


class Several:
    """A server of trips and of flights, and of a dataset that is broken."""

    def __init__(self, server: Server, folder: Path, dataset: Dataset) -> None:
        self.server = server
        versions = {}
        for number, (recipe, layout) in enumerate(
            (("planned", "dense"), ("departed", "sparse")), 1
        ):
            columns = dataset.recipe(recipe).columns
            model = LoadedModel(fitted(dataset, recipe, layout), columns, 1.0, None)  # type: ignore[arg-type]  # both are layouts
            versions[number] = make_predictor(dataset, number, model)
        self.registry = FlightRegistry(dataset, versions)
        self.live = ModelManager(self.registry, folder / "flights", 3_600)
        service = PredictionService("flights", self.live, server.log, server.service.metrics)
        broken = InvalidInputError("broken.toml", "has no target", "Name one.")
        known = TokenIndex(server.tokens, rate=1_000, served={"trips", "green", "flights"})
        server.app = create_app(
            server.service,
            BearerTokens(known, refresh_seconds=0),
            max_bytes=200_000,
            max_rows=500,
            others={"/flights": service, "/broken": broken, "/trips/green": server.service},
        )
        self.live.refresh()
        self.live._loader.wait()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send one request."""
        return self.server.ask(method, path, **more)


@pytest.fixture
def several(make_server: Callable[..., Server], tmp_path: Path, dataset: Dataset) -> Several:
    """A server of two datasets and a broken one."""
    return Several(make_server(rules=LogRules(flush_seconds=0.02)), tmp_path, dataset)


def test_each_dataset_answers_below_its_path(several: Several) -> None:
    """With its own fields, unit and moments; the default one at the root and below its own."""
    (flight,) = several.ask("POST", "/flights/predict", json=FLIGHT).json()
    assert flight.keys() == {
        *("prediction", "unit", "prediction_id", "model_version", "moment"),
        *("lower", "upper", "level"),
    }
    assert (flight["unit"], flight["moment"], flight["model_version"]) == ("min", "planned", 1)
    later = several.ask("POST", "/flights/predict", json={**FLIGHT, "moment": "departed"}).json()
    assert later[0]["model_version"] == 2
    (trip,) = several.ask("POST", "/predict", json=TRIP).json()
    assert trip["minutes"] == trip["prediction"]
    (same,) = several.ask("POST", "/trips/green/predict", json=TRIP).json()
    assert same["prediction"] == trip["prediction"]
    refused = several.ask("POST", "/flights/predict", json=TRIP)
    assert refused.status_code == 422
    assert "pickup_zone" in refused.text
    told = several.ask(
        "POST", "/flights/invocations", json={"dataframe_records": [FLIGHT, FLIGHT]}
    ).json()
    assert len(told["predictions"]) == 2
    assert told["unit"] == "min"


def test_the_same_row_from_every_entrance(several: Several, dataset: Dataset) -> None:
    """As JSON, as MLflow's protocol, as CSV and as rows of a file: the same prediction."""
    (one,) = several.ask("POST", "/flights/predict", json={**FLIGHT, "moment": "departed"}).json()
    text = f"{','.join(FLIGHT)}\n{','.join(map(str, FLIGHT.values()))}\n"
    headers = {"content-type": "text/csv", "x-moment": "departed"}
    csv = several.ask("POST", "/flights/invocations", content=text, headers=headers).json()
    assert csv["predictions"] == [one["prediction"]]
    columns = dataset.recipe("departed").columns
    checked = check_rows(dataset, pd.DataFrame([FLIGHT]).astype(str), columns)
    assert checked.reasons.tolist() == [None]
    model = fitted(dataset, "departed", "sparse")
    assert model.predict(checked.rows)[0] == pytest.approx(one["prediction"])


def test_a_dataset_that_cannot_be_asked_takes_down_no_other(several: Several) -> None:
    """A broken file answers 503 with its reason, no champion 503, and what is not served 404."""
    broken = several.ask("POST", "/broken/predict", json={})
    assert broken.status_code == 503
    assert broken.json()["error"]["rule"] == "has no target"
    assert several.ask("POST", "/nothing/predict", json={}).status_code == 404
    several.registry.standing = dict.fromkeys(("planned", "departed"), Deployment())
    several.live.refresh()
    empty = several.ask("POST", "/flights/predict", json=FLIGHT)
    assert empty.status_code == 503
    assert "no champion" in empty.text
    assert several.ask("GET", "/flights/readyz").status_code == 503
    assert several.ask("GET", "/readyz").status_code == 200
    assert several.ask("POST", "/predict", json=TRIP).status_code == 200


def test_tokens_are_held_to_their_datasets(several: Several) -> None:
    """By exact names; one without any may ask all."""
    allowed = {"flights": (200, 403), "trips": (403, 200), "green": (403, 200)}
    for name, statuses in allowed.items():
        secret = several.server.tokens.add(name, 0, datasets=[name])
        asked = (("/flights/predict", FLIGHT), ("/predict", TRIP))
        found = [several.ask("POST", path, json=body, secret=secret) for path, body in asked]
        assert tuple(one.status_code for one in found) == statuses, name
    secret = several.server.tokens.add("near", 0, datasets=["flight"])
    assert several.ask("POST", "/flights/predict", json=FLIGHT, secret=secret).status_code == 403


def test_a_token_reaches_nothing_of_another_dataset(several: Several) -> None:
    """By no route, by no other spelling of a path, and by no id of a prediction."""
    (flight,) = several.ask("POST", "/flights/predict", json=FLIGHT).json()
    (trip,) = several.ask("POST", "/predict", json=TRIP).json()
    assert several.server.log.flush(5.0)
    own, other = flight["prediction_id"], trip["prediction_id"]
    secret = several.server.tokens.add("flights", 0, datasets=["flights"])

    def ask(method: str, path: str, **more: Any) -> int:
        return several.ask(method, path, secret=secret, **more).status_code

    for begin in ("", "/trips/green", "/broken"):
        assert ask("POST", f"{begin}/predict", json=TRIP) == 403, begin
    for begin in ("", "/trips/green"):
        assert ask("POST", f"{begin}/invocations", json={"inputs": [TRIP]}) == 403
        noted = {"prediction_id": other, "actual": 5.0}
        assert ask("POST", f"{begin}/feedback", json=noted) == 403
        for path in (f"/predictions/{other}", "/models", "/ab_report"):
            assert ask("GET", f"{begin}{path}") == 403, path
    assert ask("GET", "/trips/green/readyz") == 403
    assert ask("GET", "/metrics") == 403
    for path in (
        *("/flights/../predict", "//predict", "/predict/", "/Predict", "/flights//predict"),
        *("/flights/../trips/green/predict", "/flights/%2e%2e/predict", "/flights;/predict"),
        *("/trips//green/predict", "/trips/predict", "/flights/flights/predict", "/predict%00"),
    ):
        assert ask("POST", path, json=TRIP) in {403, 404}, path
    # Below its own path, too, the others' predictions are not there.
    assert ask("GET", f"/flights/predictions/{other}") == 404
    assert ask("POST", "/flights/feedback", json={"prediction_id": other, "actual": 5.0}) == 404
    both = [{"prediction_id": one, "actual": 5.0} for one in (own, other)]
    assert ask("POST", "/flights/feedback", json=both) == 404
    assert several.ask("GET", f"/predictions/{other}").json()["actual_minutes"] is None
    assert ask("GET", f"/flights/predictions/{own}") == 200
    assert ask("POST", "/flights/feedback", json={"prediction_id": own, "actual": 5.0}) == 200


def test_a_token_is_told_of_its_own_datasets_alone(several: Several) -> None:
    """The description has no field of another one; without a limit it has all."""
    secret = several.server.tokens.add("flights", 0, datasets=["flights"])
    document = several.ask("GET", "/openapi.json", secret=secret).json()
    assert {path.split("/")[1] for path in document["paths"]} == {
        *("flights", "healthz", "metrics", "docs", "openapi.json"),
    }
    schemas = document["components"]["schemas"]
    assert "FlightsRow" in schemas
    assert "pickup_zone" not in json.dumps(document)
    page = several.ask("GET", "/docs", secret=secret).text
    assert ("/flights/predict" in page, "pickup_zone" in page) == (True, False)
    assert "pickup_zone" in several.ask("GET", "/docs").text


@pytest.mark.parametrize(
    "name", ["predict", "predictions", "docs", "healthz", "metrics", "models", "trips", "dashboard"]
)
def test_a_dataset_may_have_the_name_of_a_route(several: Several, name: str) -> None:
    """It answers below its path, and the route answers as before."""
    server = several.server
    service = PredictionService("flights", several.live, server.log, server.service.metrics)
    known = TokenIndex(server.tokens, rate=1_000, served={"trips", "green", "flights"})
    server.app = create_app(
        server.service,
        BearerTokens(known, refresh_seconds=0),
        max_bytes=200_000,
        max_rows=500,
        others={f"/{name}": service, "/trips/green": server.service},
    )
    (flight,) = several.ask("POST", f"/{name}/predict", json=FLIGHT).json()
    assert flight["unit"] == "min"
    (trip,) = several.ask("POST", "/predict", json=TRIP).json()
    assert (
        trip["minutes"]
        == several.ask("POST", "/trips/green/predict", json=TRIP).json()[0]["minutes"]
    )
    assert server.log.flush(5.0)
    for begin, one in ((f"/{name}", flight), ("", trip)):
        found = several.ask("GET", f"{begin}/predictions/{one['prediction_id']}")
        assert found.json()["prediction"] == one["prediction"], begin
        assert several.ask("GET", f"{begin}/models").json()["service"] == found.json()["service"]
    for path in ("/docs", "/metrics", "/openapi.json", "/healthz"):
        assert several.ask("GET", path).status_code == 200, path


def test_the_description_names_each_datasets_fields(several: Several) -> None:
    """Schemas, units and labels of both; operations have names of their own."""
    document = several.ask("GET", "/openapi.json").json()
    schemas = document["components"]["schemas"]
    carrier = schemas["FlightsRow"]["properties"]["carrier"]
    assert (carrier["title"], carrier["anyOf"]) == (
        "Airline",
        [{"type": "string", "minLength": 1}],
    )
    assert schemas["FlightsRow"]["properties"]["distance"]["x-unit"] == "mi"
    assert "minutes" in schemas["Answer"]["properties"]
    assert "minutes" not in schemas["FlightsAnswer"]["properties"]
    assert "actual" in schemas["FlightsFeedback"]["properties"]
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert {"predict", "flights_predict"} <= {*names}


def test_client_code_asks_with_the_fields_of_its_dataset(dataset: Dataset) -> None:
    """And below its path."""
    code = request_code("curl", "http://server/flights", example_row(dataset))
    assert "http://server/flights/predict" in code
    assert '"carrier"' in code


def test_the_log_keeps_what_each_was_asked(several: Several, tmp_path: Path) -> None:
    """Found by id with fields of their own, with feedback, and as files with types."""
    (flight,) = several.ask("POST", "/flights/predict", json=FLIGHT).json()
    (trip,) = several.ask("POST", "/predict", json=TRIP).json()
    identifier = flight["prediction_id"]
    noted = several.ask(
        "POST", "/flights/feedback", json={"prediction_id": identifier, "actual": -3.5}
    )
    assert noted.status_code == 200, noted.text
    found = several.ask("GET", f"/flights/predictions/{identifier}").json()
    assert (found["carrier"], found["flight"], found["weekend"]) == ("EV", "12", 0)
    assert (found["service"], found["actual"], found["unit"]) == ("flights", -3.5, "min")
    assert "pickup_zone" not in found
    other = several.ask("GET", f"/predictions/{trip['prediction_id']}").json()
    assert (other["pickup_zone"], other["trip_distance"]) == (74, 1.5)
    dataset = several.registry.dataset
    (file,) = export_log(several.server.log.engine, tmp_path / "export", None, dataset)
    frame = pd.read_parquet(file)
    assert frame["carrier"].tolist() == ["EV"]
    assert frame["time_hour"].tolist() == [pd.Timestamp("2013-03-01 05:00")]
    assert frame["weekend"].dtype == "boolean"
    assert frame["actual"].tolist() == [-3.5]


def test_a_log_of_before_is_brought_up_to_date(tmp_path: Path) -> None:
    """Old predictions are read, and inputs of other datasets get a column."""
    with sqlite3.connect(tmp_path / "requests.db") as database:
        database.executescript(OLD_LOG)
    for _ in range(2):
        engine = open_log("", tmp_path)
        names = {column["name"] for column in inspect(engine).get_columns(predictions.name)}
        assert "inputs" in names
    (file,) = export_log(engine, tmp_path / "export", dt.date(2024, 3, 1))
    frame = pd.read_parquet(file)
    assert frame["pickup_zone"].tolist() == [239]
    assert frame["prediction"].tolist() == [11.5]


def test_the_setting_lists_what_is_served(tmp_path: Path, dataset: Dataset) -> None:
    """Exactly the listed names; an unknown name answers with its error."""
    changes = {
        "serving_folder": tmp_path,
        "tracking_uri": "http://127.0.0.1:9",
        "serving_variants": "flights, nobody",
    }
    settings = get_settings().model_copy(update=changes)
    services = make_services(settings, small=True)
    assert services.others.keys() == {"/flights", "/nobody"}
    assert isinstance(services.others["/nobody"], InvalidInputError)
    assert services.names == {"trips", settings.variant, dataset.name}
    everything = make_services(
        settings.model_copy(update={"serving_variants": "", "serving_folder": tmp_path / "all"}),
        small=True,
    )
    assert {"/flights", "/trips/green", "/trips/yellow"} <= everything.others.keys()

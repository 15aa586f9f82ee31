"""A version answers by the declaration that it was trained on, whatever its file says later."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select
from tests.commands import run_command
from tests.compilers import compile_in_fork
from tests.servers import tracking_database

from model_loop.datasets import registry
from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.registry import dataset_of_variant
from model_loop.datasets.stored import dataset_of_text
from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.models.gate_rules import GateRules
from model_loop.models.search import SearchRequest
from model_loop.monitoring.labels import add_labels, read_labels
from model_loop.monitoring.windows import Window, read_request_log
from model_loop.pipeline.run import Places, RunRequest, run_table
from model_loop.serving.http.app import create_app
from model_loop.serving.http.bearer import BearerTokens
from model_loop.serving.http.server import Services, make_services
from model_loop.serving.http.tokens import TokenFile, TokenIndex
from model_loop.serving.models import registry as model_registry
from model_loop.serving.request_log.export import read_day
from model_loop.serving.request_log.tables import declarations, predictions
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.challengers import judge_version
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import load_registered
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trained import dataset_of_version

OLD = """
name = "rooms"
target = "rent"
source = "rooms.csv"
missing_values = ["", "none"]
primary_key = ["number"]
label_keys = ["offered_at", "street"]
[time]
column = "offered_at"
stored_in = "UTC"
time_zone = "Europe/Paris"
[task]
unit = "EUR"
[columns.number]
type = "id"
[columns.size]
type = "number"
unit = "m2"
decimal_char = ","
[columns.floor]
type = "number"
[columns.street]
type = "category"
"""
#: The same table in other words: unit, clocks, a name, a type, missing words, decimal signs.
NEW = (
    OLD.replace('"EUR"', '"CHF"')
    .replace('label_keys = ["offered_at", "street"]', 'label_keys = ["offered_at", "floor"]')
    .replace("Europe/Paris", "America/New_York")
    .replace('missing_values = ["", "none"]', 'missing_values = ["", "?"]')
    .replace("[columns.size]", '[columns.area]\naliases = ["room_size"]')
    .replace('decimal_char = ","', 'decimal_char = "."')
    .replace('[columns.floor]\ntype = "number"', '[columns.floor]\ntype = "category"')
)
#: As each of the declarations reads it.
OLD_ROW = {"offered_at": "2024-02-05T23:00:00", "size": "80,5", "floor": "none", "street": "Nord"}
NEW_ROW = {"offered_at": "2024-02-05T23:00:00", "area": "80.5", "floor": "?", "street": "Nord"}


def write_rooms(folder: Path, *, new: bool) -> None:
    """Write rents that depend on the size and on the hour of Paris."""
    random = np.random.default_rng(7)
    rows = 500
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.integers(0, 1_800, rows)), "h")
    size, street = random.uniform(20, 120, rows).round(1), random.choice(["Nord", "Sud"], rows)
    floor = random.integers(0, 6, rows).astype(float)
    hour = np.asarray(at.tz_localize("UTC").tz_convert("Europe/Paris").hour)
    rent = 9 * size + 20 * hour + 150 * (street == "Sud") + random.normal(0, 5, rows)
    table = pd.DataFrame(
        {
            "number": np.arange(rows),
            "offered_at": at.strftime("%Y-%m-%dT%H:%M:%S"),
            ("area" if new else "size"): size,
            "floor": np.where(floor == 5, np.nan, floor),
            "street": street,
            "rent": rent.round(2),
        }
    )
    word, decimal = ("?", ".") if new else ("none", ",")
    table.to_csv(folder / "rooms.csv", index=False, sep=";", decimal=decimal, na_rep=word)


class Rooms:
    """A store with a champion of the old declaration, and a version of the new one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.datasets = folder, folder / "datasets"
        self.datasets.mkdir()
        self.file = self.datasets / "rooms.toml"
        uri = tracking_database(folder / "mlflow.db")
        self.places = Places(f"file://{folder}/store", uri, "tests")
        self.train(OLD, promote=True)
        self.train(NEW, promote=False)
        self.file.write_text(NEW)

    def train(self, text: str, *, promote: bool) -> dict[str, Any]:
        """Train a version of a declaration, as `model-loop run` does."""
        write_rooms(self.folder, new=text is NEW)
        self.file.write_text(text.replace("rooms.csv", f"{self.folder}/rooms.csv"))
        request = RunRequest(
            families=("linear_model.LinearRegression",),
            search=SearchRequest(max_evaluations=1),
            promote=promote,
        )
        return run_table(read_declaration(self.file), self.datasets, request, self.places)

    def promoter(self) -> Promoter:
        """Return what moves its versions."""
        return Promoter(Tracker(self.places.tracking_uri, "tests-promotion"), "rooms", "request")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Rooms:
    """The store, made once."""
    folder = tmp_path_factory.mktemp("rooms")
    (folder / "artifacts").mkdir()
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_given", {})
        patch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(folder / "datasets"))
        patch.chdir(folder)
        get_settings.cache_clear()
        made = Rooms(folder)
    assert Path.cwd() == before
    return made


class Asked:
    """A server of the store, in this process; its models are compiled by others."""

    def __init__(self, services: Services, tokens: TokenFile) -> None:
        self.services = services
        self.secret = tokens.add("tests", rate=0)
        known = TokenIndex(tokens, rate=1_000, served=services.names)
        self.app = create_app(
            services.default,
            BearerTokens(known, refresh_seconds=0),
            max_bytes=100_000,
            max_rows=100,
            others=services.others,
        )
        self.refresh()

    def refresh(self) -> None:
        """Look at the registry, and load what it names."""
        self.services.default.start()
        self.services.default.live.refresh()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send one request."""
        headers = {"Authorization": f"Bearer {self.secret}", **more.pop("headers", {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://tests") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(send())

    def predict(self, row: object) -> dict[str, Any]:
        """Return the answer to a row that has to be read."""
        response = self.ask("POST", "/predict", json=row)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()[0]
        return answer

    def logged(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return what the log holds of an answer."""
        response = self.ask("GET", f"/predictions/{answer['prediction_id']}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def unread(self) -> str:
        """Return the lines of the metrics that count what could not be read."""
        lines = self.ask("GET", "/metrics").text.splitlines()
        return "\n".join(x for x in lines if x.startswith("model_loop_unread_total"))


@pytest.fixture
def asked(trained: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """A server whose champion is the version of the old declaration; the file is the new one."""
    monkeypatch.setattr(registry, "_given", {})
    monkeypatch.setattr(model_registry, "_compile", compile_in_fork)
    monkeypatch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(trained.datasets))
    monkeypatch.setenv("MODEL_LOOP_VARIANT", "rooms")
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", trained.places.tracking_uri)
    monkeypatch.setenv("MODEL_LOOP_SERVING_FOLDER", str(tmp_path / "serving"))
    monkeypatch.setenv("MODEL_LOOP_SERVING_VARIANTS", "rooms")
    monkeypatch.setenv("MODEL_LOOP_REQUEST_LOG_FLUSH_SECONDS", "0.02")
    get_settings.cache_clear()
    settings = get_settings()
    made = Asked(make_services(settings), TokenFile(tmp_path / "tokens.json"))
    yield made
    made.services.stop()
    trained.file.write_text(NEW)
    promoter = trained.promoter()
    if promoter.standing().challenger is not None:
        promoter.act(Action("end_canary", "rooms"), f"tests/end canary {tmp_path}")
    if promoter.standing().shadow is not None:
        promoter.act(Action("end_shadow", "rooms"), f"tests/end shadow {tmp_path}")


def said(trained: Rooms, version: int, at: str) -> float:
    """Return what a version says of the row, at a time on its clocks."""
    names = {1: "size", 2: "area"}
    loaded = load_registered(Tracker(trained.places.tracking_uri, "tests"), "rooms", version)
    seconds = (pd.Timestamp(at) - pd.Timestamp(0)).total_seconds()
    row = {"offered_at": seconds, names[version]: 80.5, "floor": np.nan, "street": "Nord"}
    frame = pd.DataFrame([row]).astype({} if version == 1 else {"floor": object})
    return float(loaded.model.predict(frame[list(loaded.inputs)])[0])


def test_the_champion_reads_and_answers_as_it_was_trained(trained: Rooms, asked: Asked) -> None:
    """Names, numbers, missing words, clocks and the unit: in answers, descriptions and the log."""
    answer = asked.predict(OLD_ROW)
    # At 23 in UTC it is midnight in Paris, and 18 in New York.
    assert answer["prediction"] == pytest.approx(said(trained, 1, "2024-02-06T00:00:00"))
    assert answer["prediction"] != pytest.approx(said(trained, 1, "2024-02-05T18:00:00"))
    assert (answer["unit"], answer["model_version"]) == ("EUR", 1)
    refused = asked.ask("POST", "/predict", json=NEW_ROW)
    assert refused.status_code == 422
    assert "area" in refused.text
    document = asked.ask("GET", "/openapi.json").json()["components"]["schemas"]
    assert {"size", "floor"} <= document["Row"]["properties"].keys()
    assert "area" not in document["Row"]["properties"]
    invoked = asked.ask("POST", "/invocations", json={"dataframe_records": [OLD_ROW]}).json()
    assert (invoked["predictions"], invoked["unit"]) == ([answer["prediction"]], "EUR")
    found = asked.logged(answer)
    assert (found["size"], found["street"], found["unit"]) == (80.5, "Nord", "EUR")
    (version,) = asked.ask("GET", "/models").json()["versions"]
    assert version["declaration"] == found["declaration"] != ""


NOW, DAY = dt.datetime.now(dt.UTC), dt.timedelta(days=1)


def logged_declarations(asked: Asked) -> list[str]:
    """Return the declarations that the log keeps."""
    with asked.services.default.log.engine.connect() as connection:
        return [*connection.scalars(select(declarations.c.text))]


def both_read(at: str = "2024-02-05T23:00:00") -> dict[str, Any]:
    """Return a row that both declarations read, each by a name of its own."""
    return {"offered_at": at, "floor": "2", "street": "Nord"}


def test_a_challenger_of_another_declaration_reads_for_itself(trained: Rooms, asked: Asked) -> None:
    """Where it cannot, the champion answers, and the request is counted."""
    canary = Action("canary", "rooms", 2, share=1.0)
    trained.promoter().act(canary, f"tests/canary {asked.secret}")
    asked.refresh()
    assert asked.predict(OLD_ROW)["model_version"] == 1
    assert 'part="challenger",variant="rooms",version="2"} 1.0' in asked.unread()
    # A row without the column that has two names is read by both.
    answer = asked.predict(both_read())
    assert (answer["model_version"], answer["unit"]) == (2, "CHF")
    found = asked.logged(answer)
    assert (found["unit"], found["floor"]) == ("CHF", "2")
    # The hour of the log is that of New York for one, and of Paris for the other.
    ours = asked.logged(asked.predict(OLD_ROW))
    assert ours["offered_at"] - found["offered_at"] == 6 * 3_600
    frame = read_day(asked.services.default.log.engine, pd.Timestamp.now("UTC").date())
    assert sorted(frame["unit"]) == ["CHF", "EUR", "EUR"]
    # Monitoring of either sees all rows in its own columns and on its own clocks.
    (text,) = (each for each in logged_declarations(asked) if '"EUR"' in each)
    window = Window.of_days("rooms", NOW - DAY, NOW + DAY)
    rows = read_request_log(
        asked.services.default.log.engine, replace(window, trained=dataset_of_text(text))
    )
    assert rows.dataset.target.unit == "EUR"
    assert [*rows.rows] == ["offered_at", "size", "floor", "street"]
    assert set(rows.rows["offered_at"]) == {pd.Timestamp("2024-02-06")}
    # A column of another name, or type, is unknown.
    assert rows.of_version(2).rows[["size", "floor"]].isna().all(axis=None)
    assert rows.of_version(1).rows["size"].tolist() == [80.5, 80.5]


def test_labels_match_by_the_keys_of_the_version(asked: Asked, tmp_path: Path) -> None:
    """Those of the present declaration are not in the file, and were not asked."""
    answer = asked.predict(OLD_ROW)
    assert asked.services.default.log.flush(5)
    file = tmp_path / "labels.csv"
    file.write_text("offered_at;street;rent\n2024-02-05T23:00:00;Nord;711,5\n")
    engine = asked.services.default.log.engine
    read = functools.partial(read_labels, [str(file)])
    report = add_labels(engine, "rooms", read, NOW - DAY, "tests")
    assert (report.predictions, report.matched) == (1, 1)
    assert asked.logged(answer)["actual"] == 711.5
    with pytest.raises(InvalidInputError, match="lack floor"):
        read(dataset_of_variant("rooms"))


def test_a_shadow_of_another_declaration_reads_for_itself(trained: Rooms, asked: Asked) -> None:
    """Requests that it cannot read are counted, and answered."""
    trained.promoter().act(Action("shadow", "rooms", 2), f"tests/shadow {asked.secret}")
    asked.refresh()
    unread = asked.predict(OLD_ROW)
    read = asked.predict(both_read())
    assert {unread["model_version"], read["model_version"]} == {1}
    assert 'part="shadow",variant="rooms",version="2"} 1.0' in asked.unread()
    found: dict[str, Any] = {}
    deadline = time.monotonic() + 120
    # The process that writes the log makes the shadow ready beside it.
    while found.get("shadow_version") is None and time.monotonic() < deadline:
        found = asked.logged(asked.predict(both_read()))
        time.sleep(0.2)
    assert found["shadow_version"] == 2
    assert asked.logged(unread)["shadow_version"] is None


def test_a_promoted_version_answers_by_its_own(trained: Rooms, asked: Asked) -> None:
    """With the new unit from then on; what was answered before keeps the old one."""
    before = asked.predict(OLD_ROW)
    promoter = trained.promoter()
    promoter.act(Action("promote", "rooms", 2), f"tests/promote {asked.secret}")
    asked.refresh()
    after = asked.predict(NEW_ROW)
    assert (after["unit"], after["model_version"]) == ("CHF", 2)
    assert after["prediction"] == pytest.approx(said(trained, 2, "2024-02-05T18:00:00"))
    assert "area" in asked.ask("GET", "/openapi.json").text
    assert asked.logged(before)["unit"] == "EUR"
    engine = asked.services.default.log.engine
    assert len(logged_declarations(asked)) == 2
    with engine.connect() as connection:
        logged = [*connection.scalars(select(predictions.c.declaration).distinct())]
    assert len(logged) == 2
    promoter.act(Action("promote", "rooms", 1), f"tests/back {asked.secret}")


@pytest.mark.parametrize("content", ["name = [", None])
def test_the_champion_answers_without_its_file(
    trained: Rooms,
    asked: Asked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
) -> None:
    """A server that runs, one that is started then, and the commands; each says what is wrong."""
    if content is None:
        trained.file.unlink()
    else:
        trained.file.write_text(content)
    answer = asked.predict(OLD_ROW)
    said_of = asked.ask("GET", "/models").json()["declaration_problem"]
    assert str(trained.file) in said_of
    monkeypatch.setenv("MODEL_LOOP_SERVING_FOLDER", str(tmp_path / "another"))
    get_settings.cache_clear()
    another = Asked(make_services(get_settings()), TokenFile(tmp_path / "others.json"))
    try:
        again = another.predict(OLD_ROW)
        assert (again["prediction"], again["unit"]) == (answer["prediction"], "EUR")
        assert str(trained.file) in another.ask("GET", "/models").json()["declaration_problem"]
    finally:
        another.services.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_given", {})
        assert "rooms" not in registry.variants()


def test_commands_and_files_are_read_as_the_champion_reads(
    trained: Rooms, asked: Asked, tmp_path: Path
) -> None:
    """`predict` and `score` give what the server gives, also where the file is gone."""
    environment = {
        **os.environ,
        "MODEL_LOOP_DATASETS_FOLDER": str(trained.datasets),
        "MODEL_LOOP_TRACKING_URI": trained.places.tracking_uri,
    }
    answer = asked.predict(OLD_ROW)
    trained.file.unlink()
    values = [f"{name}={value}" for name, value in OLD_ROW.items()]
    done = run_command(
        "predict", "rooms", *values, "--json", folder=tmp_path, environment=environment
    )
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["predictions"]
    assert (told["prediction"], told["unit"]) == (answer["prediction"], "EUR")
    pd.DataFrame([OLD_ROW]).to_csv(tmp_path / "asked.csv", index=False, sep=";")
    scored = run_command(
        *("score", str(tmp_path / "asked.csv"), "--variant", "rooms", "--json"),
        *("--storage", f"file://{tmp_path}/scored"),
        folder=tmp_path,
        environment=environment,
    )
    assert scored.returncode == 0, scored.stderr
    (file,) = json.loads(scored.stdout)["files"]
    assert pd.read_csv(file["output"], sep=";")["unit"].tolist() == ["EUR"]


@pytest.mark.usefixtures("asked")
def test_the_gate_compares_no_two_declarations(trained: Rooms) -> None:
    """The verdict names the difference, and a person decides."""
    verdict = judge_version(
        trained.promoter(),
        2,
        GateRules(),
        storage_root=trained.places.storage_root,
        timeout_seconds=10,
    )
    assert not verdict.passed
    (check,) = (each for each in verdict.checks if not each.passed)
    assert check.name == "declaration"
    for words in ("rent EUR, not rent CHF", "size, which is no column", "floor as number", "Paris"):
        assert words in check.found


def test_a_champion_of_a_renamed_moment_answers(trained: Rooms, asked: Asked) -> None:
    """At the last one of the present declaration: it has columns that are unknown there."""
    trained.file.write_text(f'moments = ["offered", "let"]\n{NEW}')
    made = make_services(get_settings())
    made.default.live.refresh()
    assert [*made.default.live.now.answering] == ["let"]
    made.stop()
    assert asked.predict(OLD_ROW)["moment"] == "request"


@pytest.mark.usefixtures("asked")
def test_a_version_of_before_is_read_by_the_present_declaration(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the log says so; what is stored and damaged is refused."""
    assert dataset_of_version("rooms", 7, "") is dataset_of_variant("rooms")
    assert "Version 7 of rooms was registered without the declaration" in caplog.text
    with pytest.raises(StoredObjectError, match="A stored declaration"):
        dataset_of_version("rooms", 7, '{"format": "declaration/1", "name": 3}')

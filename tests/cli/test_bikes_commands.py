"""Every command of the loop on bikes: trained, scored, served, labelled, watched, made again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pandas as pd
import pytest
import requests
from tests.bikes import LAST, ROWS, Bikes

SEARCH = ("--model", "linear_model.LinearRegression", "--max-evaluations", "1")


@pytest.fixture(scope="module")
def bikes(tmp_path_factory: pytest.TempPathFactory) -> Bikes:
    """Half a year of bikes with a champion."""
    made = Bikes(tmp_path_factory.mktemp("bikes"))
    (run,) = made.read("run", "bikes", "--models", "xgboost", "--evaluations", "1")["runs"]
    assert run["champion"] == 1
    return made


@pytest.fixture(scope="module")
def token(bikes: Bikes) -> str:
    """A token of the server."""
    return bikes.run("tokens", "add", "tests", "--rate", "0").strip()


@pytest.fixture(scope="module")
def served(bikes: Bikes, token: str) -> Iterator[requests.Session]:
    """A session with the server of the command."""
    with bikes.serving(), requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


def test_training_sets_are_kept_listed_and_pruned(bikes: Bikes) -> None:
    """Each command shows the same training set, for people and for programs."""
    prepared = bikes.read("prepare", "--keep")
    assert sum(prepared["rows"][part] for part in ("all", "test")) == len(bikes.table)
    assert str(prepared["rows"]["test"]) in bikes.run("prepare").replace(",", "")
    listed = bikes.read("products", "list")["products"]
    kept = [each for each in listed if each["digest"] == prepared["digest"]]
    assert {each["service"] for each in listed} == {"bikes"}
    key = kept[0]["key"]
    assert bikes.read("products", "show", key)["rows"] == prepared["rows"]
    assert "bikes_hourly.csv.gz" in bikes.run("products", "show", key)
    assert key[:8] in bikes.run("products", "list")
    assert bikes.read("products", "prune")["training_sets"] == []


def test_a_model_is_tuned_trained_and_made_again(bikes: Bikes) -> None:
    """Without a server: the errors of a search, of its model, and those of the champion again."""
    (tuned,) = bikes.read("tune", *SEARCH)["families"]
    (trained,) = bikes.read("train", *SEARCH, "--output", str(bikes.folder / "models"))["families"]
    assert trained["validation_rmse"] == tuned["validation_rmse"]
    assert any((bikes.folder / "models").iterdir())
    again = bikes.read("reproduce", "1")
    assert again["agrees"]
    assert "test_rmse" in bikes.run("reproduce", "1")


def test_a_row_has_one_answer_from_every_entrance(bikes: Bikes, served: requests.Session) -> None:
    """The command, a file, a request and the protocol of MLflow."""
    bikes.run("score", "asked.csv")
    scored = pd.read_csv(bikes.folder / "asked.predictions.csv")["prediction"]
    rows = bikes.asked.to_dict(orient="records")
    answers = served.post(f"{bikes.url}/predict", json={"inputs": rows}).json()
    assert [each["prediction"] for each in answers] == pytest.approx(scored.tolist())
    assert {(each["unit"], each["model_version"]) for each in answers} == {("rentals", 1)}
    theirs = {"dataframe_records": rows}
    invoked = served.post(f"{bikes.url}/invocations", json=theirs).json()["predictions"]
    assert invoked == pytest.approx(scored.tolist())
    given = [f"{name}={value}" for name, value in rows[0].items()]
    assert bikes.read("predict", "bikes", *given)["predictions"][0]["prediction"] == pytest.approx(
        scored[0]
    )
    for path in ("healthz", "docs", "openapi.json", "metrics", "models"):
        assert served.get(f"{bikes.url}/{path}").ok, path
    refused = served.post(f"{bikes.url}/predict", json={"hr": "never"})
    assert refused.status_code == 422
    assert "hr" in refused.text


def test_what_was_asked_is_labelled_and_compared(bikes: Bikes, served: requests.Session) -> None:
    """Labels of a file, of the request itself, and the report of the champion."""
    rows = bikes.asked.to_dict(orient="records")
    answers = served.post(f"{bikes.url}/predict", json={"inputs": rows}).json()
    ids = [each["prediction_id"] for each in answers]
    path = f"{bikes.url}/predictions/{ids[0]}"
    deadline = time.monotonic() + 60
    while served.get(path).status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    feedback = {"prediction_id": ids[0], "actual": 12.0}
    assert served.post(f"{bikes.url}/feedback", json=feedback).ok
    actual = bikes.table.tail(ROWS)["cnt"].tolist()
    labels = pd.DataFrame({"prediction_id": ids[1:], "cnt": actual[1:]})
    labels.to_csv(bikes.folder / "labels.csv", index=False)
    assert bikes.read("labels", "add", "labels.csv")["labels.csv"]["matched"] == ROWS - 1
    report = bikes.read("ab-report")
    assert str(ROWS) in json.dumps(report)
    assert "MAE" in bikes.run("ab-report")
    bikes.run("export-requests", "exported")
    exported = pd.read_parquet(bikes.folder / "exported")
    assert set(ids) <= set(exported["prediction_id"].astype(str))


def test_a_version_is_moved_and_watched(bikes: Bikes) -> None:
    """Half a year later, the weather has moved away from what it has learned from."""
    bikes.run("profile-version")
    findings = json.dumps(bikes.read("monitor", "--partition", LAST, code=1))
    assert LAST in findings
    assert LAST in bikes.run("monitor", "--partition", LAST, code=1)
    bikes.run("traffic", "shadow", "1", code=2)
    bikes.run("traffic", "disable", "--why", "a trial")
    bikes.run("traffic", "enable")


def test_tokens_come_and_go(bikes: Bikes) -> None:
    """A token may be held to the table; one that was revoked is gone."""
    bikes.run("tokens", "add", "guest", "--datasets", "bikes")
    assert {"guest"} <= {each["name"] for each in bikes.read("tokens", "list")["tokens"]}
    bikes.run("tokens", "revoke", "guest")
    assert "guest" not in bikes.run("tokens", "list")


@pytest.mark.parametrize("language", ["curl", "python", "javascript"])
def test_client_code_asks_for_a_row_of_the_table(bikes: Bikes, language: str) -> None:
    """With the fields of the table."""
    code = bikes.run("client-code", language)
    assert "dteday" in code
    assert "pickup" not in code

"""The command `model-loop run`: from a file to a champion, without any server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from tests.commands import run_command

DECLARATION = """
name = "rents"
target = "rent"
source = "rents.csv"
[task]
unit = "EUR"
[columns.number]
type = "id"
"""

#: Rows by time, of which the last ones judge.
SEEN = """
[columns.seen]
type = "time"
known = "later"
[time]
column = "seen"
[split]
time_on = "seen"
"""


def write_rents(path: Path) -> None:
    """Write a table of 600 rows."""
    rng = np.random.default_rng(3)
    size, district = rng.uniform(20, 120, 600).round(1), rng.choice(["N", "S", "W"], 600)
    rent = (9 * size + 150 * (district == "W") + rng.normal(0, 40, 600)).round(0)
    table = pd.DataFrame({"number": range(600), "size": size, "district": district, "rent": rent})
    table.loc[[5, 17], "rent"] = np.nan
    table.to_csv(path, index=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the table, and its declaration."""
    write_rents(tmp_path / "rents.csv")
    (tmp_path / "rents.toml").write_text(DECLARATION)
    return tmp_path


class Stopped(BaseHTTPRequestHandler):
    """A tracking server that says it is there, and answers nothing else."""

    def do_GET(self) -> None:
        """Answer whether it is there."""
        if self.path == "/health":
            self.send_response(200)
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port, and yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def run(folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command with one quick family, where no tracking server answers."""
    arguments = ["run", "rents.toml", "--models", "linear_model.LinearRegression"]
    if "--evaluations" not in options:
        arguments += ["--evaluations", "2"]
    arguments += options
    environment = {**os.environ, "MODEL_LOOP_TRACKING_URI": "http://127.0.0.1:9", **settings}
    return run_command(*arguments, folder=folder, environment=environment)


def test_from_a_file_to_a_champion(folder: Path) -> None:
    """The model beats every rule, becomes champion, and a second run makes nothing again."""
    done = run(folder, "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    (only,) = first["runs"]
    assert only["champion"] == 1
    assert only["set_aside"] == {"no target": 2}
    assert sum(only["rows"].values()) == 598
    assert only["columns"] == ["size", "district"]
    best = only["families"][0]["test_rmse"]
    assert all(best < rule["test_rmse"] for rule in only["compared_with"].values())
    # On the rows that chose the models, for people to compare.
    assert all(rule["validation_rmse"] > 0 for rule in only["compared_with"].values())
    assert first["tracking_uri"].startswith(f"sqlite:///{folder}")
    client = MlflowClient(first["tracking_uri"])
    ids = [each.experiment_id for each in client.search_experiments()]
    (partition,) = client.search_runs(ids, "tags.pipeline = 'months'")
    assert partition.data.tags["partition"] == "rents|whole"
    assert partition.data.metrics["rows"] == 600
    (again,) = json.loads(run(folder, "--json").stdout)["runs"]
    assert again["families"] == only["families"]
    assert again["run_id"] == only["run_id"]
    assert again["champion"] == 1


def test_the_last_screen_says_how_to_ask(folder: Path) -> None:
    """Errors beside those of rules, the split, rows set aside, the unit, and the next command."""
    screen = run(folder).stdout
    for words in (
        "linear_model.LinearRegression is off by",
        "less than the best rule without a model, mean by size",
        "EUR",
        "2 (no target)",
        "median of all rows",
        "version 1",
        "model-loop predict rents size=",
        "model-loop serve",
    ):
        assert words in screen
    begin = screen.index("model or rule")
    table = screen[begin : screen.index("\n\n", begin)]
    assert max(map(len, table.splitlines())) <= 80


def test_a_tracking_server_that_stops_is_named_with_what_to_do(folder: Path) -> None:
    """It answers at first, and nothing that follows."""
    with served(Stopped) as address:
        done = run(folder, MODEL_LOOP_TRACKING_URI=address, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.returncode == 2
    assert f"The tracking server {address} did not answer" in done.stderr
    assert "repeat the command" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--models", "linear_model.Lasoo"), "Choose one of"),
        (("--evaluations", "0"), "Error: evaluations = 0 is out of bounds"),
        (("--recipe", "planned"), "Recipe 'planned' is unknown"),
        (("--partition", "2024-01"), "is not cut"),
    ],
)
def test_options_that_fit_nothing_are_refused(
    folder: Path, options: tuple[str, ...], words: str
) -> None:
    """With what there is."""
    done = run(folder, *options)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert words in " ".join(done.stderr.split())


def test_no_better_than_a_rule_ends_with_one(folder: Path) -> None:
    """A target of pure chance gives no champion."""
    table = pd.read_csv(folder / "rents.csv")
    table["rent"] = np.random.default_rng(1).normal(500, 100, len(table))
    table.to_csv(folder / "rents.csv", index=False)
    done = run(folder, "--json")
    assert done.returncode == 1
    (only,) = json.loads(done.stdout)["runs"]
    assert only["champion"] is None
    assert not only["gate"]["passed"]


def test_the_next_best_follows_one_that_the_gate_refuses(folder: Path) -> None:
    """A line is the best until rents stop to rise; a forest goes on being better than a rule."""
    rng = np.random.default_rng(4)
    later = np.arange(1_500) >= 1_275
    size = np.where(later, rng.uniform(100, 2_000, 1_500), rng.uniform(20, 120, 1_500))
    floor = rng.uniform(0, 30, 1_500)
    pd.DataFrame(
        {
            "number": range(1_500),
            "size": size,
            "floor": floor,
            "seen": pd.date_range("2024-01-01", periods=1_500, freq="h").astype(str),
            "rent": 10 * np.minimum(size, 120) + 30 * floor + rng.normal(0, 10, 1_500),
        }
    ).to_csv(folder / "rents.csv", index=False)
    (folder / "rents.toml").write_text(DECLARATION + SEEN)
    done = run(folder, "--models", "ensemble.ExtraTreesRegressor", "--json")
    assert done.returncode == 0, done.stderr
    (only,) = json.loads(done.stdout)["runs"]
    first, second = only["families"]
    assert first["family"] == "linear_model.LinearRegression"
    assert [each["version"] for each in only["refused"]] == [first["version"]]
    assert only["champion"] == only["gate"]["version"] == second["version"]
    again = run(folder, "--models", "ensemble.ExtraTreesRegressor")
    assert "ensemble.ExtraTreesRegressor is off by" in again.stdout
    assert "less than the best rule without a model" in again.stdout


def test_what_cannot_be_learned_from_ends_with_two(folder: Path) -> None:
    """A draft, too few rows, and a table without its target are refused."""
    (folder / "rents.toml").write_text('status = "draft"\n' + DECLARATION)
    assert run(folder).returncode == 2
    (folder / "rents.toml").write_text(DECLARATION.replace('target = "rent"', 'target = "price"'))
    assert run(folder).returncode == 2
    (folder / "rents.toml").write_text(DECLARATION)
    pd.read_csv(folder / "rents.csv").head(29).to_csv(folder / "rents.csv", index=False)
    assert run(folder).returncode == 2


def test_each_step_has_a_command(folder: Path) -> None:
    """A dataset is prepared and trained by its options, and a registered version is made again."""
    (folder / "datasets").mkdir()
    (folder / "rents.csv").rename(folder / "datasets" / "rents.csv")
    columns = {"size": "number", "district": "category", "rent": "number"}
    declared = "".join(f'[columns.{name}]\ntype = "{it}"\n' for name, it in columns.items())
    (folder / "datasets" / "rents.toml").write_text(DECLARATION + declared)
    environment = {
        **os.environ,
        "MODEL_LOOP_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MODEL_LOOP_DATASETS_FOLDER": str(folder / "datasets"),
    }

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_command(*arguments, "--json", folder=folder, environment=environment)

    shares = ("--train-share", "0.5", "--validation-share", "0.25", "--test-share", "0.25")
    prepared = json.loads(command("prepare", "--dataset", "rents", *shares).stdout)
    assert prepared["rows"]["train"] < prepared["rows"]["all"] == 598 - prepared["rows"]["test"]
    assert 240 < prepared["rows"]["train"] < 360
    family = ("linear_model.LinearRegression", "--max-evaluations", "1")
    trained = json.loads(command("train", "--dataset", "rents", "--model", *family).stdout)
    assert trained["families"][0]["test_rmse"] < 60
    command("run", "rents", "--models", "linear_model.LinearRegression", "--evaluations", "1")
    elsewhere = folder / "elsewhere.csv"
    (folder / "datasets" / "rents.csv").rename(elsewhere)
    asked = ("reproduce", "1", "--dataset", "rents")
    assert command(*asked).returncode == 2
    again = command(*asked, "--source", "elsewhere.csv")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["agrees"], again.stderr

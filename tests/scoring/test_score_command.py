"""The command `model-loop score`, with a real registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from tests.commands import COMMAND, run_command

from model_loop.errors import InvalidInputError
from model_loop.orchestration.forms import batch_scoring_form
from model_loop.orchestration.steps import batch_scoring
from model_loop.scoring.predictor import Predictor, choose_version, load_predictor
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration
COPIES = 40


@pytest.fixture(scope="module")
def promoter(tracking_uri: str, predictor: Predictor, sample_training_set: TrainingSet) -> Promoter:
    """A service with one version, which is no champion yet."""
    tracker = Tracker(tracking_uri, "trip-duration-promotion")
    promoter = Promoter(tracker, "green", "ended")
    register_model(
        tracker,
        tracker.open_run("model", "model", {}),
        predictor.model,
        name=promoter.name,
        example=sample_training_set.example_rows,
        tags={},
    )
    return promoter


def start(folder: Path, tracking_uri: str, *arguments: str) -> subprocess.Popen[str]:
    """Start the command in a folder."""
    return subprocess.Popen(
        [COMMAND, "score", *arguments],
        cwd=folder,
        env={**os.environ, "MODEL_LOOP_TRACKING_URI": tracking_uri},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, tracking_uri: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    environment = {**os.environ, "MODEL_LOOP_TRACKING_URI": tracking_uri}
    return run_command("score", *arguments, folder=folder, environment=environment)


def act(promoter: Promoter, kind: str, version: int | None = None) -> None:
    """Move the version."""
    action = Action(kind, "green", version)  # type: ignore[arg-type]  # checked by the class
    promoter.act(action, f"{kind} {version} {time.time_ns()}")


def test_which_version_answers(promoter: Promoter) -> None:
    """The champion, or a version that is named; none that is retired, and nothing when disabled."""
    with pytest.raises(InvalidInputError, match="has no champion yet"):
        choose_version(promoter.versions)
    assert choose_version(promoter.versions, 1).number == 1
    with pytest.raises(InvalidInputError, match="is not in the registry"):
        choose_version(promoter.versions, 9)
    act(promoter, "promote", 1)
    assert load_predictor(promoter.versions, choose_version(promoter.versions)).version.number == 1
    act(promoter, "disable")
    for number in (None, 1):
        with pytest.raises(InvalidInputError, match="is disabled, so nothing answers"):
            choose_version(promoter.versions, number)
    act(promoter, "enable")


def test_a_killed_command_goes_on(
    promoter: Promoter, tracking_uri: str, month: Path, tmp_path: Path
) -> None:
    """After SIGKILL there is no output; the same command ends what was begun."""
    if promoter.standing().champion is None:
        act(promoter, "promote", 1)
    rows = pd.concat([pd.read_parquet(month)] * COPIES, ignore_index=True)
    rows.to_parquet(tmp_path / "trips.parquet", row_group_size=20_000)
    arguments = ("trips.parquet", "--chunk-rows", "1000", "--json")
    process = start(tmp_path, tracking_uri, *arguments)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("rows-*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "trips.predictions.parquet").exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("rows-*.json")}

    process = start(tmp_path, tracking_uri, *arguments)
    while not (tmp_path / "trips.predictions.parquet").exists():
        assert process.poll() is None, process.communicate()
        for path, written in kept.items():
            # Those that were there are taken as they are; in the end all of them go.
            if path.exists():
                assert path.stat().st_mtime_ns == written
        time.sleep(0.01)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    (result,) = json.loads(output)["files"]
    scored = pd.read_parquet(tmp_path / "trips.predictions.parquet")
    assert result["predicted_rows"] == len(scored) == len(rows) - 3 * COPIES
    mlflow.set_tracking_uri(tracking_uri)
    model = mlflow.pyfunc.load_model("models:/trip_duration_green@champion_ended")
    raw = scored.rename(columns={"lpep_pickup_datetime": "pickup_datetime"}).head(1_000)
    raw = raw.astype(dict.fromkeys(("passenger_count", "VendorID", "trip_type"), float))
    raw = raw.astype(dict.fromkeys(("PULocationID", "DOLocationID"), "int32"))
    said = model.predict(raw[model.metadata.signature.inputs.input_names()])
    assert np.abs(scored.predicted_minutes.head(1_000) - said).max() < 1e-5


def test_what_a_person_sees(
    promoter: Promoter, tracking_uri: str, month: Path, tmp_path: Path
) -> None:
    """Progress, then where the predictions are and how many rows could not be predicted."""
    assert promoter.standing().champion
    pd.read_parquet(month).to_csv(tmp_path / "trips.csv", index=False)
    done = run(tmp_path, tracking_uri, "trips.csv", "--model", "models:/trip_duration_green/1")
    assert done.returncode == 0, done.stderr
    assert "Rows, by version 1" in done.stderr
    assert "trips.predictions.csv:" in done.stdout
    assert "trips.rejected.csv: 3 rows that could not be predicted" in done.stdout
    missing = run(tmp_path, tracking_uri, "nothing.csv")
    assert missing.returncode == 2
    assert "nothing.csv is not there" in missing.stderr


def test_exit_codes(promoter: Promoter, tracking_uri: str, tmp_path: Path) -> None:
    """0 with rejected rows, 2 when nothing could be predicted or read; names as they are."""
    if promoter.standing().champion is None:
        act(promoter, "promote", 1)
    header = "pickup_datetime,PULocationID,DOLocationID,trip_distance,[/h]"
    good, bad = "2024-01-15 08:30:00,74,75,1.2,x", "15.01.2024,74,75,1.2,x"
    some = tmp_path / "trips [final].CSV"
    some.write_text(f"{header}\n{good}\n{bad}\n{good}")
    done = run(tmp_path, tracking_uri, some.name)
    assert done.returncode == 0, done.stderr
    assert "trips [final].predictions.CSV: 2 of 3 rows" in done.stdout
    assert "pickup_datetime = 15.01.2024 is not a time; read are 2024-01-15" in done.stdout

    none = tmp_path / "[red]none.csv"
    none.write_text(f"{header}\n{bad}\n{bad}")
    for _ in range(2):
        done = run(tmp_path, tracking_uri, none.name, "--json")
        assert done.returncode == 2
        assert json.loads(done.stdout)["files"][0]["rejected_rows"] == 2
        assert "[red]none.csv holds no row that could be predicted, of 2" in done.stderr
    assert len((tmp_path / "[red]none.rejected.csv").read_text().splitlines()) == 3

    for name, text in (
        ("mixed.csv", f"{header}\n{good}\n{good}\r{good}\r{bad}\r\n{good}"),
        ("other.csv", f"{header}\r{good}\n{good}\n{good}\n{good}\n{bad}"),
    ):
        (tmp_path / name).write_bytes(text.encode())
        done = run(tmp_path, tracking_uri, name)
        assert done.returncode == 0, done.stderr
        assert f"{name[:5]}.predictions.csv: 4 of 5 rows" in done.stdout

    sound = pd.DataFrame([good.split(",")], columns=header.split(","))
    sound.to_parquet(tmp_path / "cut.parquet")
    data = (tmp_path / "cut.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[: len(data) // 2])
    done = run(tmp_path, tracking_uri, "cut.parquet")
    assert done.returncode == 2
    assert "cut.parquet is damaged, or was cut off" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def form(
    promoter: Promoter, tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path], dict[str, Any]]]:
    """A function that fills the form of the DAG for a file, with a champion to answer it."""
    if promoter.standing().champion is None:
        act(promoter, "promote", 1)
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", str(tmp_path))
    get_settings.cache_clear()
    params = {name: param.value for name, param in batch_scoring_form(TRIPS).items()}
    yield lambda path: {**params, "input": str(path)}
    get_settings.cache_clear()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_without_rows(
    form: Callable[[Path], dict[str, Any]], tracking_uri: str, tmp_path: Path, kind: str
) -> None:
    """Nothing was predicted, so it is refused by its name, in the command and in the DAG."""
    source = tmp_path / f"none.{kind}"
    rows = pd.DataFrame(columns=["pickup_datetime", "PULocationID", "DOLocationID", "trip_miles"])
    rows.to_csv(source, index=False) if kind == "csv" else rows.to_parquet(source)
    done = run(tmp_path, tracking_uri, source.name)
    assert done.returncode == 2
    assert f"{source.name} holds no row, only the names of its columns. Give a file" in done.stderr
    with pytest.raises(InvalidInputError, match=f"none.{kind} holds no row.*Give a file"):
        batch_scoring.plan_chunks(form(source))
    assert not list(tmp_path.glob("*predictions*"))


@pytest.mark.parametrize("number", ["0", "9" * 30, "9" * 5_000])
def test_numbers_of_no_version(
    promoter: Promoter, tracking_uri: str, tmp_path: Path, number: str
) -> None:
    """A number that no registry keeps is refused at once, and asks no server again and again."""
    promoter.versions.require_usable(1)
    (tmp_path / "a.csv").write_text("pickup_datetime,PULocationID,DOLocationID,trip_distance\n")
    for model in (number, f"models:/{promoter.name}/{number}"):
        done = run(tmp_path, tracking_uri, "a.csv", "--model", model)
        assert done.returncode == 2, done.stderr
        assert "is not in the registry" in done.stderr or "is not a version of a" in done.stderr
    with pytest.raises(InvalidInputError, match="is not in the registry"):
        promoter.versions.find(10**30)


def test_mended_rows_are_not_replaced(
    promoter: Promoter, tracking_uri: str, tmp_path: Path
) -> None:
    """Rejected rows that somebody has mended stay when they are scored into the first output."""
    promoter.versions.require_usable(1)
    header = "pickup_datetime,PULocationID,DOLocationID,trip_distance"
    rows = "2024-01-15 08:30:00,74,75,1.2\n2024-01-15 08:30:00,999,75,1.2\n"
    (tmp_path / "a.csv").write_text(f"{header}\n{rows}")
    assert run(tmp_path, tracking_uri, "a.csv", "--model", "1", "--output", "b.csv").returncode == 0
    mended = (tmp_path / "b.rejected.csv").read_text().replace("999", "74")
    (tmp_path / "b.rejected.csv").write_text(mended)
    scored = (tmp_path / "b.csv").read_bytes()
    over = ["--model", "1", "--output", "b.csv", "--overwrite"]
    done = run(tmp_path, tracking_uri, "b.rejected.csv", *over)
    assert done.returncode == 2
    assert "would replace the input itself" in done.stderr
    assert (tmp_path / "b.rejected.csv").read_text() == mended
    assert (tmp_path / "b.csv").read_bytes() == scored


def test_of_a_folder_the_file_that_lacks_a_column_is_named(
    promoter: Promoter, tracking_uri: str, tmp_path: Path
) -> None:
    """The error names the file among many."""
    promoter.versions.require_usable(1)
    header = "pickup_datetime,PULocationID,DOLocationID,trip_distance"
    (tmp_path / "a.csv").write_text(f"{header}\n2024-01-15 08:30:00,74,75,1.2\n")
    (tmp_path / "b.csv").write_text(f"{header[:-14]}\n2024-01-15 08:30:00,74,75\n")
    done = run(tmp_path, tracking_uri, ".", "--model", "1")
    assert done.returncode == 2
    assert "b.csv: The input with the columns" in done.stderr

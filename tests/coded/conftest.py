"""A table of parcels with a champion, a runner, and code that answers for the same table."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.parcels import build_parcels, declared, write_parcels
from tests.runner.conftest import PYTHON, TOKEN, USERS, Runner, running
from tests.servers import tracking_database

from model_loop.coded.sealing import new_key
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import use_dataset
from model_loop.errors import InvalidInputError
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.runner.separation import choose_separation
from model_loop.settings import Settings, get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.lineage import lineage_of, log_lineage
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.training_set.types import TrainingSet

NAME = "coded_parcels"
KEY = new_key()
SEARCH = SearchRequest(max_evaluations=1, threads=1)

MANIFEST = f"""\
title = "Rules of delivery"
python = "{PYTHON}"
explain_function = "explain"
variables = ["DAYS_AT_LEAST"]
[outputs]
days = "number"
[answer]
prediction = "days"
"""

#: It knows how the table was made.
SCRIPT = """\
import datetime
import json
import os


def parts(row):
    weekend = datetime.datetime.fromisoformat(row["sent_at"]).weekday() > 4
    return {
        "carrier": 2.0 * (row["carrier"] == "cat"),
        "weight": 0.2 * row["weight"],
        "express": -1.0 * row["express"],
        "sent_at": 1.5 * weekend,
    }


def score(data: str, base_path: str):
    row = json.loads(data)
    if row["weight"] > 900:
        raise ValueError("nobody carries that")
    return {"days": float(os.environ["DAYS_AT_LEAST"]) + sum(parts(row).values())}


def explain(data: str, base_path: str):
    return {"base": float(os.environ["DAYS_AT_LEAST"]), **parts(json.loads(data))}
"""


@dataclass(frozen=True)
class Loop:
    """A loop with a champion.

    Parameters
    ----------
    folder
        Folder of everything.
    """

    folder: Path
    training_set: TrainingSet
    promoter: Promoter
    runner: Runner
    settings: Settings

    @property
    def dataset(self) -> Dataset:
        """The dataset as it was trained on."""
        return self.training_set.dataset


def lay(folder: Path, manifest: str = MANIFEST, script: str = SCRIPT) -> Path:
    """Write a folder with code."""
    folder.mkdir(parents=True)
    (folder / "model.toml").write_text(manifest)
    (folder / "score.py").write_text(script)
    return folder


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that other users may pass, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="coded-tests-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def champion(folder: Path) -> tuple[TrainingSet, Promoter]:
    """A table whose champion is a line."""
    table = declared(write_parcels(folder / "parcels.csv", 600), NAME)
    training_set = build_parcels(folder, table)
    tracker = Tracker(tracking_database(folder / "mlflow.db"), "coded")
    promoter = Promoter(tracker, training_set.variant, "sent")
    tuned = tune("linear_model.LinearRegression", training_set, SEARCH)
    trained = train(tuned, training_set, SEARCH)
    run_id = tracker.open_run("line", "line", {})
    log_lineage(tracker, run_id, lineage_of(trained, training_set, SEARCH))
    register_model(
        tracker,
        run_id,
        trained.model,
        name=promoter.name,
        example=training_set.example_rows,
        dataset=training_set.dataset,
        tags=training_set_tags(training_set),
    )
    promoter.act(Action("promote", NAME, 1), "first")
    return training_set, promoter


@pytest.fixture(scope="module")
def own_runner(folder: Path) -> Iterator[Runner]:
    """A runner that the tests of this room share."""
    try:
        choose_separation(next(USERS))
    except InvalidInputError as error:
        pytest.skip(f"code cannot be kept apart here: {error}")
    with running(folder, seconds="10") as runner:
        yield runner


@pytest.fixture(scope="module")
def loop(
    folder: Path, champion: tuple[TrainingSet, Promoter], own_runner: Runner
) -> Iterator[Loop]:
    """A loop that lets code in, with a runner beside it."""
    training_set, promoter = champion
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "CODE": "true",
            "CODE_KEYS": KEY,
            "RUNNER_ADDRESS": own_runner.address,
            "RUNNER_TOKEN": TOKEN,
            "RUNNER_SECONDS": "10",
            "ENVIRONMENTS_FOLDER": str(folder / "environments"),
            "STORAGE_ROOT": str(folder / "storage"),
            "TRACKING_URI": promoter.tracker.tracking_uri,
        }.items():
            patch.setenv(f"MODEL_LOOP_{name}", value)
        get_settings.cache_clear()
        use_dataset(training_set.dataset)
        yield Loop(folder, training_set, promoter, own_runner, get_settings())
    get_settings.cache_clear()

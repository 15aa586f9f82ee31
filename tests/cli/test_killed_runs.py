"""A run that is killed goes on with what it has done."""

from __future__ import annotations

import functools
import importlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from mlflow.tracking import MlflowClient
from tests.cli.test_run import DECLARATION, write_rents

from model_loop.datasets.declaration_file import read_declaration
from model_loop.models.search import SearchRequest
from model_loop.pipeline.run import Places, RunRequest, run_table

FAMILY = "ensemble.ExtraTreesRegressor"
REQUEST = RunRequest(families=(FAMILY,), search=SearchRequest(max_evaluations=4, threads=1))
When = Literal["before", "after"]

#: Functions at which a process is killed, in the order in which a run comes to them: while it
#: reads, before the training set is stored, after it, after the second trial, before and after the
#: last fit, before and after the version is registered, and before and after the champion moves.
DEATHS: tuple[tuple[str, When, int], ...] = (
    ("model_loop.partitions.checked:read_table", "before", 1),
    ("model_loop.partitions.checked:CheckedTableStore.check", "after", 1),
    ("model_loop.pipeline.run:require_passed", "after", 1),
    ("model_loop.training_set.products:TrainingSetStore.publish", "after", 1),
    ("model_loop.models.journal:TrialJournal.record", "after", 2),
    ("model_loop.pipeline.run:train", "before", 1),
    ("model_loop.pipeline.run:train", "after", 1),
    ("mlflow:register_model", "before", 1),
    ("mlflow:register_model", "after", 1),
    ("model_loop.pipeline.run:collect_results", "before", 1),
    ("model_loop.pipeline.run:judge_in_turn", "after", 1),
    ("model_loop.tracking.promotion:move", "before", 1),
    ("model_loop.tracking.promotion:move", "after", 1),
)
#: Modules that are imported once, for all processes.
PRELOADED = [
    "mlflow.sklearn",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "model_loop.pipeline.run",
    "sklearn.ensemble",
]
#: Work that is done once, however often a run was killed after it.
COUNTED = (
    "model_loop.models.tuning:_Search._evaluate",
    "model_loop.partitions.checked:check_rows",
    "mlflow:register_model",
)


def replace(path: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a function of a module, or a method of a class, in this process."""
    module, _, name = path.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    for each in outer:
        owner = getattr(owner, each)
    setattr(owner, last, make(getattr(owner, last)))


def deadly(when: When, times: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what makes a function kill its process, when it was called so often."""
    calls = 0

    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def killing(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if when == "after":
                done = function(*args, **kwargs)
            if calls == times:
                os.kill(os.getpid(), signal.SIGKILL)
            return done if when == "after" else function(*args, **kwargs)

        return killing

    return make


def counted(log: Path, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what makes a function write down that it has ended."""

    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counting(*args: Any, **kwargs: Any) -> Any:
            done = function(*args, **kwargs)
            with log.open("a") as file:
                file.write(f"{name}\n")
            return done

        return counting

    return make


def run(folder: Path, death: tuple[str, When, int] | None) -> None:
    """Run the table in this process, which may be killed on the way."""
    for name in COUNTED:
        replace(name, counted(folder / "calls.log", name))
    if death:
        replace(death[0], deadly(*death[1:]))
    declaration = read_declaration(folder / "rents.toml")
    places = Places(f"file://{folder}/store", f"sqlite:///{folder}/mlflow.db", "runs")
    result = run_table(declaration, folder, REQUEST, places)
    (folder / "result.json").write_text(json.dumps(result))


def end_of(folder: Path, death: tuple[str, When, int] | None = None) -> int | None:
    """Run the table in a process of its own; return its exit code, or the signal as a negative."""
    # It forks processes that have imported all of it already, and have no thread.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=run, args=(folder, death))
    process.start()
    process.join(timeout=120)
    if process.exitcode is None:
        process.kill()
    return process.exitcode


def prepared(folder: Path) -> Path:
    """Write the table and its declaration to a folder."""
    folder.mkdir()
    write_rents(folder / "rents.csv")
    (folder / "rents.toml").write_text(DECLARATION)
    return folder


def test_a_run_that_is_killed_again_and_again_ends_as_one_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No trial is evaluated, no version registered and no champion made a second time."""
    monkeypatch.chdir(tmp_path)
    whole, killed = prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    assert end_of(whole) == 0
    for death in DEATHS:
        assert end_of(killed, death) == -signal.SIGKILL, death
    assert end_of(killed) == 0
    first, second = (json.loads((each / "result.json").read_text()) for each in (whole, killed))
    (expected,), (found,) = first["runs"], second["runs"]
    assert found["champion"] == expected["champion"] == 1
    assert found["training_set"] == expected["training_set"]
    for name in ("loss", "test_rmse", "evaluations", "settings", "version"):
        assert found["families"][0][name] == expected["families"][0][name]
    calls = (killed / "calls.log").read_text().splitlines()
    assert calls.count("model_loop.partitions.checked:check_rows") == 1
    assert calls.count("mlflow:register_model") == 1
    once = (whole / "calls.log").read_text().splitlines()
    name = "model_loop.models.tuning:_Search._evaluate"
    assert calls.count(name) <= once.count(name) + 1
    client = MlflowClient(f"sqlite:///{killed}/mlflow.db")
    assert [int(each.version) for each in client.search_model_versions()] == [1]
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=500)
    assert [each.info.run_name for each in runs if each.info.status == "RUNNING"] == []
    other = MlflowClient(f"sqlite:///{whole}/mlflow.db")
    ids = [each.experiment_id for each in other.search_experiments()]
    assert len(runs) == len(other.search_runs(ids, max_results=500))

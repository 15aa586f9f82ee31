"""Tests of the worker processes that fit the families of a run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.parcels import TOML, write_parcels

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.errors import InvalidInputError
from model_loop.models.search import SearchRequest
from model_loop.pipeline import workers
from model_loop.pipeline.run import Places, RunRequest, run_table
from model_loop.pipeline.workers import run_jobs, workers_for

MEBIBYTE = 1024**2


def slow_square(number: int) -> dict[str, Any]:
    """Return the square; of smaller numbers later."""
    time.sleep(0.3 / number)
    return {"square": number**2, "process": os.getpid()}


def refuse(number: int) -> dict[str, Any]:
    """Refuse the second job."""
    if number == 2:
        raise InvalidInputError("Job 2", "is refused", "Leave it out.")
    return {}


def sleep_long(path: Path) -> dict[str, Any]:
    """Say which process it is, and sleep."""
    path.write_text(str(os.getpid()))
    time.sleep(60)
    return {}


def test_results_come_in_the_order_of_the_jobs() -> None:
    """Whichever ends first, and in other processes than this one."""
    found = run_jobs(slow_square, [1, 2, 3], 2)
    assert [each["square"] for each in found] == [1, 4, 9]
    assert os.getpid() not in {each["process"] for each in found}


def test_an_error_of_a_job_keeps_its_parts() -> None:
    """It is the error that a run without workers would raise."""
    with pytest.raises(InvalidInputError) as caught:
        run_jobs(refuse, [1, 2, 3], 2)
    assert (caught.value.given, caught.value.remedy) == ("Job 2", "Leave it out.")


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """None of them goes on fitting for nobody."""
    seen = tmp_path / "process"
    parent = multiprocessing.get_context("spawn").Process(
        target=run_jobs, args=(sleep_long, [seen], 1)
    )
    parent.start()
    deadline = time.monotonic() + 60
    while not (seen.exists() and seen.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    worker, own = int(seen.read_text()), parent.pid
    assert own is not None
    os.kill(own, signal.SIGKILL)
    parent.join()
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize(
    ("size", "jobs", "free", "number"),
    [
        (8 * MEBIBYTE, 7, 16 * 1024 * MEBIBYTE, 1),
        (64 * MEBIBYTE, 7, 16 * 1024 * MEBIBYTE, 4),
        (64 * MEBIBYTE, 2, 16 * 1024 * MEBIBYTE, 2),
        (1024 * MEBIBYTE, 7, 18 * 1024 * MEBIBYTE, 2),
        (4096 * MEBIBYTE, 7, 16 * 1024 * MEBIBYTE, 1),
        (64 * MEBIBYTE, 7, None, 4),
    ],
)
def test_memory_and_cores_bound_the_workers(
    size: int, jobs: int, free: int | None, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small table needs none, a large one has no room for several copies."""
    monkeypatch.setattr(workers, "free_memory", lambda: free)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert workers_for(size, jobs) == number


def test_families_side_by_side_come_to_the_same(tmp_path: Path) -> None:
    """Errors and settings are those of a run without workers, and one of them is champion."""
    write_parcels(tmp_path / "parcels.csv")
    text = TOML.format(name="parcels", source="parcels.csv")
    declaration = parse_declaration(text, "parcels.toml")
    results = []
    for number in (1, 2):
        places = Places(
            f"file://{tmp_path}/store-{number}", f"sqlite:///{tmp_path}/mlflow-{number}.db", "runs"
        )
        request = RunRequest(
            families=("linear_model.LinearRegression", "linear_model.Lasso"),
            search=SearchRequest(max_evaluations=2),
            workers=number,
        )
        (result,) = run_table(declaration, tmp_path, request, places)["runs"]
        results.append(result)
    alone, together = results
    names = ("family", "loss", "validation_rmse", "test_rmse", "settings", "evaluations")
    for one, other in zip(alone["families"], together["families"], strict=True):
        assert {name: one[name] for name in names} == {name: other[name] for name in names}
    assert {each["version"] for each in together["families"]} == {1, 2}
    assert together["champion"] == together["families"][0]["version"]

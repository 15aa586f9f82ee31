"""The whole loop over REST on published months, from a sample champion to a batch with bad rows.

Ten to twenty minutes; only with ``-m whole_loop`` (`make test-loop`), and where published months
are at hand.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.closed_loop import eventually, runs, waiting
from tests.integration.conftest import RunningStack, mails, make_stack, running_stack
from tests.websites import Website, website_over

from model_loop.local.airflow_api import FINISHED
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

pytestmark = [
    pytest.mark.whole_loop,
    pytest.mark.whole_months,
    pytest.mark.timeout(3_600),
]

MONTHS = ("2024-01", "2024-02", "2024-03")
LINEAR = {"models": ["linear_model.LinearRegression"]}
BAD_ROWS = (
    ["2024-01-15 08:30:00", "74", "no zone"],
    ["9999-01-15 08:30:00", "74", "75"],
    ['2024-01-15 08:30:00"', "74", "75"],
)
GOOD_ROWS = 997
#: All seven families learn from two published months.
RETRAINING_SECONDS = 1_800


@dataclass(frozen=True)
class Loop:
    """A stack whose source is a website, and the folder that the website shows."""

    running: RunningStack
    site: Website
    folder: Path
    published: Path

    @property
    def promoter(self) -> Promoter:
        """The versions, as another process sees them."""
        tracker = Tracker(self.running.stack.mlflow_url, "trip-duration-promotion")
        return Promoter(tracker, "green", "booked")

    def run(self, dag_id: str, conf: dict[str, Any], state: str = "success") -> str:
        """Run a DAG over REST to its end; return the run's id."""
        api = self.running.api
        run_id = api.trigger(dag_id, conf)
        eventually(lambda: api.run_state(dag_id, run_id) in FINISHED, f"end of {dag_id}")
        assert api.run_state(dag_id, run_id) == state
        return run_id

    def train(self, source: str, months: tuple[str, str, str], dag_id: str, **more: Any) -> int:
        """Prepare months and train one family on them; return the best version."""
        names = ("train_months", "validation_months", "test_months")
        data = {"source": source, "recipe": "booking"} | {
            name: [month] for name, month in zip(names, months, strict=True)
        }
        self.run("data_preparation", data)
        run_id = self.run(dag_id, {**data, "max_evaluations": 1, **more})
        (family,) = self.running.api.result(dag_id, run_id, "results")["families"]
        return int(family["model_uri"].rpartition("/")[2])

    def promote(self, **conf: Any) -> None:
        """Run `promotion`."""
        self.run("promotion", {"approval": False, **conf})

    @property
    def champion(self) -> int | None:
        """The version that answers when a ride is ordered."""
        return self.promoter.standing().champion

    def publish(self, month: str) -> None:
        """Put a published month on the website, whole and at once."""
        name = f"green_tripdata_{month}.parquet"
        shutil.copy(self.published / name, self.folder / "partial")
        (self.folder / "partial").rename(self.folder / name)


@pytest.fixture(scope="module")
def loop(whole_months: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A stack that watches a website which has published up to March."""
    folder = tmp_path_factory.mktemp("published")
    with website_over(folder) as site:
        stack = make_stack(tmp_path_factory.mktemp("whole-loop"))
        settings = {
            "source": site.url,
            "watch_poll_seconds": 6,
            "retraining_train_partitions": 2,
            "watch_partitions": True,
            "max_evaluations": 1,
        }
        stack = replace(stack, settings=stack.settings.model_copy(update=settings))
        with running_stack(stack) as running:
            found = Loop(running, site, folder, Path(whole_months))
            for month in MONTHS:
                found.publish(month)
            running.api.wait_for_dags({"watch_months", "retraining", "promotion", "prediction"})
            yield found


def test_the_whole_loop(loop: Loop) -> None:
    """Sample and real champion, an event, two rollbacks, a canary that ends, a batch."""
    api = loop.running.api

    sample = loop.train("sample", MONTHS, "sklearn_training", **LINEAR)
    loop.promote(version=sample)
    assert loop.champion == sample

    weak = loop.train(loop.site.url, MONTHS, "sklearn_training", **LINEAR)
    loop.promote(version=weak)
    assert loop.champion == weak, "a model of published months replaces one of generated trips"
    loop.promote(version=sample)
    assert loop.champion == weak, "a model of generated trips replaces none of published months"

    strong = loop.train(loop.site.url, MONTHS, "xgboost_training")
    loop.promote(version=strong)
    assert loop.champion == strong

    eventually(lambda: waiting(loop.running), "waiting sensor")
    loop.publish("2024-04")
    run = eventually(lambda: _first_ended(loop), "retraining", RETRAINING_SECONDS)
    assert run["state"] == "success"
    told = api.result("retraining", run["dag_run_id"], "finish")
    assert told["newest"] == "2024-04"
    (prepared,) = (
        it for it in runs(loop.running, "data_preparation") if "retraining" in it["dag_run_id"]
    )
    assert prepared["conf"]["source"] == loop.site.url
    assert prepared["conf"]["train_months"] == ["2024-01", "2024-02"]
    retrained = told["challenger"]
    if loop.champion != retrained:
        # The gate may find it no better; the loop goes on with it all the same.
        loop.promote(version=retrained, gate=False, why="the loop's own test")
    assert loop.champion == retrained

    loop.promote(action="rollback")
    assert loop.champion == strong
    loop.promote(action="rollback")
    assert loop.champion == weak

    loop.promote(action="canary", version=strong, share=0.3)
    assert (loop.promoter.standing().challenger, loop.promoter.standing().share) == (strong, 0.3)
    loop.promote(action="end_canary")
    assert loop.promoter.standing().challenger is None

    _score(loop)
    assert not [mail["subject"] for mail in mails(loop.running) if "failed" in mail["subject"]]


def _first_ended(loop: Loop) -> dict[str, Any] | None:
    found = [run for run in runs(loop.running, "retraining") if run["state"] in FINISHED]
    return found[0] if found else None


def _score(loop: Loop) -> None:
    """Score a file with bad rows: every row is predicted or rejected, none is lost."""
    folder = Path(loop.running.stack.storage_root.removeprefix("file://")) / "incoming"
    folder.mkdir()
    path = folder / "trips.csv"
    with path.open("w", newline="") as file:
        file.write("pickup_datetime,PULocationID,DOLocationID\n")
        file.writelines("2024-01-15 08:30:00,74,75\n" for _ in range(GOOD_ROWS))
        file.writelines(",".join(row) + "\n" for row in BAD_ROWS)
    run_id = loop.run("batch_scoring", {"input": str(path), "output": str(folder / "scored.csv")})
    told = loop.running.api.result("batch_scoring", run_id, "join")
    assert (told["predicted_rows"], told["rejected_rows"]) == (GOOD_ROWS, len(BAD_ROWS))
    with (folder / "scored.csv").open() as file:
        assert len(list(csv.reader(file))) == GOOD_ROWS + 1

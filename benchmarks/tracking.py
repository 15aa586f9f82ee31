"""Cost of tracking: the same searches with and without logging every trial, in turn.

A real MLflow server on SQLite takes the trials over HTTP. The share is the time added to the whole
search, the wait for the last trial included, of the time that the search takes without it. Months
come from MODEL_LOOP_TLC_FOLDER (green 2024-01 and 2024-02), or are generated in their size.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.preparation import months_folder
from benchmarks.results import record
from tests.servers import mlflow_server

from model_loop.models.catalogue import FAMILIES
from model_loop.models.search import SearchRequest
from model_loop.models.termination import EarlyTermination
from model_loop.models.tuning import tune
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trials import TrialLogger
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.training_set.request import TrainingSetRequest

PAIRS = 3
EVALUATIONS = 4


def search(family: str, training_set: TrainingSet, tracker: Tracker | None, pair: int) -> float:
    """Seconds of one search, tracked or not."""
    request = SearchRequest(max_evaluations=EVALUATIONS, early_termination=EarlyTermination("none"))
    started = time.perf_counter()
    if tracker is None:
        tune(family, training_set, request)
    else:
        run_id = tracker.open_run(f"{family}/{pair}", family, {})
        started = time.perf_counter()
        with TrialLogger(tracker, run_id, {"MODEL": family}) as log_trial:
            tune(family, training_set, request, on_trial=log_trial)
    return time.perf_counter() - started


def main() -> None:
    """Run every family in turn and print the shares."""
    folder = months_folder()
    split = MonthSplit.parse("2024-01", "2024-02")
    request = TrainingSetRequest(str(folder), "green", split)
    with tempfile.TemporaryDirectory() as storage:
        training_set = build_training_set(request, storage_root=storage)
    plain_total = tracked_total = 0.0
    with (
        tempfile.TemporaryDirectory() as place,
        mlflow_server(Path(place)) as url,
    ):
        tracker = Tracker(url, "benchmark")
        for family in FAMILIES:
            pairs = [
                (
                    search(family, training_set, None, pair),
                    search(family, training_set, tracker, pair),
                )
                for pair in range(PAIRS)
            ]
            plain, tracked = (statistics.median(column) for column in zip(*pairs, strict=True))
            added = 100 * (tracked / plain - 1)
            record(
                "tracking", family, {"search, s": plain, "tracked, s": tracked, "added, %": added}
            )
            plain_total, tracked_total = plain_total + plain, tracked_total + tracked
            print(
                f"{family:36} {plain:6.2f} s, tracked {tracked:6.2f} s ({tracked / plain - 1:+.1%})"
            )
    share = tracked_total / plain_total - 1
    found = {"search, s": plain_total, "tracked, s": tracked_total, "added, %": 100 * share}
    record("tracking", "all", found)
    print(f"all families: {plain_total:.1f} s, tracked {tracked_total:.1f} s ({share:+.1%})")


if __name__ == "__main__":
    main()

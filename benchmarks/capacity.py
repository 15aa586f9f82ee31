"""Cost of learning from a million trips: processor time of one thread, and memory.

Generated months of 200,000 trips each (or as many as the argument says), recipe `rich`, encoding
`native`: the training set of three months, three evaluations of XGBoost on it, and the final fit
on two months. Processor time, unlike seconds, says the same on a busy machine.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile

from benchmarks.results import record

from model_loop.models.search import SearchRequest
from model_loop.models.termination import EarlyTermination
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.training_set.preparation import build_training_set
from trip_duration.months import MonthSplit
from trip_duration.sample_options import SampleOptions
from trip_duration.training_set.request import TrainingSetRequest

TRIPS = 200_000
EVALUATIONS = 3
_SPLIT = MonthSplit.parse("2024-01", "2024-02", "2024-03")


def main() -> None:
    """Do each step once, and print what it took."""
    os.environ["OMP_NUM_THREADS"] = "1"
    trips = int(sys.argv[1]) if len(sys.argv) > 1 else TRIPS
    search = SearchRequest(
        max_evaluations=EVALUATIONS, threads=1, early_termination=EarlyTermination("none")
    )
    clock = Clock(is_kept=trips == TRIPS)
    with tempfile.TemporaryDirectory() as storage:
        request = TrainingSetRequest(
            "sample", "green", _SPLIT, "rich", "native", sample=SampleOptions(trips=trips, seed=1)
        )
        build_training_set(request, storage_root=storage)
        clock.tell("generating, and the first training set")
        training_set = build_training_set(request, storage_root=storage)
        clock.tell("training set", "training set of 3 x 200,000 trips")
    tuned = tune("xgboost", training_set, search)
    clock.tell(f"{EVALUATIONS} evaluations", f"{EVALUATIONS} evaluations")
    train(tuned, training_set, search)
    clock.tell("final fit", "final fit")


class Clock:
    """Processor time between two steps."""

    def __init__(self, *, is_kept: bool) -> None:
        self._is_kept = is_kept
        self._last = self._now()

    def tell(self, step: str, row: str = "") -> None:
        """Print what a step took, and record it as a row."""
        now, used = self._now(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{step}: {now - self._last:.1f} s, at most {used / 1e6:.2f} GB")
        if row and self._is_kept:
            taken = {"processor time, s": now - self._last, "at most, GB": used / 1e6}
            record("capacity", row, taken)
        self._last = now

    @staticmethod
    def _now() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

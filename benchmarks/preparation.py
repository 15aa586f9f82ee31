"""Preparation of two months: ours against the plain way, in turn, with the identical matrix.

The plain way is that of the course project: read every column, compute durations with pandas,
make a dict of each trip, and let a DictVectorizer encode them, once learned on all trips and once
on the train trips. Ours is what the tasks of the DAG `data_preparation` call, in its order; the
seconds of each are recorded too. Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 and
2024-02), or are generated in their size where that is not set.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TypeVar

import pandas as pd
from benchmarks.results import record
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import DictVectorizer

from model_loop.findings import Acceptance, Finding
from model_loop.training_set.preparation import require_sound
from model_loop.training_set.types import TrainingSet
from trip_duration.contract.checked import CheckedMonth
from trip_duration.contract.rules import ContractLimits
from trip_duration.dataset import TRIPS
from trip_duration.history import MonthHistory
from trip_duration.months import Month, MonthSplit
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.training_set.build import check_fetched_month, encode, fetch_requested_month
from trip_duration.training_set.request import TrainingSetRequest

PAIRS = 7
_TRIPS = 55_000
#: `benchmarks.growth` has a month of 64 times the trips of the next one.
_GROWN = ("2024-02 number_of_rows",)
_Result = TypeVar("_Result")
_Matrices = tuple[csr_matrix, csr_matrix, csr_matrix]


def months_folder() -> Path:
    """The folder of the months 2024-01 to 2024-03."""
    given = os.environ.get("MODEL_LOOP_TLC_FOLDER")
    if given:
        return Path(given)
    folder = Path(tempfile.mkdtemp())
    for number in (1, 2, 3):
        month = Month(2024, number)
        path = folder / f"green_tripdata_{month}.parquet"
        write_month(path, get_service("green"), month, SampleOptions(trips=_TRIPS))
    return folder


def plain(folder: Path) -> _Matrices:
    """The plain way: matrices of all, of train and of validation trips."""
    files = [folder / f"green_tripdata_2024-0{number}.parquet" for number in (1, 2)]
    trips = pd.concat([pd.read_parquet(file) for file in files])
    trips["duration"] = trips.lpep_dropoff_datetime - trips.lpep_pickup_datetime
    trips["duration"] = trips.duration.apply(lambda duration: duration.total_seconds() / 60)
    trips = trips[(trips.duration >= 1) & (trips.duration <= 60)]  # noqa: PLR2004 - the course's
    zones = ["PULocationID", "DOLocationID"]
    trips[zones] = trips[zones].astype(str)
    trips["PU_DO"] = trips.PULocationID + "_" + trips.DOLocationID
    early = trips.lpep_pickup_datetime < "2024-02-01"
    matrix = DictVectorizer().fit_transform(dicts(pd.concat([trips[early], trips[~early]])))
    vectorizer = DictVectorizer()
    learned = vectorizer.fit_transform(dicts(trips[early]))
    return matrix, learned, vectorizer.transform(dicts(trips[~early]))


def dicts(trips: pd.DataFrame) -> list[dict[Hashable, object]]:
    """A dict of each trip."""
    return trips[["PU_DO", "trip_distance"]].to_dict(orient="records")


def ours(folder: Path) -> TrainingSet:
    """Our way, from the same files: contract, quarantine and matrix, with nothing kept before."""
    return in_steps(folder)[0]


def in_steps(folder: Path) -> tuple[TrainingSet, Mapping[str, float]]:
    """Call what the tasks of `data_preparation` call, in its order; return the seconds of each."""
    with tempfile.TemporaryDirectory() as root:
        months, findings, seconds = until_encoding(folder, root)
        training_set, seconds["encode"] = timed(lambda: encode(_request(folder), months, findings))
        return training_set, seconds


def until_encoding(
    folder: Path, root: str
) -> tuple[list[CheckedMonth], tuple[Finding, ...], dict[str, float]]:
    """Do what comes before the encoding; return its months and findings, and the seconds.

    Where *root* has seen the months, only what is kept of them is read.
    """
    request = _request(folder)
    seconds: dict[str, float] = {}

    def step(name: str, work: Callable[[], _Result]) -> _Result:
        result, seconds[name] = timed(work)
        return result

    raw = step(
        "fetch",
        lambda: [
            fetch_requested_month(request, it, storage_root=root, timeout_seconds=1.0)
            for it in request.split.all
        ],
    )
    checked = step(
        "check",
        lambda: [check_fetched_month(it, storage_root=root, limits=ContractLimits()) for it in raw],
    )
    verdicts = step(
        "compare", lambda: MonthHistory(root).compare(checked, [*map(Acceptance.parse, _GROWN)])
    )
    step("load profiles", lambda: [it.month.load_profile() for it in verdicts])
    return [it.month for it in verdicts], require_sound(TRIPS, verdicts), seconds


def after_checks(folder: Path, root: str) -> TrainingSet:
    """Encode months that were checked and compared in *root* before, as a task of its own does."""
    months, findings, _ = until_encoding(folder, root)
    return encode(_request(folder), months, findings)


def _request(folder: Path) -> TrainingSetRequest:
    split = MonthSplit.parse("2024-01", "2024-02")
    return TrainingSetRequest(str(folder), "green", split, "pair_distance", "one_hot")


def timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    """The result, and the seconds it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def require_identical(expected: _Matrices, found: TrainingSet) -> None:
    """Stop unless every entry agrees."""
    splits = found.layouts["sparse"]
    for plain_matrix, our_matrix in zip(
        expected, (splits.train_validation, splits.train, splits.validation), strict=True
    ):
        if plain_matrix.shape != our_matrix.shape or (plain_matrix != our_matrix).nnz:
            msg = f"the matrices differ: {plain_matrix.shape} and {our_matrix.shape}"
            raise SystemExit(msg)


def main() -> None:
    """Run both in turn and print the ratios."""
    folder = months_folder()
    require_identical(plain(folder), ours(folder))
    ratios, seconds, steps = [], [], []
    for _ in range(PAIRS):
        _, slow = timed(lambda: plain(folder))
        (_, parts), fast = timed(lambda: in_steps(folder))
        ratios.append(slow / fast)
        seconds.append((slow, fast))
        steps.append(parts)
    slow, fast = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(f"plain {slow:.3f} s, ours {fast:.3f} s (medians of {PAIRS} pairs, identical matrices)")
    print(
        f"ratio: median {statistics.median(ratios):.1f}, "
        f"from {min(ratios):.1f} to {max(ratios):.1f}"
    )
    figures = {"plain, s": slow, "ours, s": fast, "faster, times": statistics.median(ratios)}
    for name in steps[0]:
        figures[f"{name}, s"] = statistics.median(parts[name] for parts in steps)
        print(f"  {name}: {figures[f'{name}, s']:.3f} s")
    record("preparation", "two months", figures)


if __name__ == "__main__":
    main()

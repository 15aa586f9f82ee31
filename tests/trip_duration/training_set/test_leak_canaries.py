"""Leak canaries: outcomes are changed on purpose, and the matrices may not notice.

What a model is tuned on must not know what it is judged by. Months are published twice: as they
are, and with other outcomes; whatever differs in the matrices has looked at them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from model_loop.findings import RefusedPartitionError
from model_loop.training_set.encodings import Encoding
from model_loop.training_set.matrices import as_dense
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit, parse_months
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import DROPOFF_TIME, DURATION, PICKUP_TIME, get_service
from trip_duration.training_set.encoders.dense import DenseTripEncoder
from trip_duration.training_set.request import TrainingSetRequest

GREEN = get_service("green")
PICKUP, DROPOFF = GREEN.columns[PICKUP_TIME], GREEN.columns[DROPOFF_TIME]
SPLIT = MonthSplit.parse("2024-01", "2024-02", "2024-03")

Seconds = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of trips that the cleaning keeps, whatever of their durations is exchanged."""
    folder = tmp_path_factory.mktemp("months")
    for month in parse_months("2024-01..2024-03"):
        path = folder / f"green_tripdata_{month}.parquet"
        write_month(path, GREEN, month, SampleOptions(trips=900, seed=3))
        trips = pq.read_table(path).replace_schema_metadata(None)
        seconds = seconds_of(trips)
        pq.write_table(trips.filter(pa.array((seconds > 90) & (seconds < 3_500))), path)
    return folder


def seconds_of(trips: pa.Table) -> Seconds:
    """Return how long trips last."""
    pickup, dropoff = (trips[name].cast(pa.timestamp("us")) for name in (PICKUP, DROPOFF))
    seconds: Seconds = pc.seconds_between(pickup, dropoff).to_numpy()
    return seconds


def with_outcomes(
    published: Path, folder: Path, month: str, change: Callable[[Seconds], Seconds]
) -> Path:
    """Publish the months again, one of them with other durations."""
    folder.mkdir()
    for path in published.iterdir():
        trips = pq.read_table(path)
        if month in path.name:
            lasting = pa.array(change(seconds_of(trips)) * 1_000_000).cast(pa.duration("us"))
            ends = pc.add(trips[PICKUP].cast(pa.timestamp("us")), lasting)
            trips = trips.set_column(trips.column_names.index(DROPOFF), DROPOFF, ends)
        pq.write_table(trips, folder / path.name)
    return folder


def build(source: Path, encoding: Encoding, root: Path) -> TrainingSet:
    """Build a training set; exchanged outcomes are refused as such, and accepted here."""
    request = TrainingSetRequest(str(source), "green", SPLIT, "rich", encoding=encoding)
    try:
        return build_training_set(request, storage_root=str(root))
    except RefusedPartitionError as refused:
        accepted = [f"{one.partition} {one.code}" for one in refused.findings]
        return build_training_set(request, storage_root=str(root), accept=accepted)


def permuted(seconds: Seconds) -> Seconds:
    """Give every trip the duration of another one."""
    return np.random.default_rng(5).permutation(seconds)


@pytest.mark.filterwarnings("ignore::model_loop.findings.DoubtfulDataWarning")
@pytest.mark.parametrize("encoding", ["native", "one_hot"])
def test_outcomes_of_validation_change_no_matrix(
    published: Path, tmp_path: Path, encoding: Encoding
) -> None:
    """Train and validation are encoded equally, to the bit, whatever validation comes to."""
    changed = with_outcomes(published, tmp_path / "changed", "2024-02", permuted)
    was, now = (build(source, encoding, tmp_path) for source in (published, changed))
    assert (was.train_target == now.train_target).all()
    assert (was.validation_target != now.validation_target).mean() > 0.9
    assert was.layouts.keys() == now.layouts.keys()
    for layout, before in was.layouts.items():
        after = now.layouts[layout]
        for part in ("train", "validation"):
            one, other = (as_dense(getattr(splits, part)) for splits in (before, after))
            np.testing.assert_array_equal(one, other, err_msg=f"{layout} {part}")


@pytest.mark.filterwarnings("ignore::model_loop.findings.DoubtfulDataWarning")
def test_outcomes_of_the_test_month_change_nothing_that_is_learned(
    published: Path, tmp_path: Path
) -> None:
    """Matrices to fit on hold nothing of the trips that judge at the end."""
    changed = with_outcomes(published, tmp_path / "changed", "2024-03", permuted)
    was, now = (build(source, "native", tmp_path) for source in (published, changed))
    assert (was.test_rows[DURATION] != now.test_rows[DURATION]).mean() > 0.9
    for layout, before in was.layouts.items():
        one, other = as_dense(before.train_validation), now.layouts[layout].train_validation
        np.testing.assert_array_equal(one, as_dense(other), err_msg=layout)


@pytest.mark.parametrize("recipe", ["rich", "pair_distance", "booking"])
def test_no_row_holds_its_own_outcome(published: Path, tmp_path: Path, recipe: str) -> None:
    """A trip that lasts longer is described as before; trips of the other folds may differ."""
    request = TrainingSetRequest(str(published), "green", SPLIT, recipe, encoding="native")
    trips = build_training_set(request, storage_root=str(tmp_path)).test_rows
    columns, minutes = trips.drop(columns=DURATION), trips[DURATION].to_numpy(dtype=np.float64)
    was = DenseTripEncoder(recipe).fit_transform(columns, minutes)
    for row in (0, 17, len(trips) - 1):
        longer = minutes.copy()
        longer[row] += 30.0
        now = DenseTripEncoder(recipe).fit_transform(columns, longer)
        np.testing.assert_array_equal(now[row], was[row])
        assert (now != was).any()

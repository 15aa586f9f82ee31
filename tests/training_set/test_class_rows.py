"""Classes of few rows: what is refused with the number needed, and what is said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.training_set.test_labels import BINARY, prepared

from model_loop.errors import ContractError
from model_loop.training_set.class_rows import require_classes
from model_loop.training_set.matrices import Targets
from model_loop.training_set.split import PartName


def rows_of(labels: np.ndarray) -> pd.DataFrame:
    """A table of a number and labels."""
    x = np.random.default_rng(0).normal(size=len(labels))
    return pd.DataFrame({"x": x.round(4), "id": np.arange(len(labels)), "y": labels})


def of_share(rows: int, every: int) -> np.ndarray:
    """Labels of which one in so many is yes."""
    return np.where(np.arange(rows) % every == 0, "yes", "no")


@pytest.mark.parametrize("rows", [400, 1_600])
def test_fewer_positives_than_can_be_judged_are_refused(rows: int, tmp_path: Path) -> None:
    """With the part and the number of rows that are needed, which then suffice."""
    with pytest.raises(ContractError, match="of the class yes of y among") as refused:
        prepared(tmp_path, rows_of(of_share(rows, 100)), BINARY)
    said = re.search(r"Give about ([\d,]+) rows or more in place of", refused.value.remedy)
    assert said is not None
    needed = int(said[1].replace(",", ""))
    assert rows < needed < 6_000
    training_set = prepared(tmp_path, rows_of(of_share(needed * 4 // 3, 100)), BINARY)
    assert training_set.test_target.sum() >= 5


def test_a_class_that_has_ended_is_no_lack_of_rows(tmp_path: Path) -> None:
    """More rows of the same kind help nothing where the latest rows alone have none of it."""
    training_set = prepared(tmp_path, rows_of(of_share(1_500, 3)), BINARY)
    some = np.tile([0.0, 1.0], 300)
    parts: dict[PartName, Targets] = {"train": some, "validation": some, "test": np.zeros(200)}
    with pytest.raises(ContractError, match=r"test part of .* has 0 rows of the class yes") as told:
        require_classes(training_set.dataset, parts)
    assert told.value.remedy.startswith("The 600 rows of the class would suffice if they were")


def test_the_rarest_of_several_classes_counts(tmp_path: Path) -> None:
    """It is named, also where a part has none of it at all."""
    labels = np.array(["a", "b"] * 300 + ["rare"] * 3)
    with pytest.raises(ContractError, match="of the class rare of y"):
        prepared(tmp_path, rows_of(labels), '[task]\nkind = "multiclass"\n')


def test_few_judged_positives_are_said(tmp_path: Path) -> None:
    """By how far they leave the log loss open; many are no finding."""
    found = prepared(tmp_path, rows_of(of_share(6_000, 100)), BINARY)
    (said,) = (each for each in found.findings if each.code == "too_few_rows")
    positives, rows = int(found.test_target.sum()), len(found.test_target)
    assert f"{rows:,} judged rows, of which {positives} are of the class yes" in said.message
    assert "log loss" in said.message
    enough = prepared(tmp_path, rows_of(of_share(6_000, 3)), BINARY)
    assert not [each for each in enough.findings if each.code == "too_few_rows"]


def test_rows_without_a_label_are_set_aside_and_counted(tmp_path: Path) -> None:
    """As rows without a number are."""
    frame = rows_of(of_share(900, 3))
    frame.loc[[5, 6, 7], "y"] = np.nan
    found = prepared(tmp_path, frame, BINARY)
    assert [report.set_aside for report in found.cleaning] == [{"no target": 3}]
    calibrated = 0 if found.calibration_rows is None else len(found.calibration_rows)
    assert found.rows["all"] + found.rows["test"] + calibrated == 897


@pytest.mark.parametrize(("late", "codes"), [(0.5, ["target_shift"]), (0.21, [])])
def test_a_share_that_moves_between_the_parts_is_told(
    late: float, codes: list[str], tmp_path: Path
) -> None:
    """Of a table that is split by time: its shares by part."""
    draw, rows = np.random.default_rng(1), 4_000
    later = np.arange(rows) > 0.8 * rows
    labels = np.where(draw.random(rows) < np.where(later, late, 0.2), "yes", "no")
    frame = rows_of(labels).assign(at=pd.date_range("2024-01-01", periods=rows, freq="h"))
    found = prepared(tmp_path, frame, BINARY + '[time]\ncolumn = "at"\n')
    said = [each for each in found.findings if each.code == "target_shift"]
    assert [each.code for each in said] == codes
    assert all(
        re.search(r"class yes .* train \d\d\.\d%.* test [45]\d", each.message) for each in said
    )

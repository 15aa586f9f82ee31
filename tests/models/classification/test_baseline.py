"""Rules without a model that give the shares of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.outcomes import build_late, build_letters

from model_loop.models.baseline import (
    ClassesRule,
    ColumnRule,
    baseline_errors,
    best_baseline,
    validation_errors,
)
from model_loop.models.evaluation import measure_outcomes


def test_the_best_rule_has_the_lowest_log_loss(tmp_path: Path) -> None:
    """It is the share of late parcels by a column; no rule says the median of yes and no."""
    late = build_late(tmp_path)
    errors = validation_errors(late)
    rule = best_baseline(late)
    assert isinstance(rule, ColumnRule)
    assert rule.title == min(errors, key=lambda title: errors[title].log_loss)
    assert rule.title.startswith("share by ")
    assert "share of all rows" in errors
    assert not any("me" in title.split()[0] for title in errors)
    predicted = rule.predict(late.test_rows)
    assert ((predicted > 0) & (predicted < 1)).all()
    expected = measure_outcomes(late.test_target, predicted, late.target)
    assert baseline_errors(late) == {rule.title: expected}
    assert expected.log_loss < errors["share of all rows"].log_loss


def test_a_value_whose_rows_are_all_alike_is_not_sure(tmp_path: Path) -> None:
    """A column that tells the class apart leaves a chance of another one."""
    late = build_late(tmp_path)
    for rows in (late.train_rows, late.validation_rows):
        assert rows is not None
        rows["carrier"] = np.where(rows.days > 0, "x", "y")
    rule = best_baseline(late)
    assert rule.title == "share by carrier"
    predicted = rule.predict(late.test_rows.assign(carrier="x"))
    assert 0.99 < predicted[0] < 1


def test_several_classes_have_a_share_each(tmp_path: Path) -> None:
    """Shares add up to 1, also for values that were never seen."""
    letters = build_letters(tmp_path)
    rule = best_baseline(letters)
    assert isinstance(rule, ClassesRule)
    predicted = rule.predict(letters.test_rows.assign(width=np.nan))
    assert predicted.shape == (len(letters.test_rows), 3)
    assert predicted.sum(axis=1) == pytest.approx(np.ones(len(predicted)))
    found = baseline_errors(letters)[rule.title]
    assert found.log_loss < validation_errors(letters)["share of all rows"].log_loss - 0.2

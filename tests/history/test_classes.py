"""Partitions of a table whose target is a class: another share of a class is told by its name."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.findings import Finding
from model_loop.history.declared import compared_table, sketch_of
from model_loop.history.judging import judge_partition
from model_loop.history.sketch import Sketch

ROWS = 4_000
LABELS = """
name = "claims"
title = "Claims"
target = "outcome"
source = "claims.csv"
partition = "month"
[time]
column = "at"
[task]
{task}
[columns.at]
type = "time"
[columns.amount]
type = "number"
[columns.outcome]
type = "{kind}"
title = "outcome of a claim"
"""
BINARY = LABELS.format(task='kind = "binary"\npositive_class = "fraud"', kind="category")
SEVERAL = LABELS.format(
    task='kind = "multiclass"\nclasses = ["fraud", "doubt", "sound"]', kind="category"
)
CONDITION = LABELS.format(
    task='kind = "binary"\npositive_when = "outcome > 2"\npositive_class = "fraud"\n'
    'negative_class = "sound"',
    kind="number",
)


def dataset(text: str) -> Dataset:
    """A dataset of claims."""
    return dataset_of(parse_declaration(text, "claims.toml"))


def month(number: int, share: float, text: str) -> Sketch:
    """Sketch a month in which a share of the claims is fraud."""
    draw = np.random.default_rng(number)
    start = dt.datetime(2024, number, 1)  # noqa: DTZ001 - on the clocks of the place
    end = (start + dt.timedelta(days=32)).replace(day=1)
    fraud = draw.random(ROWS) < share
    honest = np.where(draw.random(ROWS) < 0.3, "doubt", "sound") if text == SEVERAL else "sound"
    outcome = np.where(fraud, "fraud", honest)
    if text == CONDITION:
        outcome = np.where(fraud, 2.5, 1.0) + draw.uniform(0, 0.4, ROWS)
    rows = pd.DataFrame(
        {
            "at": start + pd.to_timedelta(draw.uniform(0, 27 * 86_400, ROWS).round(), unit="s"),
            "amount": draw.gamma(2, 50, ROWS).round(2),
            "outcome": outcome,
        }
    )
    rows["at"] = rows["at"].astype("datetime64[us]")
    return sketch_of(compared_table(dataset(text)), f"2024-{number:02}", (start, end), rows)


def told(text: str, share: float, before: tuple[float, ...] = (0.01,) * 4) -> list[Finding]:
    """Findings about classes of a month after others."""
    history = [month(number, each, text) for number, each in enumerate(before, 1)]
    found = judge_partition(
        compared_table(dataset(text)), month(len(before) + 1, share, text), history
    )
    return [each for each in found if each.code == "class_share"]


@pytest.mark.parametrize(
    "text", [BINARY, SEVERAL, CONDITION], ids=["labels", "several", "condition"]
)
def test_another_share_of_a_rare_class_is_told_by_its_name(text: str) -> None:
    """Three times as many of one row in a hundred are a small part of the column."""
    said = told(text, 0.03)
    assert [(each.column, each.level) for each in said] == [("outcome", "warning")]
    assert "of the rows are fraud (outcome of a claim); before, 1." in said[0].message or (
        "of the rows are fraud (outcome of a claim); before, 0.9" in said[0].message
    )
    assert told(text, 0.01) == []


def test_a_share_that_always_varies_is_no_finding() -> None:
    """History says how much; fewer partitions than tell it are none."""
    assert told(BINARY, 0.16, (0.05, 0.15, 0.08, 0.12)) == []
    assert told(BINARY, 0.5, (0.05, 0.15, 0.08, 0.12))
    assert told(BINARY, 0.03, (0.01, 0.01)) == []

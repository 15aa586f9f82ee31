"""The request that the last screen of a run shows is read as the row that it is of."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model_loop.cli.run import _given, _print_findings, _print_run
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.findings import Finding
from model_loop.history.judging import _beside
from model_loop.history.sketch import Sketch
from model_loop.pipeline.run import _as_stored

DATASET = dataset_of(
    parse_declaration(
        """
name = "deliveries"
source = "deliveries.csv"
target = "minutes"
decimal_char = ","
[time]
column = "at"
stored_in = "UTC"
time_zone = "Europe/Berlin"
[columns.at]
type = "time"
[columns.weight]
type = "number"
[columns.minutes]
type = "number"
""",
        "deliveries.toml",
    )
)


def test_numbers_have_the_decimal_sign_of_the_table() -> None:
    """A point would be one of thousands."""
    use_dataset(DATASET)
    (given,) = shlex.split(_given("deliveries", "weight", 33.081))
    assert given == "weight=33,081"
    name, _, text = given.partition("=")
    row = DATASET.reader.read_row({name: text, "at": "2024-09-01"}, DATASET.now)
    assert row[0][DATASET.columns.places["weight"]] == 33.081


def test_many_findings_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the whole table come first; of others, some are shown, with their partition."""
    months = [f"2024-{month:02}" for month in range(1, 10)]
    findings = [
        {
            "partition": partition,
            "level": "warning",
            "code": "rare_values",
            "message": "Some.",
            "remedy": "Look.",
        }
        for partition in (*months, "whole")
    ]
    _print_findings(findings)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "warning rare_values: Some. Look.",
        "warning rare_values of 2024-01: Some. Look.",
    ]
    assert lines[-1].startswith("5 more: ")


def test_remedies_name_no_partition_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """The message has those that were compared; a record has them in the remedy as well."""
    none = np.empty(0)
    (told,) = _beside(
        [Finding("rare_values", "x", "2024-02", "warning", "Some.", "Look.")],
        [Sketch("2024-01", 0, 9, 9, none, {}, {}, {}, none)],
    )
    assert told.remedy == (
        "Look at both sides, 2024-02 and 2024-01, first. If 2024-02 is wrong: look."
    )
    _print_findings([told.to_json()])
    assert " ".join(capsys.readouterr().out.split()) == (
        "warning rare_values of 2024-02: Some. Compared with 2024-01: either side may be the "
        "wrong one. If 2024-02 is wrong: look."
    )


def test_times_are_on_the_clocks_of_the_files() -> None:
    """A time without an offset is read as the files have it; that of the table is another."""
    berlin = pd.Series(pd.to_datetime(["2024-09-01 01:48:00"]))
    assert str(_as_stored(DATASET, "at", berlin).iloc[0]) == "2024-08-31 23:48:00"


def classified() -> dict[str, Any]:
    """Return the run of a classifier, as the pipeline hands it on."""
    rule = "share by the hour of the hour of the scheduled departure from one of three airports"
    scores = {"validation_log_loss": 0.4472, "test_roc_auc": 0.8607}
    return {
        "metrics": ["log_loss", "roc_auc", "average_precision"],
        "positive": "yes",
        "families": [
            {
                "family": "ensemble.RandomForestClassifier",
                "version": 1,
                "test_log_loss": 0.2,
                "test_average_precision": 0.9,
                "test_recall": 0.7,
                "test_precision": 0.8,
                **scores,
            }
        ],
        "compared_with": {rule: {"test_log_loss": 0.4, "test_average_precision": 0.75, **scores}},
        "variant": "late",
        "recipe": "sent",
        "moment": "sent",
        "read": 100,
        "split": "by time",
        "rows": {"test": 40},
        "chosen_by": "rows",
        "periods": {},
        "set_aside": {},
        "findings": [],
        "champion": 1,
    }


def test_classes_are_shown_by_log_loss(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every number is whole on a narrow screen; a long name of a rule gives way."""
    monkeypatch.setenv("COLUMNS", "80")
    _print_run(classified(), {"unit": "", "target": "late"})
    shown = capsys.readouterr().out
    for text in ("log loss", "ROC AUC", "average", "0.4472", "0.2", "0.8607", "0.9", "0.75"):
        assert text in shown
    assert "…" not in shown
    words = " ".join(shown.split())
    assert "has a log loss of 0.2 on 40 test rows that no model has seen: 50% less" in words
    assert "it finds 70.0% of those that are yes, and 80.0% of those that it calls so are" in words
    assert "Champion at the moment sent: version 1" in words

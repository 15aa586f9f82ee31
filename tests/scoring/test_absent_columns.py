"""A file that lacks a column which the model has learned from is scored, and not without a word."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.cli.test_last_screen import DATASET
from upath import UPath

from model_loop.datasets.registry import use_dataset
from model_loop.scoring.batch.planning import BatchRequest, plan_chunks
from model_loop.scoring.predictor import RegisteredVersion


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("at,weight", []),
        ("at", ["no column weight, which version 3 has learned from: it counts as missing."]),
        ("at,weigth", ["no column weight", "Is it weigth?"]),
    ],
)
def test_an_absent_column_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, header: str, words: list[str]
) -> None:
    """Its name, and the column of the file that it may be."""
    use_dataset(DATASET)
    source = tmp_path / "ten.csv"
    source.write_text(f"{header}\n2024-09-01{',1' * header.count(',')}\n")
    request = BatchRequest(
        [(UPath(source), UPath(tmp_path / "out.csv"))],
        RegisteredVersion("deliveries", 3),
        ("at", "weight"),
    )
    with caplog.at_level(logging.WARNING):
        plan_chunks(request, str(tmp_path / "store"))
    told = " ".join(caplog.messages)
    assert all(word in told for word in words)
    assert bool(told) == bool(words)

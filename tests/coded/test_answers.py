"""Rows that are handed over to code: few at first, more while it is quick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.coded.test_folders import MANIFEST, lay

from model_loop.coded import answers
from model_loop.coded.answers import CodeModel, JsonRow
from model_loop.coded.folder import read_folder
from model_loop.datasets.registry import get_dataset

BARE = MANIFEST[: MANIFEST.index("[inputs]")] + '[outputs]\npred = "number"\n'


@pytest.mark.parametrize(
    ("quick", "sizes"),
    [
        (1e9, [50, 100, 200, 400, 800, 1_600, 2_000, 1_850]),
        (0.0, [50, 25, 12, 6, 3, *[1] * 4]),
    ],
)
def test_slow_code_gets_few_rows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: float, sizes: list[int]
) -> None:
    """Live requests wait for no more than that, and no answer takes the time of thousands."""
    monkeypatch.setattr(answers, "_QUICK_SECONDS", quick)
    bikes = get_dataset("bikes")
    description = read_folder(lay(tmp_path, BARE), bikes).description
    asked: list[int] = []

    def ask(rows: list[JsonRow]) -> list[JsonRow]:
        asked.append(len(rows))
        return [{"pred": float(sum(asked) - len(rows) + place)} for place in range(len(rows))]

    model = CodeModel(bikes, description, description.columns(bikes), 0.5, ask)
    number = sum(sizes)
    predicted = model.predict_rows(np.zeros((number, len(bikes.columns))))
    assert asked == sizes
    np.testing.assert_array_equal(predicted, np.arange(number))

"""Counters of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_loop.scoring.notices import Notice
from model_loop.serving import metrics
from model_loop.serving.metrics import ServerMetrics
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log


def test_notices_of_a_wide_table_make_few_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first columns are counted by name, further ones together; none is left out."""
    monkeypatch.setattr(metrics, "_NAMED_NOTICES", 2)
    counters = ServerMetrics({}, RequestLog(open_log("", tmp_path)))
    rows = [[Notice("out_of_range", f"x{number}", 1.0, "", "")] for number in range(5)]
    counters.noticed("parcels", 3, [*rows, *rows])
    lines = counters.text().decode().splitlines()
    prefix = 'model_loop_notices_total{code="out_of_range",column='
    found = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    assert found == [
        f'"{column}",variant="parcels",version="3"}} {count}'
        for column, count in (("x0", 2.0), ("x1", 2.0), ("(others)", 6.0))
    ]

"""What to try, and what the log said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_loop.alerts.advice import KILLED, advice_on
from model_loop.alerts.logs import error_in, log_tail
from model_loop.errors import ContractError


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (KILLED, "no memory left"),
        ("MemoryError", "no memory left"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "MlflowException: API request to http://127.0.0.1:5000/api failed: Connection refused",
            "tracking server http://127.0.0.1:5000 did not answer",
        ),
        ("ConnectionError: connection refused by s3", "A server did not answer"),
        ("AirflowTaskTimeout: Timeout, PID: 7", "longer than it may"),
        ("OperationalError: database is locked", "PostgreSQL"),
        ("PermissionError: [Errno 13] Permission denied: '/data'", "permissions"),
        ("ModuleNotFoundError: No module named 'shap'", "lacks a package"),
        ("KeyError: 'x'", "Open the log"),
    ],
)
def test_advice_fits_the_error(words: str, advice: str) -> None:
    """What to try is told from what the error says."""
    first, *rest = advice_on(None, words)
    assert advice in first
    assert "clear the task" in rest[0]


def test_our_errors_bring_their_remedy() -> None:
    """An error of our own says itself what to do."""
    error = ContractError("Month 2024-01", "is empty", "Choose another month.")
    assert advice_on(error, str(error))[0] == "Choose another month."


LINES = [
    {"timestamp": "2026-01-02T03:04:05.6Z", "level": "debug", "event": "too much"},
    {"timestamp": "2026-01-02T03:04:05.6Z", "level": "info", "event": "::group::Execute"},
    {"timestamp": "2026-01-02T03:04:05.6Z", "level": "info", "event": "trial 3 of 5"},
    {
        "timestamp": "2026-01-02T03:04:06.6Z",
        "level": "error",
        "event": "Task failed with exception",
        "error_detail": [
            {
                "exc_type": "ValueError",
                "exc_value": "first\nsecond",
                "frames": [{"filename": "a.py", "lineno": 7, "name": "fit"}],
            }
        ],
    },
]


def test_the_end_of_the_log_is_readable(tmp_path: Path) -> None:
    """Of the lines of JSON those that matter are shown, with the error and where it was raised."""
    log = tmp_path / "attempt=1.log"
    log.write_text("\n".join([*map(json.dumps, LINES), "plain words"]))
    assert log_tail(log) == (
        "03:04:05 INFO    trial 3 of 5",
        "03:04:06 ERROR   Task failed with exception",
        "    a.py:7 in fit",
        "    ValueError: first",
        "    second",
        "plain words",
    )
    assert error_in(log) == "ValueError: first\nsecond"


def test_a_line_that_is_nested_without_end_is_a_line(tmp_path: Path) -> None:
    """It is shown as it is, and hides no error."""
    log = tmp_path / "attempt=1.log"
    log.write_text("\n".join(["[" * 50_000, *map(json.dumps, LINES)]))
    assert log_tail(log)[0] == "[" * 400
    assert error_in(log) == "ValueError: first\nsecond"


def test_a_long_log_is_cut(tmp_path: Path) -> None:
    """Of a long log only the end is read, and long lines are cut."""
    log = tmp_path / "attempt=1.log"
    line = json.dumps({"level": "info", "event": "x" * 1_000})
    log.write_text("\n".join([line] * 1_000))
    tail = log_tail(log, 5)
    assert len(tail) == 5
    assert max(map(len, tail)) <= 400
    assert error_in(log) == ""

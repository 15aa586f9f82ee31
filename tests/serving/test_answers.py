"""Answers of the DAG `prediction` in the request log."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from model_loop.datasets.reading import Row
from model_loop.scoring.answers import answer_maker
from model_loop.scoring.predictor import RegisteredVersion
from model_loop.serving.request_log.further_answers import log_answers
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log
from trip_duration.dataset import TRIPS

ONE = "01a1febddfd37c8ca24e0876493219a7"
ROW = Row([239.0, 236.0, 1_709_280_000.0, 1.98, math.nan, math.nan, math.nan], ())


@pytest.fixture
def answered() -> tuple[list[Row], list[dict[str, Any]]]:
    """One trip, answered."""
    return [ROW], [msgspec.to_builtins(answer_maker(TRIPS)(ROW, 11.5, ONE, 3, "ended"))]


def test_answers_are_logged_with_their_inputs(tmp_path: Path, answered: Any) -> None:
    """They are found by their id, and take feedback like any other."""
    engine = open_log("", tmp_path)
    rows, answers = answered
    log = RequestLog(engine)
    assert log_answers(log, RegisteredVersion("green", 3), rows, answers, "ada" * 50, 1.5)
    log = RequestLog(engine)
    found = log.find(ONE)
    assert found is not None
    assert (found["model_version"], found["prediction"], found["unit"]) == (3, 11.5, "min")
    assert (found["version"], found["minutes"], found["caller"]) == (3, 11.5, ("ada" * 50)[:100])
    assert (found["pickup_zone"], found["trip_distance"]) == (239, 1.98)
    assert log.add_feedback({ONE: 12.0}, "ada") == []


def test_a_log_that_is_away_is_told_of(tmp_path: Path, answered: Any) -> None:
    """Nothing is raised; the caller learns that the answers are not there."""
    engine = open_log(f"sqlite:///{tmp_path}/away/requests.db", tmp_path, must_answer=False)
    rows, answers = answered
    log = RequestLog(engine)
    assert not log_answers(log, RegisteredVersion("green", 3), rows, answers, "ada", 1.5)

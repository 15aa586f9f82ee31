"""Answers of the DAG `prediction` in the request log."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from model_loop.scoring.predictor import Version
from model_loop.scoring.questions import Answer, Answered
from model_loop.serving.answers import log_answers
from model_loop.serving.log_tables import open_log
from model_loop.serving.request_log import RequestLog

ONE = "01a1febddfd37c8ca24e0876493219a7"
TRIPS = pd.DataFrame({"PULocationID": [239], "DOLocationID": [236], "trip_distance": [1.98]})


@pytest.fixture
def answered() -> Answered:
    """One trip, answered."""
    return Answered(
        TRIPS, [Answer(ONE, 11.5, 3, 239, 236, 1.98, typical_distance=False, pickup_at=None)]
    )


def test_answers_are_logged_with_their_inputs(tmp_path: Path, answered: Answered) -> None:
    """They are found by their id, and take feedback like any other."""
    engine = open_log("", tmp_path)
    assert log_answers(RequestLog(engine), Version("green", 3), answered, "ada" * 50, 1.5)
    log = RequestLog(engine)
    found = log.find(ONE)
    assert found is not None
    assert (found["version"], found["minutes"], found["caller"]) == (3, 11.5, ("ada" * 50)[:100])
    assert (found["pickup_zone"], found["trip_distance"]) == (239, 1.98)
    assert log.add_feedback({ONE: 12.0}, "ada") == []


def test_a_log_that_is_away_is_told_of(tmp_path: Path, answered: Answered) -> None:
    """Nothing is raised; the caller learns that the answers are not there."""
    engine = open_log(f"sqlite:///{tmp_path}/away/requests.db", tmp_path, must_answer=False)
    assert not log_answers(RequestLog(engine), Version("green", 3), answered, "ada", 1.5)

"""Answers that were not given by the server, in the same request log."""

from __future__ import annotations

import time

from model_loop.scoring.predictor import Version
from model_loop.scoring.questions import Answered
from model_loop.serving.log_entries import Entry
from model_loop.serving.log_tables import CALLER_LENGTH
from model_loop.serving.request_log import RequestLog
from model_loop.serving.rows import from_frame

#: As what they were answered: by the version that was asked for.
PART = "form"


def log_answers(
    log: RequestLog, version: Version, answered: Answered, caller: str, latency_ms: float
) -> bool:
    """Write answers into the log; whether the database has taken them.

    Parameters
    ----------
    log
        That is not started yet; it is stopped in the end.
    version
        What has answered.
    caller
        Who has asked.
    latency_ms
        How long all of them took.
    """
    trips = answered.trips
    rows = from_frame(trips, [str(name) for name in trips.columns]).tolist()
    now = time.time()
    log.record_many(
        Entry(
            one.prediction_id,
            now,
            version.service,
            version.number,
            PART,
            caller[:CALLER_LENGTH],
            None,
            one.minutes,
            latency_ms,
            row,
        )
        for one, row in zip(answered.answers, rows, strict=True)
    )
    log.start()
    log.stop()
    return not log.waiting and not log.counts.dropped

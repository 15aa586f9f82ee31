"""Answers that were not given by the server, in the same request log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.datasets.reading import Row
from model_loop.scoring.answers import logged_answer
from model_loop.scoring.predictor import RegisteredVersion
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import CALLER_LENGTH, LIMITS

#: Part in the log of answers by the version that was asked for.
PART = "form"


def log_answers(
    log: RequestLog,
    version: RegisteredVersion,
    rows: Sequence[Row],
    answers: Sequence[Mapping[str, Any]],
    caller: str,
    latency_ms: float,
) -> bool:
    """Write answers into the log; whether the database has taken them.

    Parameters
    ----------
    log
        Log that is not started yet; it is stopped in the end.
    version
        Version that has answered.
    rows, answers
        One of each for every row; see `scoring.answers`.
    caller
        Name of the caller.
    latency_ms
        Time of all of them.
    """
    now, declaration = time.time(), log.declare(version.declaration)
    log.record_many(
        Entry(
            one["prediction_id"],
            now,
            version.service,
            version.number,
            PART,
            caller[:CALLER_LENGTH],
            None,
            number,
            latency_ms,
            row.cells,
            declaration,
            None,
            *(one[name] for name in LIMITS),
            *of_class,
        )
        for one, row in zip(answers, rows, strict=True)
        for number, *of_class in [logged_answer(version.dataset.target, one)]
    )
    log.start()
    log.stop()
    return not log.waiting and not log.counts.dropped

"""Prediction service behind the routes: answer trips, log the answers, count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from model_loop.datasets.dataset import Moment
from model_loop.datasets.reading import Row
from model_loop.scoring.assumptions import compute_missing
from model_loop.scoring.identifiers import new_id
from model_loop.serving.metrics import ServerMetrics
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.traffic import choose
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import RequestLog


class PredictedRows(NamedTuple):
    """Predictions for the trips of a request.

    Parameters
    ----------
    version, moment
        Version that answered, and its moment.
    minutes, ids
        One of each for every trip.
    rows
        The trips, with what was assumed of each.
    """

    version: int
    moment: Moment
    minutes: Sequence[float]
    ids: Sequence[str]
    rows: Sequence[Row]


class PredictionService:
    """Answers trips of one service.

    Parameters
    ----------
    service
        Service of the trips.
    live
        The versions that answer.
    log
        Log of the predictions.
    metrics
        Counters of the predictions.
    """

    def __init__(
        self, service: str, live: ModelManager, log: RequestLog, metrics: ServerMetrics
    ) -> None:
        self.service = service
        self.live = live
        self.log = log
        self.metrics = metrics

    def start(self) -> None:
        """Begin to watch the versions and to write the log; a second call changes nothing."""
        self.log.start()
        self.live.start()

    def stop(self) -> None:
        """End both; what waits is written."""
        self.live.stop()
        self.log.stop()

    def predict(
        self,
        rows: Sequence[Row],
        key: str | None,
        caller: str,
        started: float,
        moment: Moment | None = None,
    ) -> PredictedRows:
        """Predict rows, and log each of them.

        Parameters
        ----------
        moment
            The moment that the request names.
        started
            Time of arrival, by `time.perf_counter`.

        Raises
        ------
        RequestRefusedError
            See `choose`.
        InvalidInputError
            If a value that is missing cannot be computed.
        """
        chosen = choose(self.live.now, rows, key, moment)
        predictor, part = chosen.predictor, chosen.part
        if chosen.computes:
            rows = compute_missing(rows)
        values = [row[0] for row in rows]
        minutes = predictor.predict(np.array(values, dtype=np.float64)).tolist()
        at = time.time()
        latency = (time.perf_counter() - started) * 1_000
        ids = [new_id(at) for _ in minutes]
        version, service, log = predictor.version, self.service, self.log
        for one, row, took in zip(ids, values, minutes, strict=True):
            log.record(Entry(one, at, service, version, part, caller, key, took, latency, row))
        self.metrics.predicted(version, part, len(ids))
        return PredictedRows(version, chosen.moment, minutes, ids, rows)

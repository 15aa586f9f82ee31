"""Prediction service behind the routes: answer rows, log the answers, count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from model_loop.datasets.dataset import Moment
from model_loop.datasets.reading import Row
from model_loop.datasets.registry import find_variant
from model_loop.scoring.assumptions import compute_missing
from model_loop.scoring.identifiers import new_id
from model_loop.serving.metrics import ServerMetrics
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.traffic import choose
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import RequestLog


class PredictedRows(NamedTuple):
    """Predictions for the rows of a request.

    Parameters
    ----------
    version, moment
        Version that answered, and its moment.
    predictions, ids
        One of each for every row.
    rows
        The rows, with what was assumed of each.
    """

    version: int
    moment: Moment
    predictions: Sequence[float]
    ids: Sequence[str]
    rows: Sequence[Row]


class PredictionService:
    """Answers rows of one variant.

    Parameters
    ----------
    service
        Key of the variant.
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
        self.dataset, self.variant = find_variant(service)
        self._dtype = object if self.dataset.columns.texts else np.float64
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
        chosen = choose(self.dataset, self.live.now, rows, key, moment)
        predictor, part = chosen.predictor, chosen.part
        if chosen.computes:
            rows = compute_missing(self.dataset, rows)
        values = [row[0] for row in rows]
        predictions = predictor.predict(np.array(values, dtype=self._dtype)).tolist()
        at = time.time()
        latency = (time.perf_counter() - started) * 1_000
        ids = [new_id(at) for _ in predictions]
        version, service, log = predictor.version, self.service, self.log
        for one, row, value in zip(ids, values, predictions, strict=True):
            log.record(Entry(one, at, service, version, part, caller, key, value, latency, row))
        self.metrics.predicted(service, version, part, len(ids))
        return PredictedRows(version, chosen.moment, predictions, ids, rows)

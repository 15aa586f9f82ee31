"""Prediction service behind the routes: answer rows, log the answers, count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.reading import RefusedRowsError, Row
from model_loop.datasets.registry import find_variant
from model_loop.datasets.stored import digest_of_text
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.scoring.assumptions import compute_missing
from model_loop.scoring.identifiers import new_id
from model_loop.scoring.limits import Limits
from model_loop.scoring.notices import Notice, notices_of, settled
from model_loop.scoring.outcomes import Outcome, answers_of_rows, logged
from model_loop.scoring.reasons import Reasons, reasons_of_rows
from model_loop.scoring.rows import as_rows
from model_loop.serving.compiled.model import Targets
from model_loop.serving.metrics import ServerMetrics
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.traffic import ChosenVersion, Read, choose_version
from model_loop.serving.request_log.entries import FAILED, Entry
from model_loop.serving.request_log.log import RequestLog
from model_loop.tracking.deployments import log_once

#: Rows with what was assumed of each, their values, and predictions.
_Predicted = tuple[Sequence[Row], Sequence[Sequence[Any]], Targets]

#: Characters of an error that the log shows.
_QUOTED = 300


class PredictedRows(NamedTuple):
    """Predictions for the rows of a request.

    Parameters
    ----------
    version, moment
        Version that answered, and its moment.
    predictions, ids
        One of each for every row; the predictions are numbers, or outcomes of classes.
    rows
        The rows, with what was assumed of each.
    dataset
        The dataset by which the version has read them.
    notices
        What is to be said of each; see `scoring.notices`.
    limits
        Interval around each prediction; see `scoring.limits`.
    reasons
        Reasons of each prediction; None if they were not requested.
    """

    version: int
    moment: Moment
    predictions: Sequence[float] | Sequence[Outcome]
    ids: Sequence[str]
    rows: Sequence[Row]
    dataset: Dataset
    notices: Sequence[tuple[Notice, ...]]
    limits: Sequence[Limits]
    reasons: Sequence[Reasons] | None = None


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
        self.live = live
        self.log = log
        self.metrics = metrics

    @property
    def answering(self) -> Dataset:
        """The dataset by which the earliest champion reads; the present one without a champion."""
        champion = self.live.now.champion
        return champion.dataset(self.dataset) if champion else self.dataset

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
        read: Read,
        key: str | None,
        caller: str,
        started: float,
        moment: Moment | None = None,
        level: float = DEFAULT_LEVEL,
        *,
        explain: bool = False,
    ) -> PredictedRows:
        """Predict rows, and log each of them.

        Parameters
        ----------
        read
            Returns the rows as a dataset reads them.
        moment
            The moment that the request names.
        started
            Time of arrival, by `time.perf_counter`.
        level
            Percentage of true values that the intervals or sets are to hold, from 50 to 99.
        explain
            Whether reasons are requested.

        Raises
        ------
        RequestRefusedError
            See `choose`.
        InvalidInputError
            If the rows are refused, a value that is missing cannot be computed, or the version
            gives no reasons and is asked for them.
        """
        chosen = choose_version(self.dataset, self.live.now, read, key, moment)
        if chosen.champion is None:
            rows, values, predicted = _predict(chosen)
        else:
            chosen, (rows, values, predicted) = _predict_on_trial(chosen, chosen.champion)
        predictor, part, dataset = chosen.predictor, chosen.part, chosen.dataset
        watch = predictor.watch
        reasons = None
        if explain:
            cells = as_rows(dataset, values)
            reasons = reasons_of_rows(predictor.explain, dataset, cells, predicted)
        predictions, limits = answers_of_rows(
            predictor.deciding,
            predictor.intervals,
            dataset,
            level,
            predicted,
            values,
            predictor.correction,
        )
        notices = [notices_of(watch, row) for row in rows]
        at = time.time()
        latency = (time.perf_counter() - started) * 1_000
        ids = [new_id(at) for _ in predictions]
        version, service, log = predictor.version, self.service, self.log
        digest = log.declare(predictor.declaration) if predictor.declaration else ""
        told = (at, service, version, part, caller, key)
        entries = [
            Entry(one, *told, number, latency, row, digest, None, *around, *of_class)
            for one, row, (number, *of_class), around in zip(
                ids, values, map(logged, predictions), limits, strict=True
            )
        ]
        shadow = self.live.now.shadow
        if shadow is not None and shadow.dataset(self.dataset) is not dataset:
            entries = self._shadowed(shadow, read, entries)
        log.record_many(entries)
        self.metrics.predicted(service, version, part, len(ids))
        self.metrics.noticed(service, version, notices)
        if chosen.unread_by is not None:
            self.metrics.unread(service, chosen.unread_by.version, "challenger", len(ids))
        return PredictedRows(
            version, chosen.moment, predictions, ids, rows, dataset, notices, limits, reasons
        )

    def _shadowed(self, shadow: ServedVersion, read: Read, entries: list[Entry]) -> list[Entry]:
        """Return entries with the rows as a shadow of another declaration reads them."""
        digest = digest_of_text(shadow.declaration)
        try:
            rows = settled(shadow.watch, read(shadow.dataset(self.dataset)))
        except RefusedRowsError:
            self.metrics.unread(self.service, shadow.version, "shadow", len(entries))
            return entries
        return [
            entry._replace(shadowed=(digest, row.cells))
            for entry, row in zip(entries, rows, strict=True)
        ]


def _predict(chosen: ChosenVersion) -> _Predicted:
    predictor, dataset = chosen.predictor, chosen.dataset
    rows = compute_missing(dataset, chosen.rows) if chosen.computes else chosen.rows
    rows = settled(predictor.watch, rows)
    values = [row[0] for row in rows]
    dtype = object if dataset.columns.texts else np.float64
    return rows, values, predictor.predict(np.array(values, dtype=dtype))


def _predict_on_trial(
    chosen: ChosenVersion, champion: ChosenVersion
) -> tuple[ChosenVersion, _Predicted]:
    """Let a version on trial predict; where it fails, the champion does."""
    try:
        predicted = _predict(chosen)
        if np.isfinite(predicted[2]).all():
            return chosen, predicted
        problem = "it predicts something that is not a number"
    except Exception as error:  # noqa: BLE001 - whatever fails on trial is no caller's problem
        problem = f"{type(error).__name__}: {error}"[:_QUOTED]
    log_once(f"Version {chosen.predictor.version} failed, the champion answers: {problem}")
    return champion._replace(part=FAILED), _predict(champion)

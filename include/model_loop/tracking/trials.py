"""Trials as runs, written beside the search so that the search does not wait for them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from mlflow.entities import Metric, Param, RunInfo
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from model_loop.models.search import Trial
from model_loop.tracking.runs import Tracker

_NUMBER_TAG = "trial"
_RUNNING = "RUNNING"

#: Most logged points of a learning curve.
CURVE_POINTS = 40


class TrialLogger:
    """Logs each trial as a child of a family's run: three requests, on a thread of its own.

    Trials that the run already holds from an earlier attempt are not logged again.

    Parameters
    ----------
    tracker
        Tracker to log to.
    family_run_id
        The run of the family.
    tags
        Tags of every trial.
    """

    def __init__(self, tracker: Tracker, family_run_id: str, tags: dict[str, str]) -> None:
        self.tracker = tracker
        self.family_run_id = family_run_id
        self.tags = tags
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trial-logger")
        # Done on the thread as well: the search begins without waiting for the server.
        self._known = self._executor.submit(self._runs_known)
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Self:
        """Begin to log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until everything is logged; an error of the server surfaces here."""
        self._executor.shutdown(wait=True)
        if error is None:
            self._known.result()
            for pending in self._pending:
                pending.result()
            # A request whose answer was lost is sent again, and may have begun a second run.
            self._runs_known()

    def __call__(self, trial: Trial) -> None:
        """Log *trial* soon."""
        self._pending.append(self._executor.submit(self._log, trial))

    def _log(self, trial: Trial) -> None:
        known = self._known.result().get(trial.number)
        if known is not None and known.status != _RUNNING:
            return
        client = self.tracker.client
        started = int(trial.started * 1_000)
        ended = started + int(trial.seconds * 1_000)
        # A process that was killed may have left a run that had only begun.
        run_id = known.run_id if known else self._create(trial, started)
        client.log_batch(
            run_id,
            params=[Param(name, str(value)) for name, value in trial.settings.items()],
            metrics=_metrics(trial, ended),
        )
        client.set_terminated(run_id, _status(trial), ended)

    def _create(self, trial: Trial, started: int) -> str:
        run = self.tracker.client.create_run(
            self.tracker.experiment_id,
            start_time=started,
            run_name=f"trial {trial.number}",
            tags={
                **self.tags,
                MLFLOW_PARENT_RUN_ID: self.family_run_id,
                _NUMBER_TAG: str(trial.number),
                **({"error": trial.error} if trial.error else {}),
                **({"stopped": trial.stopped} if trial.stopped else {}),
            },
        )
        run_id: str = run.info.run_id
        return run_id

    def _runs_known(self) -> dict[int, RunInfo]:
        """The runs that there are, by the number of their trial; one for each."""
        runs = self.tracker.client.search_runs(
            self.tracker.experiment_ids,
            filter_string=f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.family_run_id}'",
            max_results=5_000,
        )
        known: dict[int, RunInfo] = {}
        # Those that ended come first.
        for run in sorted(runs, key=lambda run: (run.info.status == _RUNNING, run.info.run_id)):
            if _NUMBER_TAG not in run.data.tags:
                continue
            if known.setdefault(int(run.data.tags[_NUMBER_TAG]), run.info) is not run.info:
                self.tracker.client.delete_run(run.info.run_id)
        return known


def _status(trial: Trial) -> str:
    if trial.finished:
        return "FINISHED"
    return "KILLED" if trial.stopped else "FAILED"


def _metrics(trial: Trial, timestamp: int) -> list[Metric]:
    final = trial.metrics.named("validation") if trial.metrics else {}
    final["fit_seconds"] = trial.seconds
    if trial.rounds is not None:
        final["rounds"] = trial.rounds
    metrics = [Metric(name, value, timestamp, 0) for name, value in final.items()]
    curve = [
        Metric("validation_curve", trial.curve[point], timestamp, trial.steps[point])
        for point in _shown(len(trial.curve))
    ]
    return metrics + curve


def _shown(rounds: int) -> list[int]:
    """Return the rounds of a curve to log: evenly spaced, with the first and the last.

    The server stores each point for itself; hundreds of them cost more than a quick fit.
    """
    if rounds <= CURVE_POINTS:
        return list(range(rounds))
    return [round(point * (rounds - 1) / (CURVE_POINTS - 1)) for point in range(CURVE_POINTS)]

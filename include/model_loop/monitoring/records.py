"""Records of findings about windows, on the tracking server.

Each window of a version is one run, found again by its identity: a repeated window replaces what
it said before. One further run for each version holds the same figures as a time series, a point
for each window.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlflow.entities import Metric, Run

from model_loop.days import SECONDS_PER_DAY
from model_loop.monitoring.interval_days import DAYS, IntervalDay, days_of, days_to_json
from model_loop.monitoring.levels import (
    Level,
    WindowFinding,
    from_json,
    gravest_first,
    to_json,
    worst,
)
from model_loop.monitoring.windows import Source, Window
from model_loop.objects.documents import UNREADABLE
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.runs import Tracker

FINDINGS = "findings.json"

#: Metrics that MLflow takes in one request.
_BATCH = 1_000
#: Characters that no name of a metric may have.
_FORBIDDEN = re.compile(r"[^\w.:/ -]")
#: Begins of identities of the runs of all windows, and of all days of intervals.
_SERIES, _INTERVALS = "series", "intervals"


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WatchedVersion:
    """A version that is watched in a window, by the rows of one source.

    Parameters
    ----------
    window, version, source
        Window, version of the window's variant, and source of the rows.
    moment
        Moment of the version; empty where that is not recorded.
    """

    window: Window
    version: int
    source: Source
    moment: str = ""

    @property
    def line(self) -> str:
        """Name of its time series."""
        return f"{self.window.variant}/{self.version}/{self.source}"

    @property
    def identity(self) -> str:
        """Identity of its run."""
        return f"monitoring/{self.line}/{self.window.label}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self._version}, {self.window.label}"

    @property
    def series(self) -> str:
        """Title of the run of all of its windows."""
        return f"{self._version}, {self.source}, all windows"

    @property
    def tags(self) -> dict[str, str]:
        """Tags of each of its runs."""
        return {
            "service": self.window.variant,
            "version": str(self.version),
            **({"moment": self.moment} if self.moment else {}),
        }

    @property
    def _version(self) -> str:
        asked = f" ({self.moment})" if self.moment else ""
        return f"{self.window.variant} version {self.version}{asked}"


class FindingRecords:
    """Findings in one experiment.

    Parameters
    ----------
    tracker
        Tracker of the experiment.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def open(self, watched: WatchedVersion) -> str:
        """Begin the run of a window, or continue it; return its id."""
        tags = {
            **watched.tags,
            "source": watched.source,
            "line": watched.line,
            "window": watched.window.label,
            "window_start": watched.window.start.isoformat(),
            "window_end": watched.window.end.isoformat(),
        }
        return self.tracker.open_run(watched.identity, watched.title, tags)

    def write(
        self, run_id: str, part: str, findings: Sequence[WindowFinding], folder: Path | None = None
    ) -> None:
        """Keep what one step has found, and the files that it has made.

        Parameters
        ----------
        part
            Name of the step, such as ``drift``.
        """
        # A figure that was known at an earlier look, and is not now, must not stay.
        gone = dict.fromkeys((name for name, _ in _metrics(self.read(run_id, part))), np.nan)
        self.tracker.log(run_id, metrics=gone | dict(_metrics(findings)))
        with tempfile.TemporaryDirectory() as made:
            (Path(made) / FINDINGS).write_text(to_json(findings))
            self.tracker.client.log_artifacts(run_id, made, part)
        if folder is not None:
            self.tracker.client.log_artifacts(run_id, str(folder), part)

    def close(self, watched: WatchedVersion, findings: Sequence[WindowFinding]) -> Level:
        """Say how grave it all is, and add the window to the time series."""
        run_id, level = self.open(watched), worst(findings)
        run = self.tracker.client.get_run(run_id)
        known = [str(one) for one in gravest_first(findings) if one.level in {"warn", "act"}]
        tags = {"level": level.value, "found": "; ".join(known[:10])}
        self.tracker.log(run_id, tags=tags)
        self.tracker.close_run(run_id)
        if "level" in run.data.tags:
            self._begin_series_again(watched)
        else:
            self._append(watched, [(watched.window.end, dict(_metrics(findings)))])
        return level

    def days(self, watched: WatchedVersion) -> list[IntervalDay]:
        """Return the days of a version's intervals that were measured so far, in their order."""
        run = self.tracker.find_run(f"{_INTERVALS}/{watched.line}")
        content = run and read_artifact(self.tracker.client, run.info.run_id, DAYS)
        try:
            return days_of(json.loads(content)) if content else []
        except UNREADABLE as error:
            logger.warning("%s of %s cannot be read: %s", DAYS, watched.line, error)
            return []

    def add_days(
        self, watched: WatchedVersion, days: Sequence[IntervalDay], new: Iterable[IntervalDay]
    ) -> None:
        """Store all days of a version's intervals, and log the new ones as a time series.

        Logging a day once more changes nothing: it has the same time, step and values.
        """
        identity, title = f"{_INTERVALS}/{watched.line}", f"{watched.series}: intervals by day"
        run_id = self.tracker.open_run(identity, title, watched.tags)
        self._log(run_id, ((_moment(day.day), day.metrics) for day in new))
        self.tracker.client.log_text(run_id, days_to_json(days), DAYS)
        self.tracker.close_run(run_id)

    def note(self, run_id: str, outcome: str) -> None:
        """Write the outcome beside a window."""
        self.tracker.log(run_id, tags={"outcome": outcome})

    def history(
        self, watched: WatchedVersion, part: str, most: int, known: str = ""
    ) -> list[list[WindowFinding]]:
        """Return the findings of a step in the windows before a window, the oldest first.

        If windows end within a day of each other, only the last counts, so repeated checks do not
        add to the history.

        Parameters
        ----------
        known
            A metric; windows without a value of it are left out.
        """
        before: list[Run] = []
        for run in reversed(self._runs(watched)):
            after = _end(before[-1]) if before else watched.window.end
            said = "level" in run.data.tags and (not known or known in _known(run))
            if said and after - _end(run) >= dt.timedelta(days=1):
                before.append(run)
        return [self.read(str(run.info.run_id), part) for run in reversed(before[:most])]

    def read(self, run_id: str, part: str) -> list[WindowFinding]:
        """Return what one step has found; nothing if it has not run, or that cannot be read."""
        path = f"{part}/{FINDINGS}"
        content = read_artifact(self.tracker.client, run_id, path)
        try:
            return [] if content is None else from_json(content)
        except UNREADABLE as error:
            # A window that is looked at again replaces what cannot be read.
            logger.warning("%s of run %s cannot be read: %s", path, run_id, error)
            return []

    def _runs(self, watched: WatchedVersion) -> list[Run]:
        """The runs of all windows of a version, by the end of the window."""
        found, token = [], None
        while True:
            page = self.tracker.client.search_runs(
                self.tracker.experiment_ids,
                filter_string=f"tags.line = '{watched.line}'",
                max_results=_BATCH,
                page_token=token,
            )
            found += list(page)
            token = page.token
            if not token:
                return sorted(found, key=_end)

    def _append(
        self, watched: WatchedVersion, points: Iterable[tuple[dt.datetime, dict[str, float]]]
    ) -> None:
        identity = f"{_SERIES}/{watched.line}"
        run_id = self.tracker.open_run(identity, watched.series, watched.tags)
        self._log(run_id, points)
        self.tracker.close_run(run_id)

    def _log(self, run_id: str, points: Iterable[tuple[dt.datetime, Mapping[str, float]]]) -> None:
        metrics = [
            Metric(
                key, value, int(end.timestamp() * 1_000), int(end.timestamp() // SECONDS_PER_DAY)
            )
            for end, values in points
            for key, value in values.items()
        ]
        for first in range(0, len(metrics), _BATCH):
            self.tracker.client.log_batch(run_id, metrics=metrics[first : first + _BATCH])

    def _begin_series_again(self, watched: WatchedVersion) -> None:
        """A point that was logged stays for good: write the whole series into a new run."""
        old = self.tracker.find_run(f"{_SERIES}/{watched.line}")
        points = [(_end(run), _known(run)) for run in self._runs(watched)]
        if old is not None:
            self.tracker.client.delete_run(old.info.run_id)
        self._append(watched, points)


def _moment(day: str) -> dt.datetime:
    return dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), dt.UTC)


def _end(run: Run) -> dt.datetime:
    return dt.datetime.fromisoformat(run.data.tags["window_end"])


def _known(run: Run) -> dict[str, float]:
    return {name: value for name, value in run.data.metrics.items() if not np.isnan(value)}


def _metrics(findings: Iterable[WindowFinding]) -> Iterator[tuple[str, float]]:
    for finding in findings:
        if not np.isnan(finding.value):
            yield _FORBIDDEN.sub("_", f"{finding.metric}.{finding.subject}"), finding.value

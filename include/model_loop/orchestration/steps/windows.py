"""Windows that monitoring looks at, and the sources of their rows."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import dataset_of_variant
from model_loop.datasets.times import FIRST_YEAR, LAST_YEAR
from model_loop.errors import InvalidInputError
from model_loop.monitoring import windows
from model_loop.monitoring.labels import can_match, match_partition
from model_loop.monitoring.published import (
    partitions_of_table,
    read_published,
    window_of_published,
)
from model_loop.monitoring.records import FindingRecords, WatchedVersion
from model_loop.monitoring.windows import Window, of_scored
from model_loop.orchestration.forms.sources import source_of
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.schedules.occasions import Events, read_occasions
from model_loop.orchestration.steps.batch_scoring import readable_roots
from model_loop.partitions.keys import (
    WHOLE,
    check_key,
    key_at,
    keys_of,
    labels_delay,
)
from model_loop.scoring.batch.source import read_output
from model_loop.scoring.opening import open_input
from model_loop.scoring.paths import require_allowed, to_path
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings
from model_loop.sources.published import PublishedSource
from model_loop.tracking.experiments import tracker_of

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.datasets.dataset import Moment
    from model_loop.monitoring.windows import WindowRows
    from model_loop.scoring.columns import Given
    from model_loop.scoring.predictor import Predictor

logger = logging.getLogger(__name__)

#: The partitions of a window of requests that are fetched for their true values, at most.
_MOST_PARTITIONS = 6
#: Source of the rows of a partition, whatever its length; see `monitoring.windows.Source`. In plans
#: its key has the same name.
_PARTITION = "month"


def windows_of(
    params: Mapping[str, Any], dag_run: DagRunProtocol, published: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the windows that a run is to look at, as plain values.

    Raises
    ------
    InvalidInputError
        If a partition is none, or days are in the wrong order or lack the first one.
    """
    variant = params["service"]
    dataset = dataset_of_variant(variant)
    of_partition = params["window_source"] == dataset.partitions[1]
    source = _PARTITION if of_partition else params["window_source"]
    moment = dag_run.data_interval_end or dag_run.run_after
    if published:
        # Predictions for the whole partition, and those that were made for requests.
        for key in published:
            window = _of_key(variant, key, moment)
            yield _window(window, _PARTITION, **{_PARTITION: key})
            if key != WHOLE:
                yield _window(window, "request_log")
    elif params["outputs"]:
        label = ", ".join(output.rpartition("/")[2] for output in params["outputs"])
        window = Window(variant, moment - dt.timedelta(days=1), moment, label)
        yield _window(window, "batch", outputs=params["outputs"])
    elif named := params.get(dataset.names.partitions):
        # Each once, however often it is named.
        for key in sorted({check_key(text, dataset.partition) for text in named}):
            yield _window(_of_key(variant, key, moment), source, **{_PARTITION: key})
    elif params["first_day"] or params["last_day"]:
        yield _window(_of_days(variant, params["first_day"], params["last_day"]), source)
    elif of_partition:
        for key in _due(dataset, moment):
            yield _window(_of_key(variant, key, moment), source, **{_PARTITION: key})
    else:
        days = dt.timedelta(days=get_settings().monitoring_days)
        yield _window(Window.of_days(variant, moment - days, moment), source)


def _of_key(variant: str, key: str, moment: dt.datetime) -> Window:
    """Return the window of a partition; of a whole table, one for each day that looks at it."""
    if key != WHOLE:
        return Window.of_partition(variant, key)
    return Window(variant, moment - dt.timedelta(days=1), moment, f"table of {moment:%Y-%m-%d}")


def _due(dataset: Dataset, moment: dt.datetime) -> list[str]:
    """Return the partition whose true values have come within a day before; none on other days.

    So each partition is looked at once, by a schedule that runs once a day.
    """
    if dataset.partition == "whole":
        return [WHOLE]
    ended = moment - (labels_delay(dataset) or dt.timedelta(0))
    key, yesterday = key_at(ended, dataset), key_at(ended - dt.timedelta(days=1), dataset)
    return [yesterday] if yesterday != key else []


def _of_days(variant: str, first: str | None, last: str | None) -> Window:
    """Return the window of whole days in UTC, the last one included.

    Raises
    ------
    InvalidInputError
        If they are in the wrong order or out of bounds, or the first one is lacking.
    """
    if not first:
        raise InvalidInputError(
            f"Last day {last}", "has no first day", "Give the first day as well."
        )
    start, end = _day(first), _day(last or first)
    return Window.of_days(variant, start, end + dt.timedelta(days=1))


def _window(window: Window, source: str, **details: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "label": window.label,
        "source": source,
        **details,
    }


def _day(text: str) -> dt.datetime:
    day = dt.date.fromisoformat(text)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise InvalidInputError(
            f"Day {text}",
            f"is not in the years {FIRST_YEAR} to {LAST_YEAR}",
            "Give a day of these.",
        )
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def published_partitions(params: Mapping[str, Any], events: Events) -> list[str]:
    """Return the partitions whose publication has started this run, as far as it is about them.

    Of a table that comes as one, the newest of its partitions is looked at.
    """
    dataset = dataset_of_variant(params["service"])
    occasions = read_occasions(dataset, events)
    keys = [key for occasion in occasions[:1] for key in occasion.partitions]
    if keys == [WHOLE] and dataset.partition != "whole" and dataset.time is not None:
        return partitions_of_table(_source(params))[-1:]
    return keys


def plan_of_today(plan: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a plan; one that an older version of this package has made is completed.

    It was about one version, and about the source of the form.
    """
    if "versions" in plan:
        return plan
    number = plan["version"]
    version = {"version": number, "moment": versions_of(plan["service"]).moment(number)}
    return {**plan, "source": params["source"], "versions": [version], "named": True}


def watched_of(plan: Mapping[str, Any]) -> Iterator[tuple[WatchedVersion, Mapping[str, Any]]]:
    """Yield the windows of a plan, each with its plain values."""
    for window in plan["windows"]:
        start, end = (dt.datetime.fromisoformat(window[name]) for name in ("start", "end"))
        found = Window(plan["service"], start, end, window["label"])
        for one in plan["versions"]:
            yield WatchedVersion(found, one["version"], window["source"], one["moment"]), window


def gather(
    plan: Mapping[str, Any], params: Mapping[str, Any], predictor: Predictor
) -> Iterator[tuple[WatchedVersion, WindowRows]]:
    """Yield the predictions of each window that were asked at the moment of the version."""
    moment_of = versions_of(plan["service"]).known_moment
    for watched, window in watched_of(plan):
        if watched.version != predictor.version.number:
            continue
        trained = predictor.version.dataset
        scope = replace(watched.window, trained=trained)
        if watched.source == _PARTITION:
            partition = read_published(_source(params, trained), window[_PARTITION])
            columns = predictor.columns
            yield watched, window_of_published(scope, partition, columns, predictor)
        elif watched.source == "batch":
            # If a version is named, all of its rows are looked at.
            asked = None if plan["named"] else moment_of
            yield watched, _scored(watched, scope, window, predictor, asked)
        else:
            found = windows.read_request_log(_request_log(), scope)
            yield (
                watched,
                found.asked_at(
                    dataset_of_variant(plan["service"]).check_moment(watched.moment), moment_of
                ),
            )


def _source(params: Mapping[str, Any], trained: Dataset | None = None) -> PublishedSource:
    settings = get_settings()
    return PublishedSource(
        params["service"],
        source_of(params),
        settings.storage_root,
        settings.request_timeout_seconds,
        trained,
    )


def _scored(
    watched: WatchedVersion,
    scope: Window,
    window: Mapping[str, Any],
    predictor: Predictor,
    moment_of: Callable[[int], Moment | None] | None,
) -> WindowRows:
    return of_scored(
        [_output(output, predictor.version.dataset) for output in window["outputs"]],
        scope,
        predictor.columns,
        lambda version: moment_of is None or moment_of(version) == watched.moment,
    )


def _output(output: str, dataset: Dataset) -> Given:
    """Read an output of batch scoring that a form has named."""
    path = require_allowed(to_path(output), readable_roots())
    with open_input(path):
        # A value that names no file is shown as it is.
        pass
    try:
        return read_output(path, dataset)
    except (InvalidInputError, ValueError, OSError) as error:
        # Its own words may quote what is in the file.
        raise InvalidInputError(
            f"Output {path}",
            f"cannot be read ({type(error).__name__})",
            "Give an output of the DAG batch_scoring, as it was written.",
        ) from error


def with_labels(rows: WindowRows, params: Mapping[str, Any]) -> WindowRows:
    """Add the true values of predicted rows from partitions that were published since."""
    if not can_match(rows.dataset):
        return rows
    source = _source(params, rows.dataset)
    for key in [WHOLE] if source.is_one_table else partitions_asked(rows):
        if source.find(key) is not None:
            rows, report = match_partition(rows, read_published(source, key))
            logger.info("%s: %s", key, report)
    return rows


def partitions_asked(rows: WindowRows) -> list[str]:
    """Return the partitions of most rows: requests for all times lead to no more downloads."""
    dataset = rows.dataset
    if dataset.time is None or dataset.time not in rows.rows:
        return []
    times = rows.rows[dataset.time].dropna()
    counts = pd.Series(keys_of(times.to_numpy(), dataset.partition), dtype=object).value_counts()
    if len(counts) > _MOST_PARTITIONS:
        logger.warning(
            "Rows of %d %s were asked; true values are looked up in the %d of most rows.",
            len(counts),
            dataset.partitions[0],
            _MOST_PARTITIONS,
        )
    return sorted(counts.index[:_MOST_PARTITIONS])


def _request_log() -> Any:  # noqa: ANN401 - an Engine, imported late
    settings = get_settings()
    return open_log(settings.request_log_url, settings.serving_folder)


def records_of_windows(variant: str) -> FindingRecords:
    """Return the store of all findings about a variant."""
    settings, dataset = get_settings(), dataset_of_variant(variant)
    return FindingRecords(
        tracker_of(dataset, settings.tracking_uri, settings.experiment, "monitoring")
    )

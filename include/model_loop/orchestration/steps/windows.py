"""Windows that monitoring looks at, and the sources of their trips."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError
from model_loop.monitoring import windows
from model_loop.monitoring.labels import match_partition
from model_loop.monitoring.records import Records, Watched
from model_loop.monitoring.windows import Window, of_scored
from model_loop.options import build
from model_loop.orchestration.forms.sources import source_of
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.schedules.occasions import Events, read_occasions
from model_loop.orchestration.steps.batch_scoring import readable_roots
from model_loop.orchestration.steps.requests import contract_limits, fetch_named_month
from model_loop.scoring.batch.job import format_of
from model_loop.scoring.opening import open_input
from model_loop.scoring.places import place, require_allowed
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings
from model_loop.tracking.runs import Tracker
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.monitored_months import month_window, of_month
from trip_duration.months import Month
from trip_duration.services import PICKUP_TIME, get_service
from trip_duration.source.published import look_up_publication
from trip_duration.values import FIRST_YEAR, LAST_YEAR

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.datasets.dataset import Moment
    from model_loop.monitoring.windows import WindowRows
    from model_loop.scoring.predictor import Predictor

logger = logging.getLogger(__name__)

#: The months of a window of requests that are fetched for their durations, at most.
_MOST_MONTHS = 6


def windows_of(
    params: Mapping[str, Any], dag_run: DagRunProtocol, published: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The windows that a run is to look at, as plain values.

    Raises
    ------
    InvalidInputError
        If a month is none, or days are in the wrong order or lack the first one.
    """
    service, source = params["service"], params["window_source"]
    moment = dag_run.data_interval_end or dag_run.run_after
    if published:
        # What it would have said of the whole month, and what it has said where it was asked.
        for text in published:
            window = month_window(service, Month.parse(text))
            yield _window(window, "month", month=text)
            yield _window(window, "request_log")
    elif params["outputs"]:
        label = ", ".join(output.rpartition("/")[2] for output in params["outputs"])
        window = Window(service, moment - dt.timedelta(days=1), moment, label)
        yield _window(window, "batch", outputs=params["outputs"])
    elif params["months"]:
        # Each once, however often it is named.
        for month in sorted({Month.parse(text) for text in params["months"]}):
            yield _window(month_window(service, month), source, month=str(month))
    elif params["first_day"] or params["last_day"]:
        if not params["first_day"]:
            raise InvalidInputError(
                f"Last day {params['last_day']}", "has no first day", "Give the first day as well."
            )
        first, last = (
            _day(params[name] or params["first_day"]) for name in ("first_day", "last_day")
        )
        yield _window(Window.of_days(service, first, last + dt.timedelta(days=1)), source)
    elif source == "month":
        # Each month once, however often the schedule runs.
        if moment.day == 1:
            month = Month(moment.year, moment.month).previous()
            yield _window(month_window(service, month), source, month=str(month))
    else:
        days = dt.timedelta(days=get_settings().monitoring_days)
        yield _window(Window.of_days(service, moment - days, moment), source)


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
            "Give a day on which trips may begin.",
        )
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def published_months(variant: str, events: Events) -> list[str]:
    """Return the months whose publication has started this run, as far as it is about them."""
    occasions = read_occasions(dataset_of_variant(variant), events)
    return [str(month) for one in occasions[:1] for month in one.months]


def plan_of_today(plan: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a plan; one that an older version of this package has made is completed.

    It was about one version, and about the source of the form.
    """
    if "versions" in plan:
        return plan
    number = plan["version"]
    version = {"version": number, "moment": versions_of(plan["service"]).moment(number)}
    return {**plan, "source": params["source"], "versions": [version], "named": True}


def watched_of(plan: Mapping[str, Any]) -> Iterator[tuple[Watched, Mapping[str, Any]]]:
    """Yield the windows of a plan, each with its plain values."""
    for window in plan["windows"]:
        start, end = (dt.datetime.fromisoformat(window[name]) for name in ("start", "end"))
        found = Window(plan["service"], start, end, window["label"])
        for one in plan["versions"]:
            yield Watched(found, one["version"], window["source"], one["moment"]), window


def gather(
    plan: Mapping[str, Any], params: Mapping[str, Any], predictor: Predictor
) -> Iterator[tuple[Watched, WindowRows]]:
    """Yield the predictions of each window that were asked at the moment of the version."""
    moment_of = versions_of(plan["service"]).known_moment
    for watched, window in watched_of(plan):
        if watched.version != predictor.version.number:
            continue
        if watched.source == "month":
            yield watched, _month(window["month"], params, predictor)
        elif watched.source == "batch":
            # If a version is named, all of its trips are looked at.
            asked = None if plan["named"] else moment_of
            yield watched, _scored(watched, window, predictor, asked)
        else:
            found = windows.read_request_log(_request_log(), watched.window)
            yield (
                watched,
                found.asked_at(
                    dataset_of_variant(plan["service"]).check_moment(watched.moment), moment_of
                ),
            )


def _month(month: str, params: Mapping[str, Any], predictor: Predictor) -> WindowRows:
    rules = build(CleaningRules, {})
    return of_month(_checked(month, params), predictor.columns, rules, predictor)


def _checked(month: str, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a CheckedMonth, imported late
    """A published month that keeps its contract."""
    store = CheckedMonthStore(get_settings().storage_root)
    raw = fetch_named_month(params["service"], month, params)
    return store.check(raw, get_service(params["service"]), contract_limits())


def _scored(
    watched: Watched,
    window: Mapping[str, Any],
    predictor: Predictor,
    moment_of: Callable[[int], Moment | None] | None,
) -> WindowRows:
    return of_scored(
        pd.concat(map(_output, window["outputs"]), ignore_index=True),
        watched.window,
        predictor.columns,
        lambda version: moment_of is None or moment_of(version) == watched.moment,
    )


def _output(output: str) -> pd.DataFrame:
    """Read an output of batch scoring that a form has named."""
    path = require_allowed(place(output), readable_roots())
    with open_input(path) as file:
        try:
            if format_of(path) == "parquet":
                # A description for pandas may hold anything, and would be parsed in any case.
                frame: pd.DataFrame = pq.read_table(file).replace_schema_metadata().to_pandas()
            else:
                frame = pd.read_csv(file)
        except (ValueError, OSError) as error:
            # Its own words may quote what is in the file.
            raise InvalidInputError(
                f"Output {path}",
                f"cannot be read ({type(error).__name__})",
                "Give an output of the DAG batch_scoring, as it was written.",
            ) from error
    return frame


def with_labels(trips: WindowRows, params: Mapping[str, Any]) -> WindowRows:
    """Add the durations of the predicted trips from months published since."""
    for text in months_asked(trips.rows[PICKUP_TIME]):
        published = look_up_publication(
            source_of(params),
            get_service(params["service"]),
            Month.parse(text),
            timeout_seconds=get_settings().request_timeout_seconds,
        )
        if published is not None:
            trips, report = match_partition(trips, _checked(text, params))
            logger.info("%s: %s", text, report)
    return trips


def months_asked(times: pd.Series[pd.Timestamp]) -> list[str]:
    """The months that most trips begin in: whoever asks for all times makes us fetch no more."""
    counts = times.dropna().dt.strftime("%Y-%m").value_counts()
    if len(counts) > _MOST_MONTHS:
        logger.warning(
            "Trips of %d months were asked; durations are looked up in the %d of most trips.",
            len(counts),
            _MOST_MONTHS,
        )
    return sorted(counts.index[:_MOST_MONTHS])


def _request_log() -> Any:  # noqa: ANN401 - an Engine, imported late
    settings = get_settings()
    return open_log(settings.request_log_url, settings.serving_folder)


def records_of_windows() -> Records:
    """Return the store of all findings."""
    settings = get_settings()
    return Records(Tracker(settings.tracking_uri, f"{settings.experiment}-monitoring"))

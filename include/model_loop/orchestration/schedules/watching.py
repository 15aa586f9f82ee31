"""Waiting for months without a worker: the trigger that looks, and the operator that it resumes."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import Asset, BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from model_loop.errors import InvalidInputError, SourceError, TransientSourceError
from model_loop.orchestration.forms.sources import source_of
from model_loop.orchestration.schedules.watermarks import Watermarks, known
from model_loop.settings import Settings, get_settings
from trip_duration.months import Month, parse_months
from trip_duration.publications import Publications
from trip_duration.services import get_service
from trip_duration.settings import TripSettings

if TYPE_CHECKING:
    from airflow.sdk import Context


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watch:
    """Source to watch, and the intervals.

    Parameters
    ----------
    source, service
        Source and service of the months.
    since
        Month before the first one that is looked for while none is known.
    trained, announced
        The state of `Watermarks`.
    poll_seconds
        Between two looks.
    timeout_seconds
        Timeout of one request.
    again_hours
        After which an announced month is news again.
    failures
        Number of checks in a row that may fail.
    """

    source: str
    service: str
    since: str
    trained: list[dict[str, Any]]
    announced: list[dict[str, Any]]
    poll_seconds: float
    timeout_seconds: float
    again_hours: float
    failures: int

    def known(self) -> Publications:
        """Return the publications that are no news."""
        return known(self.trained, self.announced, dt.timedelta(hours=self.again_hours))

    def look(self) -> Publications:
        """Return the publications that are news now.

        Raises
        ------
        SourceError
            If the source does not answer as it should.
        """
        from trip_duration.source.published import (  # noqa: PLC0415 - DAG files import the sensor
            look_at_source,
        )

        before = self.known()
        found = look_at_source(
            self.source,
            get_service(self.service),
            before,
            Month.parse(self.since),
            timeout_seconds=self.timeout_seconds,
        )
        news = before.news(found)
        return found.of(tuple(one.publication.month for one in news))


class NewPartitionTrigger(BaseTrigger):
    """Looks again and again, until it finds the same news twice in a row.

    A file that is still being uploaded changes between two looks. A look that fails is no event;
    when very many in a row have failed, that is one.

    Parameters
    ----------
    watch
        The fields of a `Watch`.
    """

    def __init__(self, **watch: Any) -> None:  # noqa: ANN401 - plain values of several types
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow does not annotate it
        self.watch = Watch(**watch)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class, and how to make it again."""
        return f"{__name__}.{type(self).__name__}", vars(self.watch)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to tell."""
        seen: list[dict[str, Any]] = []
        failed = 0
        while True:
            # First of all: what fires in the moment when it was deferred may find the task unready.
            await asyncio.sleep(self.watch.poll_seconds)
            try:
                found = (await asyncio.to_thread(self.watch.look)).to_json()
            except SourceError as error:
                failed += 1
                logger.warning("Look failed (%d in a row): %s", failed, error)
                if failed >= self.watch.failures:
                    yield _event({"failed": failed, "error": str(error)})
                    return
                continue
            failed = 0
            if found and found == seen:
                yield _event({"publications": found})
                return
            seen = found


def _event(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow does not annotate it


class NewPartitionSensor(BaseOperator):
    """Waits, deferred, until a source has partitions that are neither trained on nor announced.

    Parameters
    ----------
    asset
        Asset whose events announce them.

    Returns
    -------
    list of dict
        The publications; the same are in the event of the asset.

    Raises
    ------
    InvalidInputError
        If the settings name no source or no month.
    TransientSourceError
        If very many looks in a row have failed.
    """

    def __init__(self, *, asset: Asset, **kwargs: Any) -> None:  # noqa: ANN401 - an operator's own
        super().__init__(outlets=[asset], **kwargs)
        self.asset = asset

    def execute(self, context: Context) -> None:
        """Defer."""
        settings, params = get_settings(), context["params"]
        watch = Watch(
            source=source_of(params),
            service=get_service(params["service"]).name,
            since=str(newest_configured(settings)),
            **self._watermarks(context).state(),
            poll_seconds=params["poll_seconds"],
            timeout_seconds=settings.request_timeout_seconds,
            again_hours=settings.watch_again_hours,
            failures=settings.watch_failures,
        )
        self.log.info(
            "Looking every %g s for %s months in %s that follow %s",
            watch.poll_seconds,
            watch.service,
            watch.source,
            watch.known().newest or watch.since,
        )
        self.defer(trigger=NewPartitionTrigger(**vars(watch)), method_name="resume")

    def resume(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Announce what was found."""
        params = context["params"]
        if "error" in event:
            raise TransientSourceError(
                f"Source {params['source']}",
                f"failed {event['failed']} times in a row ({event['error']})",
                "Mend the source; the next run of this DAG goes on looking.",
            )
        found: list[dict[str, Any]] = event["publications"]
        self._watermarks(context).announce(Publications.from_json(found))
        months = [one["month"] for one in found]
        self.log.info("Published: %s", ", ".join(months))
        context["outlet_events"][self.asset].extra = {
            "service": params["service"],
            "source": params["source"],
            "months": months,
        }
        return found

    def _watermarks(self, context: Context) -> Watermarks:
        params = context["params"]
        return Watermarks(
            context["asset_state_store"][self.asset],
            params["service"],
            params["source"],
            dt.timedelta(hours=get_settings().watch_again_hours),
        )


def newest_configured(settings: Settings) -> Month:
    """The newest month that the settings name.

    Raises
    ------
    InvalidInputError
        If they name none.
    """
    known = cast("TripSettings", settings)
    named = [known.train_months, known.validation_months, known.test_months]
    months = [month for text in named for month in parse_months(text)]
    if not months:
        raise InvalidInputError(
            "The settings", "name no month", "Set MODEL_LOOP_TRAIN_MONTHS, for example 2024-01."
        )
    return max(months)

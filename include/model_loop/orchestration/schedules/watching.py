"""Waiting for partitions without a worker: a trigger that looks, and the operator it resumes."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from model_loop.databases.connections import given_connections
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import SourceError, TransientSourceError
from model_loop.orchestration.connections import connections_of
from model_loop.orchestration.forms.completing import variant_conf
from model_loop.orchestration.forms.sources import source_of
from model_loop.orchestration.schedules.watermarks import Watermarks, known
from model_loop.settings import get_settings
from model_loop.sources.publications import Publications

if TYPE_CHECKING:
    from airflow.sdk import Context


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watch:
    """Source to watch, and the intervals.

    Parameters
    ----------
    source, service
        Source of the partitions, and key of their variant.
    since
        Partition before the first one that is looked for while none is known; empty for all.
    trained, announced
        The state of `Watermarks`.
    poll_seconds
        Between two looks.
    timeout_seconds
        Timeout of one request.
    again_hours
        Age at which an announced partition is news again.
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
        from model_loop.sources.published import (  # noqa: PLC0415 - DAG files import the sensor
            PublishedSource,
        )

        before, root = self.known(), get_settings().storage_root
        source = PublishedSource(self.service, self.source, root, self.timeout_seconds)
        found = source.look(before, self.since)
        return found.of(change.publication.partition for change in before.news(found))


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
                with given_connections(await connections_of(self.watch.service)):
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
        If the form names a source that is not allowed.
    TransientSourceError
        If very many looks in a row have failed.
    """

    def __init__(self, *, asset: Asset, **kwargs: Any) -> None:  # noqa: ANN401 - an operator's own
        super().__init__(outlets=[asset], **kwargs)
        self.asset = asset

    def execute(self, context: Context) -> None:
        """Hand the watching to a trigger, without taking a worker."""
        settings, params = get_settings(), context["params"]
        dataset = dataset_of_variant(params["service"])
        watch = Watch(
            source=source_of(params),
            service=params["service"],
            since=newest_known(dataset),
            **self._watermarks(context).state(),
            poll_seconds=params["poll_seconds"],
            timeout_seconds=settings.request_timeout_seconds,
            again_hours=settings.watch_again_hours,
            failures=settings.watch_failures,
        )
        self.log.info(
            "Looking every %g s for %s of %s in %s; the newest that is known: %s",
            watch.poll_seconds,
            dataset.partitions[0],
            watch.service,
            watch.source,
            watch.known().newest or watch.since or "none",
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
        dataset = dataset_of_variant(params["service"])
        keys = Publications.from_json(found).known
        self.log.info("Published: %s", ", ".join(keys))
        context["outlet_events"][self.asset].extra = {
            **variant_conf(dataset, params["service"]),
            "source": params["source"],
            dataset.names.partitions: [*keys],
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


def newest_known(dataset: Dataset) -> str:
    """Return the partition before the first that is looked for; empty where all are.

    Raises
    ------
    InvalidInputError
        If the dataset's settings name none.
    """
    own: Callable[[], str] | None = dataset.extensions.load("newest_known")
    return own() if own else ""

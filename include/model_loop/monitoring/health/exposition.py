"""The health as Prometheus' text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from model_loop.monitoring.health.parts import PART_NAMES
from model_loop.monitoring.health.types import (
    Answers,
    Champion,
    DagHealth,
    Product,
    ServiceHealth,
    Traffic,
)

_PREFIX = "model_loop"

_Family = CounterMetricFamily | GaugeMetricFamily


def exposition(health: ServiceHealth, now: float | None = None) -> bytes:
    """The health in Prometheus' text format.

    Ages are those of the moment of asking, also where the health is some seconds old. Unknown
    values are left out; `model_loop_health_up` says which part it belongs to.

    Parameters
    ----------
    now
        Seconds since 1970; the present where it is left out.
    """
    registry = CollectorRegistry()
    registry.register(_Health(health, time.time() if now is None else now))
    return generate_latest(registry)


class _Health(Collector):
    """The families of one health."""

    def __init__(self, health: ServiceHealth, now: float) -> None:
        self._health = health
        self._now = now

    def collect(self) -> Iterator[_Family]:
        health, service = self._health, (self._health.service,)
        known = [((name,), float(getattr(health, name) is not None)) for name in PART_NAMES]
        yield _gauge("health_up", "Whether a part of the health can be had.", ("part",), known)
        if health.traffic is not None:
            yield from self._traffic(health.traffic, service)
        if health.answers is not None:
            yield from self._answers(health.answers, service)
        if health.champion is not None:
            yield from self._champion(health.champion, service)
        if health.products is not None:
            yield from self._products(health.products)
        if health.dags is not None:
            yield from self._dags(health.dags)

    def _traffic(self, traffic: Traffic, service: tuple[str]) -> Iterator[_Family]:
        labels = ("service",)
        yield _gauge(
            "recent_predictions",
            "Predictions of the last five minutes, by all servers.",
            labels,
            [(service, traffic.predictions)],
        )
        yield _gauge(
            "recent_latency_seconds",
            "Time from request to answer in the last five minutes.",
            ("service", "quantile"),
            [((*service, f"{one:g}"), seconds) for one, seconds in traffic.latency.items()],
        )
        yield self._age(
            "last_prediction", "the latest prediction", labels, [(service, traffic.latest)]
        )
        yield _gauge(
            "lost_predictions",
            "Predictions that were answered and not logged, of the days that the log keeps.",
            (),
            [((), traffic.lost)],
        )

    def _answers(self, answers: Answers, service: tuple[str]) -> Iterator[_Family]:
        family = CounterMetricFamily(
            f"{_PREFIX}_answers",
            "Requests answered by this server since it started.",
            labels=("service", "status"),
        )
        for status, count in sorted(answers.by_status.items()):
            family.add_metric((*service, str(status)), count)
        yield family
        yield _gauge(
            "unwritten_predictions",
            "Predictions of this server that wait for the request log.",
            ("service",),
            [(service, answers.waiting)],
        )

    def _champion(self, champion: Champion, service: tuple[str]) -> Iterator[_Family]:
        labels, version = ("service",), champion.version
        yield _gauge(
            "service_enabled", "Whether anything answers.", labels, [(service, champion.enabled)]
        )
        told = (*service, str(version), champion.newest_month or "")
        yield _gauge(
            "champion_info",
            "The version that answers.",
            ("service", "version", "newest_month"),
            [(told, 1)] if version is not None else [],
        )
        yield _gauge(
            "champion_version",
            "The version that answers at a moment.",
            ("service", "moment"),
            [((*service, moment), number) for moment, number in champion.by_moment.items()],
        )
        for name, about, at in (
            ("champion", "the champion's training", champion.registered),
            ("champion_promotion", "the champion's promotion", champion.promoted),
            ("data", "the end of the newest month that the champion knows", champion.learned_until),
        ):
            yield self._age(name, about, labels, [(service, at)])

    def _products(self, products: Sequence[Product]) -> Iterator[_Family]:
        labels = ("product", "variant", "newest_month")
        keys = [(one.name, one.variant, one.newest_month) for one in products]
        made = [one.made for one in products]
        checked = [one.checked for one in products]
        yield self._age("product", "a data product", labels, zip(keys, made, strict=True))
        yield self._age(
            "product_check",
            "the last look at a data product's source",
            labels,
            zip(keys, checked, strict=True),
        )

    def _dags(self, dags: Sequence[DagHealth]) -> Iterator[_Family]:
        labels = ("dag_id",)
        yield self._age(
            "dag_last_success",
            "a DAG's last successful run",
            labels,
            [((dag.dag_id,), dag.last_success) for dag in dags],
        )
        yield _gauge(
            "dag_failed_runs",
            "Runs of a DAG that have failed since its last success.",
            labels,
            [((dag.dag_id,), dag.failed_since) for dag in dags],
        )
        yield _gauge(
            "dag_paused",
            "Whether a DAG is paused.",
            labels,
            [((dag.dag_id,), dag.paused) for dag in dags],
        )

    def _age(
        self,
        name: str,
        about: str,
        labels: Sequence[str],
        times: Iterable[tuple[Sequence[str], float | None]],
    ) -> GaugeMetricFamily:
        """Seconds since moments; one that is not known is left out."""
        ages = [(key, self._now - at) for key, at in times if at is not None]
        return _gauge(f"{name}_age_seconds", f"Seconds since {about}.", labels, ages)


def _gauge(
    name: str, about: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{_PREFIX}_{name}", about, labels=labels)
    for key, value in values:
        family.add_metric(key, float(value))
    return family

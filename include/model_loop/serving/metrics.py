"""Counters for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from model_loop.scoring.notices import Notice
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.request_log.log import RequestLog
from model_loop.tracking.deployments import PARTS

_PREFIX = "model_loop"
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
#: Codes and columns of notices that are counted by name; further ones are counted together, so that
#: a wide table makes no more series than a database of metrics bears.
_NAMED_NOTICES = 500
_OTHERS = "(others)"

_Family = CounterMetricFamily | GaugeMetricFamily


class ServerMetrics:
    """Counters of one server.

    Parameters
    ----------
    lives, log
        Versions by the keys of their variants, and the log, which are read when scraped.
    """

    def __init__(self, lives: Mapping[str, ModelManager], log: RequestLog) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{_PREFIX}_requests",
            "Requests answered.",
            ("route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            f"{_PREFIX}_request_seconds",
            "Time from the first byte read to the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._predictions = Counter(
            f"{_PREFIX}_predictions",
            "Rows predicted.",
            ("variant", "version", "part"),
            registry=self._registry,
        )
        self._unread = Counter(
            f"{_PREFIX}_unread",
            "Rows that a version on trial cannot read by its declaration.",
            ("variant", "version", "part"),
            registry=self._registry,
        )
        self._notices = Counter(
            f"{_PREFIX}_notices",
            "Values that no row of training had, by what is said of them.",
            ("variant", "version", "code", "column"),
            registry=self._registry,
        )
        # Looking up labels costs more than counting.
        self._known_requests: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._known_predictions: dict[tuple[str, int, str], Counter] = {}
        self._known_notices: dict[tuple[str, int, str, str], Counter] = {}
        self._registry.register(_State(lives, log))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        known = self._known_requests.get((route, status))
        if known is None:
            known = (self._requests.labels(route, status), self._seconds.labels(route))
            self._known_requests[route, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def predicted(self, variant: str, version: int, part: str, rows: int) -> None:
        """Count predictions."""
        known = self._known_predictions.get((variant, version, part))
        if known is None:
            known = self._predictions.labels(variant, version, part)
            self._known_predictions[variant, version, part] = known
        known.inc(rows)

    def unread(self, variant: str, version: int, part: str, rows: int) -> None:
        """Count rows that a version on trial was to predict, and cannot read."""
        self._unread.labels(variant, version, part).inc(rows)

    def noticed(self, variant: str, version: int, rows: Iterable[Iterable[Notice]]) -> None:
        """Count the notices of rows."""
        for notices in rows:
            for one in notices:
                key = (variant, version, one.code, one.column)
                known = self._known_notices.get(key)
                if known is None:
                    named = len(self._known_notices) < _NAMED_NOTICES
                    known = self._notices.labels(*key[:3], one.column if named else _OTHERS)
                    if named:
                        self._known_notices[key] = known
                known.inc()

    def by_status(self) -> dict[int, int]:
        """Requests answered, by HTTP status."""
        found: dict[int, int] = {}
        for family in self._requests.collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    status = int(sample.labels["status"])
                    found[status] = found.get(status, 0) + int(sample.value)
        return found

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)


class _State(Collector):
    """Collector of values that are looked up when scraped, not counted."""

    def __init__(self, lives: Mapping[str, ModelManager], log: RequestLog) -> None:
        self._lives = lives
        self._log = log

    def collect(self) -> Iterator[_Family]:
        counts = self._log.counts
        yield _counter("request_log_written", "Predictions committed to the log.", counts.written)
        yield _counter("request_log_dropped", "Predictions that were not logged.", counts.dropped)
        yield _counter("shadow_predictions", "Rows that a shadow predicted.", counts.shadowed)
        yield _counter(
            "shadow_difference_minutes",
            "Sum of the absolute differences between shadow and answer.",
            counts.shadow_difference,
        )
        yield _gauge("request_log_waiting", "Predictions not written yet.", self._log.waiting)
        yield _gauge("request_log_working", "Whether the log takes all.", self._log.working)
        lives = self._lives.values()
        reachable = not any(live.unreachable for live in lives)
        yield _gauge("registry_reachable", "Whether the registry answers.", reachable)
        unreadable = sum(len(live.unreadable) for live in lives)
        yield _gauge(
            "registry_unreadable", "Parts of the registry that cannot be read.", unreadable
        )
        ready = GaugeMetricFamily(
            f"{_PREFIX}_model_live",
            "Versions that answer.",
            labels=("variant", "moment", "part", "version", "compiled"),
        )
        for key, live in self._lives.items():
            for moment, side in live.now.sides.items():
                for part in PARTS:
                    if (one := getattr(side, part)) is not None:
                        compiled = str(one.compiled).lower()
                        ready.add_metric((key, moment, part, str(one.version), compiled), 1)
        yield ready


def _counter(name: str, about: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"{_PREFIX}_{name}", about, value)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", about, float(value))

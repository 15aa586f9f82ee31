"""The service's health: requests and answers, ages, and the state of the DAGs."""

from __future__ import annotations

from collections.abc import Iterator

from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import UNKNOWN, age_of, date_of
from model_loop.dashboard.page_data import PageSources
from model_loop.monitoring.health.types import RECENT_SECONDS, ServiceHealth

_NO_CHAMPION = Empty("Nothing answers yet.", "promotion")
_NO_PRODUCTS = Empty("Nothing was prepared yet.", "data_preparation")
_NO_DAGS = Empty("No DAG of this package has run yet.", "data_preparation")
_MILLISECONDS = 1_000


def health_charts(health: ServiceHealth | None, sources: PageSources) -> list[Chart]:
    """Traffic and champion, data products, and DAGs of a dataset, each as a table."""
    return [_service(health), _products(health, sources), _dags(health, sources)]


def _service(health: ServiceHealth | None) -> Chart:
    return Chart(
        "service_health",
        "Service",
        "see each line",
        "Data of the request log, of this server, and of the registry. The same is at "
        "/model-loop/health/metrics for Prometheus.",
        ChartTable(("what", "value"), [] if health is None else list(_lines(health))),
        _NO_CHAMPION,
    )


def _lines(health: ServiceHealth) -> Iterator[tuple[str, str]]:
    traffic, answers, champion = health.traffic, health.answers, health.champion
    if traffic is not None:
        yield f"predictions of the last {RECENT_SECONDS / 60:.0f} minutes", f"{traffic.predictions}"
        for quantile, seconds in sorted(traffic.latency.items()):
            name = f"latency, quantile {quantile:g} (ms)"
            yield name, f"{seconds * _MILLISECONDS:.1f}"
        yield "latest prediction", _age(traffic.latest, health.at)
        yield "predictions that were answered and not logged", f"{traffic.lost}"
    if answers is not None:
        failed = sum(count for status, count in answers.by_status.items() if status >= 500)  # noqa: PLR2004 - HTTP's
        refused = sum(count for status, count in answers.by_status.items() if 400 <= status < 500)  # noqa: PLR2004 - HTTP's
        yield "requests since the server's start", f"{sum(answers.by_status.values())}"
        yield "of them refused (4xx)", f"{refused}"
        yield "of them failed (5xx)", f"{failed}"
        yield "predictions that wait for the log", f"{answers.waiting}"
    if champion is not None and champion.version is not None:
        enabled = "" if champion.enabled else ", disabled"
        yield "champion", f"version {champion.version}{enabled}"
        if len(champion.by_moment) > 1:
            for moment, number in champion.by_moment.items():
                yield f"champion when {moment}", f"version {number}"
        yield "champion since", _age(champion.promoted, health.at)
        yield "champion trained", _age(champion.registered, health.at)
        yield "it has learned until", champion.newest_month or UNKNOWN
    for part, why in health.problems.items():
        yield part, f"cannot be had: {why}"


def _products(health: ServiceHealth | None, sources: PageSources) -> Chart:
    products = (health.products if health else None) or ()
    rows = [
        (
            one.name,
            one.variant,
            one.newest_month,
            date_of(one.made),
            UNKNOWN if one.checked is None else date_of(one.checked),
        )
        for one in products
        # Its first word is the variant.
        if one.variant.partition(" ")[0] in sources.dataset.variants
    ]
    return Chart(
        "product_freshness",
        "Freshness of the data products",
        "UTC",
        "The newest of each kind: until which partition, when it was made, and when its source was "
        "last looked at.",
        ChartTable(("product", "of", "until", "made (UTC)", "looked at (UTC)"), rows),
        _NO_PRODUCTS,
    )


def _dags(health: ServiceHealth | None, sources: PageSources) -> Chart:
    dags = (health.dags if health else None) or ()
    rows = [
        (
            one.dag_id,
            UNKNOWN if one.last_success is None else date_of(one.last_success),
            one.failed_since,
            "yes" if one.paused else "no",
        )
        for one in dags
        if sources.owns(one.dag_id)
    ]
    return Chart(
        "dag_health",
        "DAGs: last success",
        "UTC",
        "When each DAG has last ended well, and how many of its runs have failed since.",
        ChartTable(("DAG", "last success (UTC)", "failed since", "paused"), rows),
        _NO_DAGS,
    )


def _age(at: float | None, now: float) -> str:
    return UNKNOWN if at is None else age_of(at, now)

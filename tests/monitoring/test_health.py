"""The health of a service: read, cached, and shown to people and to Prometheus."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert
from tests.serving.conftest import MAX_BYTES, MAX_TRIPS, MemoryRegistry, Server

from model_loop.background_cache import BackgroundCache
from model_loop.monitoring.health.exposition import exposition
from model_loop.monitoring.health.parts import PART_NAMES, HealthParts
from model_loop.monitoring.health.routes import health_routes
from model_loop.monitoring.health.sources import answers_of, traffic_of
from model_loop.monitoring.health.stored import end_of, products_of
from model_loop.monitoring.health.types import (
    Answers,
    Champion,
    DagHealth,
    Product,
    ServiceHealth,
    Traffic,
)
from model_loop.serving.http.app import create_app
from model_loop.serving.http.bearer import BearerTokens
from model_loop.serving.http.tokens import TokenIndex
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.queries import note_losses
from model_loop.serving.request_log.tables import dropped, open_log
from model_loop.tracking.deployments import Deployment
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.types import TrainingSet
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.dataset import TRIPS

NOW = 1_800_000_000.0
HEALTH = ServiceHealth(
    service="green",
    at=NOW - 3,
    traffic=Traffic(42, {0.5: 0.002, 0.99: 0.02}, NOW - 10, 7),
    answers=Answers({200: 40, 500: 2}, 3),
    champion=Champion(5, enabled=True, registered=NOW - 100, promoted=NOW - 50,
                      newest_month="2024-03", learned_until=NOW - 1_000),
    products=(Product("training_set", "green rich native", "2024-03", NOW - 60, NOW - 30),
              Product("months", "green", "2024-04", NOW - 20)),
    dags=(DagHealth("monitoring", paused=False, last_success=NOW - 5, failed_since=0),
          DagHealth("retraining", paused=True, last_success=None, failed_since=4)),
)  # fmt: skip


def parsed(text: bytes) -> dict[tuple[str, frozenset[str]], float]:
    """Samples by name and by the values of their labels."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_prometheus_reads_all_of_it() -> None:
    """Every part, with ages at the moment of asking."""
    found = parsed(exposition(HEALTH, NOW))
    expected = {
        ("recent_predictions", ("green",)): 42,
        ("recent_latency_seconds", ("green", "0.99")): 0.02,
        ("last_prediction_age_seconds", ("green",)): 10,
        ("lost_predictions", ()): 7,
        ("answers_total", ("green", "500")): 2,
        ("unwritten_predictions", ("green",)): 3,
        ("service_enabled", ("green",)): 1,
        ("champion_info", ("green", "5", "2024-03")): 1,
        ("champion_age_seconds", ("green",)): 100,
        ("champion_promotion_age_seconds", ("green",)): 50,
        ("data_age_seconds", ("green",)): 1_000,
        ("product_age_seconds", ("training_set", "green rich native", "2024-03")): 60,
        ("product_age_seconds", ("months", "green", "2024-04")): 20,
        ("product_check_age_seconds", ("training_set", "green rich native", "2024-03")): 30,
        ("dag_last_success_age_seconds", ("monitoring",)): 5,
        ("dag_failed_runs", ("retraining",)): 4,
        ("dag_paused", ("retraining",)): 1,
    }
    for (name, labels), value in expected.items():
        assert found[f"model_loop_{name}", frozenset(labels)] == value
    assert all(found["model_loop_health_up", frozenset({part})] == 1 for part in PART_NAMES)


def test_what_is_not_known_is_left_out() -> None:
    """A value that was never measured is not shown as 0."""
    found = parsed(exposition(ServiceHealth("green", NOW, problems={"champion": "down"}), NOW))
    assert found == {("model_loop_health_up", frozenset({part})): 0 for part in PART_NAMES}
    found = parsed(exposition(HEALTH, NOW))
    assert ("model_loop_dag_last_success_age_seconds", frozenset({"retraining"})) not in found
    nothing = ServiceHealth("green", NOW, champion=Champion(None, enabled=False))
    names = {name for name, _ in parsed(exposition(nothing, NOW))}
    assert names == {"model_loop_health_up", "model_loop_service_enabled"}


def entry(number: int, at: float, milliseconds: float) -> Entry:
    """A prediction."""
    row = (74.0, 75.0, NOW, 1.5, 1.0, 2.0, 1.0)
    return Entry(f"{number:032x}", at, "green", 1, "champion", "me", None, 9.0, milliseconds, row)


def test_traffic_comes_from_the_log(tmp_path: Path) -> None:
    """The last minutes count; what was lost is added up; other services are not ours."""
    engine = open_log("", tmp_path)
    assert traffic_of(engine, "green", NOW) == Traffic(0, {}, None, 0)
    log = RequestLog(engine, LogRules(days=0))
    log.record(entry(999, NOW - 4_000, 900.0))
    log.record_many(entry(number, NOW - 100 - number, float(number)) for number in range(1, 102))
    log.record(entry(998, NOW, 900.0)._replace(service="yellow"))
    log._write_all()
    with engine.begin() as connection:
        connection.execute(insert(dropped), [{"at": NOW, "predictions": 5}] * 2)
    note_losses(engine, {"one": 3, "another": 4})
    note_losses(engine, {"one": 3})
    found = traffic_of(engine, "green", NOW)
    assert found.predictions == 101
    assert found.latency[0.5] == pytest.approx(0.051)
    assert found.latency[0.95] == pytest.approx(0.096)
    assert (found.latest, found.lost) == (NOW - 101, 17)


def test_products_come_from_the_stores(
    tmp_path: Path, sample_root: Path, sample_training_set: TrainingSet
) -> None:
    """The newest of each kind; a storage root without any is no error."""
    assert products_of(str(tmp_path)) == ()
    store = TrainingSetStore(str(sample_root))
    product = store.publish(sample_training_set)
    found = {(one.name, one.variant): one for one in products_of(str(sample_root))}
    made = found["training_set", "green rich native"]
    assert (made.newest_month, made.made) == ("2024-03", product.created)
    assert made.checked is not None
    # Other tests may have checked later months below the same root.
    months = [
        folder.name for folder in (CheckedMonthStore(str(sample_root)).folder / "green").iterdir()
    ]
    assert found["months", "green"].newest_month == max(months) >= "2024-03"
    assert abs(found["months", "green"].made - time.time()) < 86_400
    # What a killed check has left is no month.
    (CheckedMonthStore(str(tmp_path)).folder / "green" / "2024-04").mkdir(parents=True)
    assert products_of(str(tmp_path)) == ()


def test_a_month_ends_in_the_city() -> None:
    """Four hours after midnight in Greenwich, in summer."""
    assert end_of("2024-03", TRIPS) == 1_711_944_000.0


def parts(**looks: Any) -> HealthParts:
    """Parts that are well, but for those that are given."""
    known = {name: functools.partial(getattr, HEALTH, name) for name in PART_NAMES} | looks
    return HealthParts(
        "green",
        **{name: BackgroundCache(look, fresh_seconds=0) for name, look in known.items()},
        patience_seconds=0.3,
    )


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """Something that does not come until the test ends."""
    event = threading.Event()
    yield event
    event.set()


def test_a_part_that_fails_or_hangs_hides_no_other(hanging: threading.Event) -> None:
    """It is reported as failed, in time."""

    def fail() -> None:
        raise ConnectionError("no route to the tracking server\nand more")

    health = parts(champion=fail, dags=lambda: hanging.wait(60)).look()
    assert health.traffic == HEALTH.traffic
    assert (health.champion, health.dags) == (None, None)
    assert health.problems["champion"] == "ConnectionError: no route to the tracking server"
    assert "in time" in health.problems["dags"]
    found = parsed(exposition(health))
    assert found["model_loop_health_up", frozenset({"champion"})] == 0
    assert found["model_loop_health_up", frozenset({"traffic"})] == 1


def test_routes_are_guarded_and_described(tmp_path: Path) -> None:
    """As those of the prediction server; both tell the same health."""
    server = Server(tmp_path, MemoryRegistry({}, Deployment()), LogRules(flush_seconds=0.02))
    bearer = BearerTokens(TokenIndex(server.tokens, 1_000, "green"), refresh_seconds=0)
    routes = health_routes(parts(answers=lambda: answers_of(server.service)))
    server.app = create_app(
        server.service, bearer, max_bytes=MAX_BYTES, max_rows=MAX_TRIPS, extensions=routes
    )
    try:
        for path in ("/health", "/health/metrics"):
            assert server.ask("GET", path, secret="wrong").status_code == 401
        told = server.ask("GET", "/health").json()
        assert told["champion"]["version"] == 5
        assert told["traffic"]["latency"]["0.99"] == 0.02
        answer = server.ask("GET", "/health/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = parsed(answer.content)
        assert found["model_loop_answers_total", frozenset({"green", "200"})] >= 1
        assert "/health/metrics" in server.ask("GET", "/openapi.json").json()["paths"]
    finally:
        server.service.stop()

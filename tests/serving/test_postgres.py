"""The request log in Postgres, by its address alone."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import postgres_server
from tests.serving.test_log import entry, rows

from model_loop.erasure.erase import Erasure
from model_loop.erasure.identity import read_identity
from model_loop.serving.comparison.report import ab_report
from model_loop.serving.request_log.entries import Batch
from model_loop.serving.request_log.export import read_day
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.retention import LogPruner
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.writer import LogWriter
from model_loop.settings import all_settings
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Address of an empty database on a server of its own."""
    pytest.importorskip("psycopg")
    with postgres_server() as port:
        yield f"postgresql+psycopg://tests@127.0.0.1:{port}/postgres"


def test_the_log_in_postgres(url: str, tmp_path: Path) -> None:
    """Predictions, feedback, losses, report and export are the same as in SQLite."""
    engine = open_log(url, tmp_path)
    log = RequestLog(engine, LogRules(buffer=1_000))
    now = time.time()
    log.record_many(entry(number, now) for number in range(1_200))
    assert log._write_all()
    assert (rows(engine), log.lost()) == (1_000, 200)
    LogWriter(engine).write(Batch([entry(2_000, now)]))
    log.record_many([entry(2_000, now), entry(2_001, now)])
    assert log._write_all()
    assert rows(engine) == 1_002
    # What Postgres refuses costs no other: a NUL, and a name that is longer than its column.
    unfit = [entry(3_000)._replace(key="\0"), entry(3_001)._replace(caller="x" * 101)]
    log.record_many([entry(2_998, now), *unfit, entry(2_999, now)])
    assert log._write_all()
    assert (rows(engine), log.lost()) == (1_004, 202)
    for minutes in (9.0, 10.0):
        assert log.add_feedback({f"{1:032x}": minutes, f"{2:032x}": minutes}, "tests") == []
    (errors,) = ab_report(engine, "green", lambda _: "ended").versions
    assert (errors.rows, errors.mae) == (2, 2.0)
    exported = read_day(engine, dt.datetime.fromtimestamp(now, dt.UTC).date())
    assert exported["actual_minutes"].notna().sum() == 2
    engine.dispose()
    assert list(tmp_path.iterdir()) == []


def test_retention_goes_by_the_clock_of_the_database(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However wrong the server's own clock is, what is too old goes and the rest stays."""
    engine = open_log(url, tmp_path)
    now = time.time()
    log = RequestLog(engine, LogRules(days=90))
    log.record_many([entry(9_001, now - 91 * 86_400), entry(9_002, now)])
    log._write_all()
    monkeypatch.setattr(time, "time", lambda: now + 365 * 86_400)
    LogPruner(engine, days=90).run()
    assert log.find(f"{9_001:032x}") is None
    assert log.find(f"{9_002:032x}") is not None
    engine.dispose()


def test_erasure(url: str, tmp_path: Path) -> None:
    """The rows of one identity go from the log with their true values, and no others."""
    settings = all_settings()(
        request_log_url=url,
        serving_folder=tmp_path / "serving",
        storage_root=f"file://{tmp_path}/storage",
        batches_folder=tmp_path / "batches",
    )
    engine = open_log(url, tmp_path)
    log = RequestLog(engine, LogRules())
    own = [
        entry(number)._replace(row=[5.5 if one == 1.5 else one for one in entry(0).row])
        for number in (7_001, 7_002)
    ]
    log.record_many([*own, entry(7_003)])
    assert log._write_all()
    ids = [f"{number:032x}" for number in (7_001, 7_002, 7_003)]
    assert log.add_feedback(dict.fromkeys(ids, 3.0), "tests") == []
    before = rows(engine)
    identity = read_identity(TRIPS, ["trip_distance=5.5"], [])
    report = Erasure(settings).erase(identity)
    assert [(one.store, one.rows) for one in report.traces if not one.is_left] == [
        ("request log", 2)
    ]
    assert rows(engine) == before - 2
    assert [log.find(one) is None for one in ids] == [True, True, False]
    assert "password" not in str(report.traces)
    engine.dispose()

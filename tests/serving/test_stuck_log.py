"""A database that is stuck, a clock that is wrong, a disk that is full: no answer suffers."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import Engine, create_engine
from tests.serving.conftest import TRIP, Server
from tests.serving.test_log import entry, rows
from tests.serving.test_spool import SERVER

from model_loop.serving.http.server import make_services
from model_loop.serving.request_log import log as request_log
from model_loop.serving.request_log import retention
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.retention import LogPruner
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings

Make = Callable[..., Server]
DAY_SECONDS = 86_400
#: Too many for the event loop, which answers small requests itself.
LARGE = {"inputs": [TRIP] * 300}


@contextlib.contextmanager
def stuck(folder: Path) -> Iterator[None]:
    """Hold the database of a log, so that nothing can be written."""
    connection = sqlite3.connect(folder / "requests.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Look again and again, until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_waits_to_be_written_is_not_unknown(server: Server, tmp_path: Path) -> None:
    """Only a log that has written all that came before says 404."""
    with stuck(tmp_path / "server-0"):
        (one,) = server.predict(TRIP)
        path, waiting = f"/predictions/{one['prediction_id']}", server.log.flush
        told = {"prediction_id": one["prediction_id"], "actual_minutes": 9.0}
        for method, route, body in (("GET", path, None), ("POST", "/feedback", told)):
            response = server.ask(method, route, json=body)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            assert "waiting" in response.json()["error"]["rule"]
    wait_until(lambda: waiting(1))
    assert server.ask("GET", path).status_code == 200
    assert server.ask("POST", "/feedback", json=told).status_code == 200
    assert server.ask("GET", f"/predictions/{'f' * 32}").status_code == 404


def test_a_stuck_log_starves_no_prediction(server: Server, tmp_path: Path) -> None:
    """However many wait for the log, and each for seconds, a large request is answered at once."""

    async def ask() -> tuple[httpx.Response, float, list[httpx.Response]]:
        bearer = {"Authorization": f"Bearer {server.secret}"}
        transport = httpx.ASGITransport(server.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://tests", headers=bearer, timeout=60
        ) as client:
            looking = [
                asyncio.create_task(client.get(f"/predictions/{number:032x}"))
                for number in range(40)
            ]
            await asyncio.sleep(0.2)
            began = time.monotonic()
            answer = await client.post("/predict", json=LARGE)
            return answer, time.monotonic() - began, [await one for one in looking]

    with stuck(tmp_path / "server-0"):
        server.predict(TRIP)
        answer, seconds, others = asyncio.run(ask())
    assert answer.status_code == 200
    assert seconds < 1.5
    # Those for whom there is no room are told so at once.
    assert {one.status_code for one in others} == {503}
    assert any("requests waiting" in one.json()["error"]["rule"] for one in others)


def test_a_clock_that_is_ahead_removes_nothing(
    make_server: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that starts 91 days ahead keeps what was predicted yesterday."""
    log = RequestLog(open_log("", tmp_path / "server-0"), LogRules(days=90))
    log.record(entry(1, time.time() - DAY_SECONDS))
    log.start()
    assert log.flush(10)
    log.stop()
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 91 * DAY_SECONDS)
    server = make_server(rules=LogRules(flush_seconds=0.02, days=90))
    server.predict(TRIP)
    for _ in range(3):
        assert server.log.flush(10)
    assert server.ask("GET", f"/predictions/{1:032x}").status_code == 200


def test_a_clock_is_believed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a jump that was undone, old predictions are removed as before."""
    engine: Engine = open_log("", tmp_path)
    now = SimpleNamespace(wall=1_700_000_000.0, passed=0.0)
    clock = SimpleNamespace(time=lambda: now.wall, monotonic=lambda: now.passed)
    monkeypatch.setattr(retention, "time", clock)
    kept = LogPruner(engine, days=90)

    def after(hours: float, jump_days: float = 0.0) -> int:
        now.wall += hours * 3_600 + jump_days * DAY_SECONDS
        now.passed += hours * 3_600
        kept.run()
        return rows(engine)

    log = RequestLog(engine, LogRules(days=0))
    log.record_many([entry(1, now.wall - 89 * DAY_SECONDS), entry(2, now.wall)])
    log._write_all()
    kept.begin()
    assert after(1) == 2
    assert after(1, jump_days=91) == 2
    assert after(1, jump_days=-91) == 2
    assert after(25) == 1
    assert after(1, jump_days=91) == 1
    assert after(23) == 1
    assert after(2) == 0


def test_a_database_without_tables_removes_nothing(tmp_path: Path) -> None:
    """An unreadable table is no reason to end."""
    kept = LogPruner(create_engine(f"sqlite:///{tmp_path}/no/such/folder.db"), days=90)
    kept.begin()
    kept.run()


def test_a_full_disk_at_the_start_strands_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as there is room, what a killed server has left is logged, without a restart."""
    monkeypatch.setattr(request_log, "_SPOOL_SECONDS", 0.1, raising=False)
    folder = tmp_path / "serving"
    folder.mkdir()
    killed = subprocess.run([sys.executable, "-c", SERVER, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    changes = {"serving_folder": folder, "tracking_uri": "http://127.0.0.1:9"}
    settings = get_settings().model_copy(update=changes)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow to the size of a spool.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        log = make_services(settings, small=True).default.log
        log.start()
        log.record(entry(100))
        assert log.flush(10)
        assert rows(log.engine) == 1
        assert log.spool is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    wait_until(lambda: rows(log.engine) == 101)
    log.record(entry(101))
    log.stop()
    assert rows(log.engine) == 102
    assert list((folder / "spool").iterdir()) == []


def test_tokens_on_a_full_disk(tmp_path: Path) -> None:
    """The command names the file and the remedy, and leaves the tokens as they were."""
    program = Path(sys.executable).parent / "model-loop"

    def run(limit: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", f'ulimit -f {limit}; exec "{program}" tokens add app-{limit}'],
            env={"PATH": "/usr/bin:/bin", "MODEL_LOOP_STATE": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("unlimited").returncode == 0
    file = tmp_path / "serving" / "tokens.json"
    before = file.read_text()
    failed = run("0")
    assert failed.returncode != 0
    assert "Traceback" not in failed.stderr
    assert "tokens.json cannot be written" in " ".join(failed.stderr.split())
    assert file.read_text() == before
    assert {path.name for path in file.parent.iterdir()} == {"tokens.json", ".tokens.json.lock"}

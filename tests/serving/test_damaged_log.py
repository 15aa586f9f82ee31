"""Whatever is wrong with one file, count or step of the request log, the others go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serving.conftest import TRIP, Server
from tests.serving.test_log import entry, rows

from trip_duration.serving import request_log
from trip_duration.serving.log_entries import Batch, Entry, Written
from trip_duration.serving.log_tables import open_log
from trip_duration.serving.log_writer import LogWriter
from trip_duration.serving.request_log import LogRules, RequestLog
from trip_duration.serving.spool import Spool

#: First bytes of a file of before.
OLD = b"spool/2\n"


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Look again and again, until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def left_by(folder: Path, count: int) -> Path:
    """Return the file that a server with so many predictions has left."""
    spool = Spool(folder / "spool", Entry)
    for number in range(count):
        spool.keep(entry(number))
    spool.close()
    return max((folder / "spool").iterdir(), key=lambda path: len(path.read_bytes().strip(b"\0")))


def begin(folder: Path) -> RequestLog:
    """Begin the log of the next server on a folder, which writes one prediction of its own."""
    log = RequestLog(
        open_log("", folder), LogRules(flush_seconds=0.01), spool=Spool(folder / "spool", Entry)
    )
    log.start()
    log.record(entry(1_000))
    assert log.flush(10)
    log.stop()
    return log


def test_a_damaged_record_stops_no_start(tmp_path: Path) -> None:
    """A byte that is no text costs its record, and no other one; the file is kept aside."""
    file = left_by(tmp_path, 10)
    content = file.read_bytes()
    text = entry(3).prediction_id.encode()
    assert content.count(text) == 1
    file.write_bytes(content.replace(text, b"\xff" + text[1:]))
    log = begin(tmp_path)
    assert rows(log.engine) == 10
    assert [path.name.partition(".spool")[2][:12] for path in (tmp_path / "spool").iterdir()] == [
        ".unreadable-"
    ]


@pytest.mark.parametrize("name", ["left", "a-name-that-is-longer-than-the-database-can-take"])
@pytest.mark.parametrize("lost", [2**64 - 1, 2**63, 2**31])
def test_a_damaged_count_of_losses_stops_no_log(tmp_path: Path, lost: int, name: str) -> None:
    """A number that no database takes is not believed, and what comes is logged."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{name}.spool").write_bytes(OLD + lost.to_bytes(8) + bytes(100))
    log = begin(tmp_path)
    assert (rows(log.engine), log.lost()) == (1, 0)
    assert len(list((tmp_path / "spool").glob("*.unreadable-*"))) == 1


def test_losses_that_no_database_takes_hold_up_nothing(tmp_path: Path) -> None:
    """Wherever the count comes from."""
    log = RequestLog(open_log("", tmp_path), LogRules(flush_seconds=0.01))
    log._lost["odd"] = 2**64
    log.start()
    log.record(entry(1))
    assert log.flush(10)
    log.stop()
    assert (rows(log.engine), log.lost()) == (1, 0)


@pytest.mark.parametrize("kind", ["folder", "fifo", "loop"])
def test_what_is_no_spool_stops_no_start(tmp_path: Path, kind: str) -> None:
    """Something else under the name of a file is passed over."""
    left_by(tmp_path, 10)
    odd = tmp_path / "spool" / "odd.spool"
    if kind == "folder":
        odd.mkdir()
    elif kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to(odd)
    assert rows(begin(tmp_path).engine) == 11


class Failing(LogWriter):
    """A writer that fails in a way that nobody has thought of."""

    failures = 2

    def write(self, batch: Batch) -> Written:
        """Fail, and write when that is over."""
        if batch.entries and self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        return super().write(batch)


def test_the_log_outlives_every_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread does not end: it is told that nothing is written, and tried again."""
    monkeypatch.setattr(request_log, "_RETRY_SECONDS", 0.2)
    assert server.ask("GET", "/readyz").json()["request_log"]["working"]
    assert "trip_duration_request_log_working 1.0" in server.ask("GET", "/metrics").text
    server.log._writer = Failing(server.log.engine)
    (one,) = server.predict(TRIP)
    wait_until(lambda: not server.ask("GET", "/readyz").json()["request_log"]["working"])
    assert "trip_duration_request_log_working 0.0" in server.ask("GET", "/metrics").text
    wait_until(lambda: server.ask("GET", f"/predictions/{one['prediction_id']}").is_success)
    assert server.ask("GET", "/readyz").json()["request_log"]["working"]


def test_a_step_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Retention and what others have left may fail; what is answered is written."""
    log = RequestLog(
        open_log("", tmp_path),
        LogRules(flush_seconds=0.01),
        spool=Spool(tmp_path / "spool", Entry),
    )
    monkeypatch.setattr(log._retention, "begin", lambda: 1 // 0)
    monkeypatch.setattr(log.spool, "inherit", [].pop)
    log.start()
    log.record(entry(1))
    assert log.flush(10)
    assert not log.working
    log.stop()
    assert rows(log.engine) == 1
    # However many turns it has failed in.
    assert caplog.text.count("ZeroDivisionError") == 1

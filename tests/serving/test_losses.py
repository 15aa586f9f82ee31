"""However a server ends: acknowledged = committed + in the spool + reported as lost."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.test_log import entry, rows

from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import Spool
from model_loop.serving.request_log.tables import open_log

#: Answers until it is ended: a line for each answer. SIGTERM ends it as a server ends, in peace.
SERVER = """
import signal, sys
from pathlib import Path
from tests.serving.test_log import entry
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import Spool
from model_loop.serving.request_log.writer_process import ProcessWriter
folder, first, answers, buffer, room, apart = Path(sys.argv[1]), *map(int, sys.argv[2:])
log = RequestLog(
    open_log("", folder, must_answer=False),
    LogRules(buffer=buffer, flush_seconds=0.001),
    spool=Spool(folder / "spool", Entry, room),
    writer=ProcessWriter("", folder) if apart else None,
)
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
log.start()
for number in range(first, first + answers):
    log.record(entry(number))
    print(number, flush=True)
print("all", flush=True)
while not ended:
    signal.pause()
log.stop()
"""
ROOM = 2**20


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the database of a log, so that nothing can be written."""
    open_log("", folder).dispose()
    connection = sqlite3.connect(folder / "requests.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


def serve(
    folder: Path, *, first: int = 0, answers: int, buffer: int, room: int, apart: bool
) -> subprocess.Popen[str]:
    """A server that answers, as a process."""
    told = [first, answers, buffer, room, int(apart)]
    command = [sys.executable, "-c", SERVER, str(folder), *map(str, told)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def take_over(folder: Path) -> tuple[int, int]:
    """Start another server; return logged predictions, and reported losses."""
    log = RequestLog(open_log("", folder), LogRules(), spool=Spool(folder / "spool", Entry))
    log.start()
    assert log.flush(30)
    log.stop()
    assert list((folder / "spool").iterdir()) == []
    return rows(log.engine), log.lost()


@pytest.mark.parametrize(
    ("end", "buffer", "room", "apart"),
    [
        (signal.SIGKILL, 50, ROOM, False),
        (signal.SIGKILL, 10_000, 8_000, True),
        (signal.SIGTERM, 50, ROOM, True),
        (signal.SIGTERM, 10_000, 8_000, False),
    ],
)
def test_losses_are_told_after_a_restart(
    tmp_path: Path, end: signal.Signals, *, buffer: int, room: int, apart: bool
) -> None:
    """A server that could not write its log has kept the number of what it could not keep."""
    with locked(tmp_path):
        server = serve(tmp_path, answers=500, buffer=buffer, room=room, apart=apart)
        assert server.stdout is not None
        answered = sum(1 for _ in iter(server.stdout.readline, "all\n"))
        server.send_signal(end)
        server.wait(60)
        server.stdout.close()
    written, lost = take_over(tmp_path)
    assert answered == written + lost == 500
    assert min(written, lost) > 0
    # Whatever was told is told once.
    assert take_over(tmp_path) == (written, lost)


def test_kills_at_any_moment(tmp_path: Path) -> None:
    """A server is killed often, before, while or after it reports its losses."""
    moments, answered, kills = random.Random(0), 0, 12  # noqa: S311 - not a secret
    for kill in range(kills):
        server = serve(
            tmp_path, first=kill * 100_000, answers=100_000, buffer=30, room=ROOM, apart=False
        )
        assert server.stdout is not None
        for _ in range(moments.randrange(200, 4_000)):
            server.stdout.readline()
            answered += 1
        server.kill()
        answered += sum(line.endswith("\n") for line in server.stdout)
        server.stdout.close()
        server.wait()
    written, lost = take_over(tmp_path)
    assert lost > 0
    # A prediction may have been recorded whose line was not written.
    assert answered <= written + lost <= answered + kills


def test_what_no_spool_keeps_is_an_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk there is no place for a count: a server that ends says how many are gone."""
    with locked(tmp_path):
        log = RequestLog(open_log("", tmp_path), LogRules(buffer=5))
        log.start()
        log.record_many(entry(number) for number in range(8))
        log.stop()
    assert "8 predictions are in no log" in caplog.text

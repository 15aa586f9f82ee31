"""Answered predictions survive the server that answered them."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine
from tests.serving.test_log import entry, rows

from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import Spool
from model_loop.serving.request_log.spool_format import FRONT, HEAD
from model_loop.serving.request_log.tables import open_log

#: Answers a hundred trips, and is killed before its log has begun to write.
SERVER = """
import os, signal, sys
from pathlib import Path
from tests.serving.test_log import entry
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import Spool
folder = Path(sys.argv[1])
log = RequestLog(open_log("", folder), LogRules(), spool=Spool(folder / "spool", Entry))
for number in range(100):
    log.record(entry(number))
os.kill(os.getpid(), signal.SIGKILL)
"""


def spooled(folder: Path) -> RequestLog:
    """A log with a spool."""
    return RequestLog(open_log("", folder), LogRules(), spool=Spool(folder / "spool", Entry))


def test_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    """The next one commits what it had answered, once, and leaves no file behind."""
    killed = subprocess.run([sys.executable, "-c", SERVER, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert rows(open_log("", tmp_path)) == 0
    # Two of them were committed before: their answer did not come back.
    before = RequestLog(open_log("", tmp_path))
    before.start()
    before.record_many([entry(3), entry(4)])
    before.stop()
    log = spooled(tmp_path)
    log.start()
    log.record(entry(100))
    assert log.flush(10)
    log.stop()
    assert rows(log.engine) == 101
    kept = log.find(f"{7:032x}")
    assert kept is not None
    assert (kept["pickup_zone"], kept["passenger_count"]) == (74, None)
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_server_that_ends_while_the_database_is_away_loses_nothing(tmp_path: Path) -> None:
    """It stops in peace; the next one commits what it could not."""
    spool = Spool(tmp_path / "spool", Entry)
    away = create_engine(f"sqlite:///{tmp_path}/no/such/folder.db")
    log = RequestLog(away, LogRules(flush_seconds=0.01), spool=spool)
    log.start()
    log.record_many(entry(number) for number in range(10))
    assert not log.flush(0.5)
    log.record_many(entry(number) for number in range(10, 20))
    log.stop()
    later = spooled(tmp_path)
    later.start()
    assert later.flush(10)
    assert rows(later.engine) == 20
    later.stop()


def test_servers_on_one_folder_leave_each_other_alone(tmp_path: Path) -> None:
    """Files of a living process are not taken over."""
    living = Spool(tmp_path, Entry)
    living.keep(entry(1))
    other = Spool(tmp_path, Entry)
    assert other.inherit() == ([], {})
    living.close()
    assert [one.prediction_id for one in other.inherit().records] == [entry(1).prediction_id]


def test_what_is_written_is_kept_no_longer(tmp_path: Path) -> None:
    """Only what came after a turn had begun is still there when it is done."""
    spool = Spool(tmp_path, Entry)
    spool.keep(entry(1))
    spool.begin()
    spool.keep(entry(2))
    spool.written()
    spool.close()
    left = Spool(tmp_path, Entry).inherit().records
    assert [one.prediction_id for one in left] == [entry(2).prediction_id]


def test_half_a_record_is_passed_over(tmp_path: Path) -> None:
    """A process that was killed while it wrote has not answered yet."""
    spool = Spool(tmp_path, Entry)
    spool.keep(entry(1))
    (file,) = (path for path in tmp_path.iterdir() if any(path.read_bytes()[HEAD:]))
    before = file.read_bytes()
    behind = HEAD + FRONT.size + FRONT.unpack_from(before, HEAD)[0]
    spool.keep(entry(2))
    spool.close()
    with file.open("r+b") as half:
        # The second half of the second one is not there, nor is it counted.
        half.write(before[:HEAD])
        half.seek(behind + 100)
        half.write(bytes(100))
    left = Spool(tmp_path, Entry).inherit().records
    assert [one.prediction_id for one in left] == [entry(1).prediction_id]


def test_a_full_spool_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A rejected record is reported to the caller, and once in the log; none is half written."""
    spool = Spool(tmp_path, Entry, room=400)
    kept = [spool.keep(entry(number)) for number in range(10)]
    assert caplog.text.count("lost and counted") == 1
    assert kept == sorted(kept, reverse=True)
    assert 0 < sum(kept) < 10
    spool.begin()
    assert spool.keep(entry(10))
    spool.close()
    left = [one.prediction_id for one in Spool(tmp_path, Entry).inherit().records]
    assert set(left) == {entry(number).prediction_id for number in (*range(sum(kept)), 10)}
    assert len(left) == sum(kept) + 1


def test_files_of_before_are_read(tmp_path: Path) -> None:
    """A spool that a server of version 0.1 has left begins with its first record."""
    encoded = msgspec.msgpack.encode(entry(1))
    old = len(encoded).to_bytes(4) + encoded + bytes(400)
    (tmp_path / "left-0.spool").write_bytes(old)
    (tmp_path / "left-1.spool").write_bytes(bytes(400))
    found = Spool(tmp_path, Entry).inherit()
    assert [one.prediction_id for one in found.records] == [entry(1).prediction_id]
    assert found.lost == {}


def test_a_full_disk_is_told_at_once(tmp_path: Path) -> None:
    """Space is reserved at the start; without it, no file is left behind."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            Spool(tmp_path, Entry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"nothing that was ever kept", b"\0\0\0\3abc\0\0\0\0"])
def test_a_damaged_spool_is_kept_for_inspection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """Records that cannot be read stay on disk, under a name that no server takes over again."""
    (tmp_path / "left.spool").write_bytes(content)
    spool = Spool(tmp_path, Entry)
    assert spool.inherit() == ([], {})
    spool.written()
    spool.close()
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith("left.spool.unreadable-")
    assert aside.read_bytes() == content
    assert str(aside) in caplog.text
    assert Spool(tmp_path, Entry).inherit() == ([], {})

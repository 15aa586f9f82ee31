"""A damaged file, count or step of the request log does not affect the others."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.serving.conftest import TRIP, Server
from tests.serving.test_log import entry, rows

from model_loop.serving.request_log import log as request_log
from model_loop.serving.request_log.entries import Batch, Entry, WriteResult
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import Spool
from model_loop.serving.request_log.spool_format import FRONT, HEAD
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.writer import LogWriter

#: First bytes of a file of before.
OLD = b"spool/2\n"
#: Predictions that could not be kept.
LOST = 7


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Look again and again, until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def left_by(folder: Path, count: int) -> list[Path]:
    """Return the files that a server has left: half of the predictions are in each of them.

    Behind those of the first file stand others, of a turn before, which have been written. Seven
    could not be kept.
    """
    spool = Spool(folder / "spool", Entry)
    for number in range(500, 500 + count):
        spool.keep(entry(number))
    spool.begin()
    spool.written()
    for number in range(count // 2):
        spool.keep(entry(number))
    spool.begin()
    for number in range(count // 2, count):
        spool.keep(entry(number))
    spool.count_lost(LOST)
    spool.close()
    return sorted((folder / "spool").iterdir())


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


def zeroed_length(content: bytearray) -> None:
    """Zero the length of the eleventh record."""
    content[nth(content, 10) : nth(content, 10) + 4] = bytes(4)


def flipped_length(content: bytearray) -> None:
    """Flip the last bit of a length."""
    content[nth(content, 10)] ^= 1


def endless_length(content: bytearray) -> None:
    """Let a length lead out of the file."""
    content[nth(content, 10) : nth(content, 10) + 4] = b"\xff" * 4


def no_text(content: bytearray) -> None:
    """Make a name no text."""
    place = content.index(b"green", nth(content, 10))
    content[place] ^= 0xFF


def another_number(content: bytearray) -> None:
    """Flip a bit of a number, which is one still."""
    content[nth(content, 11) - 1] ^= 1


def zeroed_page(content: bytearray) -> None:
    """Zero the second page."""
    content[4_096:8_192] = bytes(4_096)


def zeroed_beginning(content: bytearray) -> None:
    """Zero the first page, with the head."""
    content[:4_096] = bytes(4_096)


def another_format(content: bytearray) -> None:
    """Let it look like one of another version."""
    content[6:7] = b"9"


def endless_losses(content: bytearray) -> None:
    """Let the number of losses be one that no database takes."""
    content[8:16] = b"\xff" * 8


def endless_count(content: bytearray) -> None:
    """Let the numbers of records be too large."""
    content[16:40] = b"\xff" * 24


def cut(size: int) -> Callable[[bytearray], None]:
    """Leave the first bytes alone."""

    def change(content: bytearray) -> None:
        del content[size:]

    return change


def nth(content: bytearray, number: int) -> int:
    """Place of a record."""
    place = HEAD
    for _ in range(number):
        place += FRONT.size + FRONT.unpack_from(content, place)[0]
    return place


def noise(seed: int) -> Callable[[bytearray], None]:
    """Change up to 200 bytes somewhere."""

    def change(content: bytearray) -> None:
        dice = random.Random(seed)  # noqa: S311 - not a secret
        size = dice.choice((1, 8, 200))
        place = dice.randrange(nth(content, 49) if seed % 3 else HEAD)
        # Each byte becomes another one: by chance, one in 256 would stay.
        for at in range(place, place + size):
            content[at] ^= dice.randrange(1, 256)

    return change


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize(
    "change",
    [
        zeroed_length,
        flipped_length,
        endless_length,
        no_text,
        another_number,
        zeroed_page,
        zeroed_beginning,
        another_format,
        endless_losses,
        endless_count,
        *(pytest.param(cut(size), id=f"cut-{size}") for size in (0, 5, 12, 40, 3_000)),
        *(pytest.param(noise(seed), id=f"noise-{seed}") for seed in range(12)),
    ],
)
def test_whatever_damage_costs_is_told(
    tmp_path: Path, place: int, change: Callable[[bytearray], None]
) -> None:
    """Acknowledged = committed + reported as lost; the damaged file is kept aside."""
    path = left_by(tmp_path, 100)[place]
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    log = begin(tmp_path)
    written, lost = rows(log.engine), log.lost()
    assert written + lost == 1 + 100 + LOST
    assert written > 50
    (aside,) = (tmp_path / "spool").iterdir()
    assert aside.name.startswith(f"{path.name}.unreadable-")
    assert aside.read_bytes() == content
    again = begin(tmp_path)
    assert (rows(again.engine), again.lost()) == (written, lost)


def test_a_sound_spool_tells_what_it_could_not_keep(tmp_path: Path) -> None:
    """All that it holds is committed, and nothing of an earlier turn."""
    left_by(tmp_path, 100)
    log = begin(tmp_path)
    assert (rows(log.engine), log.lost()) == (101, LOST)
    assert not list((tmp_path / "spool").iterdir())


def no_head(content: bytearray) -> None:
    """Damage the numbers of the head alone."""
    content[8:HEAD] = bytes(one ^ 0xFF for one in content[8:HEAD])


def no_head_and_a_record(content: bytearray) -> None:
    """Damage a record, too."""
    no_head(content)
    another_number(content)


def no_head_and_an_end(content: bytearray) -> None:
    """End within a record, too."""
    no_head(content)
    del content[3_000:]


@pytest.mark.parametrize(
    ("change", "read", "lost"),
    [
        (no_head, 100, 0),
        (no_head_and_a_record, 98, 2),
        (zeroed_beginning, 0, 2),
        (cut(0), 0, 2),
        (cut(12), 0, 2),
        (no_head_and_an_end, 34, 2),
    ],
)
def test_a_spool_of_which_nothing_is_known_is_read_as_far_as_it_goes(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[bytearray], None],
    read: int,
    lost: int,
) -> None:
    """Sound records are read although both heads are damaged; a loss is reported."""
    for path in left_by(tmp_path, 100):
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)
    log = begin(tmp_path)
    assert (rows(log.engine), log.lost()) == (1 + read, lost)
    assert len(list((tmp_path / "spool").glob("*.unreadable-*"))) == 2
    assert caplog.text.count("it is not known how many predictions were in it") >= 2


def test_a_damaged_record_of_before_stops_no_start(tmp_path: Path) -> None:
    """A byte that is no text costs its record, and no other one, in files of version 0.2 too."""
    records = [msgspec.msgpack.encode(entry(number)) for number in range(10)]
    framed = [len(one).to_bytes(4) + one for one in records]
    framed[3] = framed[3].replace(b"green", b"gree\xff")
    file = tmp_path / "spool" / "left-0.spool"
    file.parent.mkdir()
    file.write_bytes(OLD + (5).to_bytes(8) + b"".join(framed) + bytes(100))
    log = begin(tmp_path)
    assert (rows(log.engine), log.lost()) == (10, 5)
    (aside,) = file.parent.iterdir()
    assert aside.name.startswith("left-0.spool.unreadable-")


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


@pytest.mark.parametrize("name", ["odd.spool", "odd-0.spool3"])
@pytest.mark.parametrize("kind", ["folder", "fifo", "loop"])
def test_what_is_no_spool_stops_no_start(tmp_path: Path, kind: str, name: str) -> None:
    """Something else under the name of a file is passed over."""
    left_by(tmp_path, 10)
    odd = tmp_path / "spool" / name
    if kind == "folder":
        odd.mkdir()
    elif kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to(odd)
    assert rows(begin(tmp_path).engine) == 11


class Failing(LogWriter):
    """A writer that fails in an unforeseen way."""

    failures = 2

    def write(self, batch: Batch) -> WriteResult:
        """Fail, and write when that is over."""
        if batch.entries and self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        return super().write(batch)


def test_the_log_outlives_every_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread continues, reports that nothing is written, and tries again."""
    monkeypatch.setattr(request_log, "_RETRY_SECONDS", 0.2)
    assert server.ask("GET", "/readyz").json()["request_log"]["working"]
    assert "model_loop_request_log_working 1.0" in server.ask("GET", "/metrics").text
    server.log._writer = Failing(server.log.engine)
    (one,) = server.predict(TRIP)
    wait_until(lambda: not server.ask("GET", "/readyz").json()["request_log"]["working"])
    assert "model_loop_request_log_working 0.0" in server.ask("GET", "/metrics").text
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

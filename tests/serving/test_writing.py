"""The process that writes the request log: it commits each record once, also after kills."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import psutil
import pytest
from sqlalchemy import Engine
from tests.serving.conftest import fit, loaded
from tests.serving.test_log import ROW, entry, rows

from model_loop.serving.compiled.compiler import compile_model
from model_loop.serving.models.predictor import ServedVersion, required_positions
from model_loop.serving.request_log import writer_process
from model_loop.serving.request_log.entries import PART, Batch, Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import Spool
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.writer_process import ProcessWriter
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

#: Records without end, tells how many, and waits to be killed.
SERVER = """
import sys, time
from pathlib import Path
from tests.serving.test_log import entry
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import Spool
from model_loop.serving.request_log.writer_process import ProcessWriter
folder = Path(sys.argv[1])
log = RequestLog(
    open_log("", folder),
    LogRules(flush_seconds=0.01),
    spool=Spool(folder / "spool", Entry),
    writer=ProcessWriter("", folder),
)
log.start()
for number in range(1_000_000):
    log.record(entry(number))
    print(number, flush=True)
    time.sleep(0.001)
"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An empty log."""
    return open_log("", tmp_path)


@pytest.fixture
def log(engine: Engine, tmp_path: Path) -> Iterator[RequestLog]:
    """A log that another process writes."""
    made = RequestLog(engine, LogRules(flush_seconds=0.01), writer=ProcessWriter("", tmp_path))
    made.start()
    yield made
    made.stop()


def process_of(log: RequestLog) -> psutil.Process:
    """The process that writes it."""
    assert isinstance(log.writer, ProcessWriter)
    assert log.writer._process is not None
    return psutil.Process(log.writer._process.pid)


def test_what_is_recorded_is_written_by_another_process(log: RequestLog) -> None:
    """With the predictions of the models, and without unknown values."""
    process = process_of(log)
    log.record_many(entry(number) for number in range(100))
    assert log.flush(20)
    assert (log.counts.written, log.counts.dropped, log.waiting) == (100, 0, 0)
    found = log.find(f"{7:032x}")
    assert found is not None
    assert (found["pickup_zone"], found["trip_distance"], found["passenger_count"]) == (
        74,
        1.5,
        None,
    )
    log.stop()
    assert not process.is_running()


def test_what_no_database_takes_costs_no_other(log: RequestLog) -> None:
    """It is dropped and counted on both sides."""
    log.record_many(
        entry(number, minutes=float("nan") if number in {3, 70} else 12.0) for number in range(100)
    )
    assert log.flush(20)
    assert log.flush(20)
    assert (rows(log.engine), log.counts.written, log.counts.dropped) == (98, 98, 2)
    assert log.lost() == 2


def test_a_killed_writer_loses_and_doubles_nothing(log: RequestLog) -> None:
    """The next one gets all records without a reported commit."""
    killed = 0
    for turn in range(5):
        log.record_many(entry(1_000 * turn + number) for number in range(1_000))
        time.sleep(0.02 * turn)
        # The log may be at the turn that starts the next one.
        with contextlib.suppress(AssertionError, psutil.NoSuchProcess):
            process = process_of(log)
            process.kill()
            process.wait()
            killed += 1
        assert log.flush(30)
    assert killed
    assert rows(log.engine) == 5_000
    assert (log.counts.written, log.counts.dropped, log.waiting) == (5_000, 0, 0)


def test_a_writer_that_ends_with_its_input_alone(log: RequestLog) -> None:
    """It ignores signals to the server's process group, as its last batch comes later."""
    process = process_of(log)
    log.record(entry(1))
    assert log.flush(20)
    for sign in (signal.SIGTERM, signal.SIGINT):
        process.send_signal(sign)
    log.record(entry(2))
    assert log.flush(20)
    assert process_of(log) == process
    assert rows(log.engine) == 2


def test_a_killed_server_takes_its_writer_with_it(tmp_path: Path) -> None:
    """And the next server commits what the two of them left, once."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    answered = [int(server.stdout.readline()) for _ in range(1_500)]
    (writer,) = psutil.Process(server.pid).children()
    server.kill()
    server.wait()
    answered += [int(line) for line in server.stdout if line.endswith("\n")]
    server.stdout.close()
    psutil.wait_procs([writer], timeout=20)
    assert not writer.is_running()
    log = RequestLog(
        open_log("", tmp_path),
        spool=Spool(tmp_path / "spool", Entry),
        writer=ProcessWriter("", tmp_path),
    )
    log.start()
    assert log.flush(30)
    log.stop()
    assert len(answered) <= rows(log.engine) <= len(answered) + 1
    assert log.counts.dropped == 0


def test_a_writer_that_hangs_does_not_hold_up_the_end(engine: Engine, tmp_path: Path) -> None:
    """It is killed; what it was given is still in the spool."""
    writer = ProcessWriter("", tmp_path)
    log = RequestLog(engine, spool=Spool(tmp_path / "spool", Entry), writer=writer)
    writer.start()
    process = process_of(log)
    process.suspend()
    log.record(entry(1))
    writer.close()
    assert not process.is_running()
    # The last try of a log that ends.
    log.start()
    log.stop()
    assert rows(engine) == 0
    left = Spool(tmp_path / "spool", Entry).inherit().records
    assert [one.prediction_id for one in left] == [entry(1).prediction_id]


def test_nothing_is_written_after_the_end(engine: Engine, tmp_path: Path) -> None:
    """Late records are left to the spool, and no process is started for them."""
    writer = ProcessWriter("", tmp_path)
    assert writer.write(Batch([entry(1)])).left == []
    writer.close()
    late = writer.write(Batch([entry(2)], lost={"here": 3}))
    assert (late.left, late.noted) == ([0], False)
    assert late.problem
    assert rows(engine) == 1


def test_a_batch_goes_in_parts_that_hold_up_no_answer(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entries keep their places, and none of it is left for the next batch."""
    sent, send = list[int](), writer_process._send

    def noted(stream: IO[bytes] | None, message: msgspec.Struct) -> None:
        sent.append(len(getattr(message, "entries", ())))
        send(stream, message)

    monkeypatch.setattr(writer_process, "_send", noted)
    writer, many = ProcessWriter("", tmp_path), 2 * PART + 50
    entries = [
        entry(number, minutes=float("nan") if number in {3, many - 1} else 12.0)
        for number in range(many)
    ]
    first = writer.write(Batch(entries))
    second = writer.write(Batch([entry(many), entry(many + 1, minutes=float("nan"))]))
    writer.close()
    assert (first.left, first.unfit, second.unfit) == ([], [3, many - 1], [1])
    assert rows(engine) == many - 1
    assert (max(sent), sum(sent)) == (PART, many + 2)


def test_an_address_without_a_database(tmp_path: Path) -> None:
    """The problem is reported, and records are written once the database is there."""
    away = tmp_path / "away"
    writer = ProcessWriter(f"sqlite:///{away / 'requests.db'}", tmp_path)
    told = writer.write(Batch([entry(1)]))
    assert told.left == [0]
    assert "unable to open" in told.problem
    away.mkdir()
    assert writer.write(Batch([entry(1)])).problem == ""
    writer.close()
    assert [*away.iterdir()]


def test_the_process_asks_the_shadow(log: RequestLog, sample_training_set: TrainingSet) -> None:
    """Its predictions are those of the version; a removed shadow predicts no more."""
    compiled = compile_model(
        TRIPS, 9, loaded(fit("xgboost", sample_training_set), sample_training_set)
    )
    assert compiled.form is not None
    trees = ServedVersion(
        9,
        compiled.columns,
        required_positions(TRIPS.columns, compiled.columns),
        compiled.form.verify(),
        form=compiled.form,
    )
    plain = ServedVersion(8, (), (3,), lambda trips: trips[:, 3], "tests")
    followed: ServedVersion | None = None
    log.shadows = lambda: {} if followed is None else {"green": followed}
    for number, followed in enumerate((trees, plain, None, trees)):
        says = None if followed is None else followed.predict(np.array([ROW])).item()
        deadline = time.monotonic() + 30
        found: dict[str, Any] = {}
        for turn in itertools.count(1_000 * number):
            log.record(entry(turn))
            assert log.flush(20)
            found = log.find(f"{turn:032x}") or {}
            # Until the process has made it ready, it is not asked.
            if (found["shadow_minutes"] is None) == (says is None):
                break
            assert time.monotonic() < deadline
        assert found["shadow_version"] == (followed and followed.version)
        assert found["shadow_minutes"] == says
    assert log.counts.shadowed == 3

"""The request log: nothing that was committed is lost, nothing that was lost is silent."""

from __future__ import annotations

import datetime as dt
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import OperationalError

from model_loop.errors import InvalidInputError
from model_loop.scoring.rows import Rows
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.entries import Batch, Entry, WriteResult
from model_loop.serving.request_log.export import export_log
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.queries import remove_older
from model_loop.serving.request_log.tables import dropped, open_log, predictions
from model_loop.serving.request_log.writer import LogWriter
from model_loop.training_set.matrices import Targets

ROW = (74.0, 75.0, 1_709_280_000.0, 1.5, float("nan"), 2.0, float("nan"))


def entry(number: int, at: float | None = None, version: int = 1, minutes: float = 12.0) -> Entry:
    """A prediction."""
    now = time.time() if at is None else at
    return Entry(
        f"{number:032x}", now, "green", version, "champion", "tests", None, minutes, 0.5, ROW
    )


def rows(engine: Engine) -> int:
    """Predictions in the log."""
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(predictions)) or 0


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An empty log."""
    return open_log("", tmp_path)


def test_what_is_recorded_is_found(engine: Engine, tmp_path: Path) -> None:
    """Also by another process that opens the log later."""
    log = RequestLog(engine, LogRules(flush_seconds=0.01))
    log.start()
    log.record_many(entry(number) for number in range(100))
    assert log.flush(10)
    assert (log.counts.written, log.counts.dropped, log.waiting) == (100, 0, 0)
    log.stop()
    found = RequestLog(open_log("", tmp_path)).find(f"{7:032x}")
    assert found is not None
    assert (found["pickup_zone"], found["trip_distance"], found["passenger_count"]) == (
        74,
        1.5,
        None,
    )


def test_what_waits_is_written_at_the_end(engine: Engine) -> None:
    """A server that is stopped loses no record."""
    log = RequestLog(engine, LogRules(flush_seconds=60))
    log.start()
    log.record(entry(1))
    log.stop()
    assert rows(engine) == 1


def test_the_buffer_is_bounded_and_losses_are_written_down(engine: Engine) -> None:
    """Records beyond the bound are dropped, counted, and noted in the log itself."""
    log = RequestLog(engine, LogRules(buffer=10, flush_seconds=0.01))
    log.record_many(entry(number) for number in range(25))
    assert (log.waiting, log.counts.dropped) == (10, 15)
    log.start()
    assert log.flush(10)
    log.stop()
    assert rows(engine) == 10
    assert log.lost() == 15


def test_what_comes_while_the_log_is_written_gathers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load, records are written in batches, and waiting lookups continue."""
    writer = LogWriter(engine)
    log = RequestLog(engine, LogRules(flush_seconds=60), writer=writer)
    write, batches = writer.write, []

    def while_answers_go_on(batch: Batch) -> WriteResult:
        batches.append(len(batch.entries))
        log.record_many(entry(1_000 * len(batches) + number) for number in range(3))
        return write(batch)

    monkeypatch.setattr(writer, "write", while_answers_go_on)
    log.record_many(entry(number) for number in range(100))
    log.start()
    assert log.flush(10)
    assert batches == [100]
    assert log.waiting == 3
    assert log.flush(10)
    assert batches == [100, 3]
    log.stop()


def test_a_database_that_comes_back(engine: Engine) -> None:
    """Records wait while the database is gone, and are written once."""
    log = RequestLog(engine, LogRules(flush_seconds=0.01))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE predictions RENAME TO away")
    log.record(entry(1))
    assert not log._write_all()
    assert log.waiting == 1
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO predictions")
    assert log._write_all()
    assert (rows(engine), log.waiting) == (1, 0)


def test_a_database_that_is_away_at_the_start(tmp_path: Path) -> None:
    """A server starts without it, and creates the tables later; readers get an error."""
    away = tmp_path / "away"
    url = f"sqlite:///{away / 'requests.db'}"
    with pytest.raises(OperationalError):
        open_log(url, tmp_path)
    log = RequestLog(open_log(url, tmp_path, must_answer=False))
    log.record(entry(1))
    assert not log._write_all()
    assert log.waiting == 1
    away.mkdir()
    assert log._write_all()
    assert (rows(log.engine), log.waiting, log.counts.dropped) == (1, 0, 0)


def test_a_commit_whose_answer_was_lost(engine: Engine) -> None:
    """A batch of which some are written already is completed, not doubled."""
    log = RequestLog(engine)
    LogWriter(engine).write(Batch([entry(1), entry(2)]))
    log.record_many([entry(1), entry(2), entry(3)])
    assert log._write_all()
    assert rows(engine) == 3
    assert log.counts.written == 3


def test_what_cannot_be_written_holds_nothing_up(engine: Engine) -> None:
    """A batch that no database takes is dropped and counted; the next one is written."""
    log = RequestLog(engine)
    log.record(entry(1)._replace(prediction=object()))  # type: ignore[arg-type]  # wrong on purpose
    assert log._write_all()
    log.record(entry(2))
    assert log._write_all()
    assert (rows(engine), log.counts.dropped, log.lost()) == (1, 1, 1)


def test_one_entry_costs_no_other(engine: Engine) -> None:
    """An entry that no database accepts is dropped and counted; all others are written."""
    log = RequestLog(engine)
    for number in range(100):
        log.record(entry(number, minutes=float("nan") if number in {3, 70} else 12.0))
    assert log._write_all()
    assert (rows(engine), log.waiting) == (98, 0)
    assert (log.counts.written, log.counts.dropped, log.lost()) == (98, 2, 2)


def test_the_log_outlives_a_database_that_goes_away_at_the_worst_moment(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is asked which entries it knows; then all of them are tried again."""
    log = RequestLog(engine)
    LogWriter(engine).write(Batch([entry(1)]))
    log.record_many([entry(1), entry(2)])

    def away(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("away"))

    with monkeypatch.context() as patch:
        patch.setattr("model_loop.serving.request_log.writer.find_known", away)
        assert not log._write_all()
    assert log.waiting == 2
    assert log._write_all()
    assert (rows(engine), log.waiting) == (2, 0)


def test_losses_are_counted_by_every_thread(engine: Engine) -> None:
    """However many drop at once, none is missing from the count."""
    log = RequestLog(engine, LogRules(buffer=0))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            for _ in range(4):
                threads.submit(log.record_many, [entry(1)] * 20_000)
    finally:
        sys.setswitchinterval(before)
    assert log.counts.dropped == 80_000
    assert log._write_all()
    assert log.lost() == 80_000


def test_the_shadow_is_asked_what_it_can_answer(engine: Engine) -> None:
    """A trip that lacks what it needs is no reason to leave out the others of the batch."""
    shadow = ServedVersion(9, (), (3,), lambda trips: trips[:, 3])
    log = RequestLog(engine, shadows=lambda: {"green": shadow})
    log.record_many([entry(1), entry(2)._replace(row=(*ROW[:3], float("nan"), *ROW[4:]))])
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE predictions RENAME TO away")
    assert not log._write_all()
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO predictions")
    assert log._write_all()
    shadows = [log.find(f"{number:032x}") or {} for number in (1, 2)]
    assert [one["shadow_version"] for one in shadows] == [9, None]
    assert shadows[0]["shadow_minutes"] == 1.5
    assert (log.counts.shadowed, log.counts.shadow_difference) == (1, 10.5)


def test_a_shadow_that_fails_costs_no_entry(engine: Engine) -> None:
    """The answer is logged without the prediction of the shadow."""

    def fail(_: Rows) -> Targets:
        raise ZeroDivisionError

    log = RequestLog(engine, shadows=lambda: {"green": ServedVersion(9, (), (), fail)})
    log.record(entry(1))
    assert log._write_all()
    found = log.find(f"{1:032x}")
    assert found is not None
    assert found["shadow_version"] is None


def test_inputs_can_be_left_out(engine: Engine) -> None:
    """Then the log holds what was answered, not what was asked."""
    log = RequestLog(engine, LogRules(inputs=False))
    log.record(entry(1))
    log._write_all()
    found = log.find(f"{1:032x}")
    assert found is not None
    assert found["minutes"] == 12.0
    assert found["pickup_zone"] is found["pickup_at"] is found["trip_distance"] is None


def test_retention(engine: Engine) -> None:
    """Old predictions go, with their feedback; newer ones stay."""
    log = RequestLog(engine, LogRules(days=1))
    log.record_many([entry(1, time.time() - 2 * 86_400), entry(2)])
    log._write_all()
    assert log.add_feedback({f"{1:032x}": 5.0, f"{2:032x}": 6.0}, "tests") == []
    log._retention.run()
    assert rows(engine) == 1
    assert log.add_feedback({f"{1:032x}": 5.0}, "tests") == [f"{1:032x}"]
    assert remove_older(engine, 0.0) == 0


def test_old_predictions_go_part_by_part(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first, so that no removal holds up what is predicted meanwhile."""
    log = RequestLog(engine, LogRules(days=1))
    log.record_many(entry(number, float(number + 1)) for number in range(5))
    log._write_all()
    assert log.add_feedback({f"{number:032x}": 5.0 for number in range(5)}, "tests") == []
    assert remove_older(engine, 100.0, most=2) == 2
    assert log.add_feedback({f"{2:032x}": 5.0}, "tests") == []
    assert log.find(f"{1:032x}") is None
    monkeypatch.setattr("model_loop.serving.request_log.retention.REMOVED", 2)
    log._retention.run()
    assert rows(engine) == 1
    log._retention.run()
    assert rows(engine) == 0


def test_export(engine: Engine, tmp_path: Path) -> None:
    """A folder for each day; a second export replaces the files and holds new feedback."""
    log = RequestLog(engine)
    noon = [dt.datetime(2024, 3, day, 12, tzinfo=dt.UTC).timestamp() for day in (1, 3)]
    log.record_many([entry(1, noon[0]), entry(2, noon[1])])
    log._write_all()
    folder = tmp_path / "export"
    first = export_log(engine, folder)
    assert [path.parent.name for path in first] == ["day=2024-03-01", "day=2024-03-03"]
    log.add_feedback({f"{1:032x}": 5.0}, "tests")
    assert export_log(engine, folder) == first
    trips = pd.read_parquet(folder)
    assert len(trips) == 2
    assert trips["actual_minutes"].tolist()[0] == 5.0
    assert trips["pickup_at"][0] == pd.Timestamp("2024-03-01 08:00:00")
    assert str(trips["at"].dtype).endswith("UTC]")
    assert export_log(engine, folder, dt.date(2024, 3, 2)) == first[1:]


def test_an_empty_log_exports_nothing(engine: Engine, tmp_path: Path) -> None:
    """No file, no error."""
    assert export_log(engine, tmp_path / "export") == []


@pytest.mark.parametrize("url", ["nonsense", "nosuch://host/name"])
def test_addresses_that_are_none(url: str, tmp_path: Path) -> None:
    """A wrong address is refused before the server starts."""
    with pytest.raises(InvalidInputError, match="request log"):
        open_log(url, tmp_path)


def test_dropped_table_is_there(engine: Engine) -> None:
    """A log without losses says 0."""
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(dropped)) == 0
    assert RequestLog(engine).lost() == 0

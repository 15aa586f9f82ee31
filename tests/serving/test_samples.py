"""The shares of requests in the log, against those that were assigned."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from tests.serving.test_log import entry

from model_loop.datasets.dataset import Moment
from model_loop.serving.comparison.assigned import (
    AssignedUnits,
    SlowThresholds,
    assigned_rows,
    count_failures,
    count_units,
    first_latencies,
)
from model_loop.serving.comparison.report import AbReport, ab_report
from model_loop.serving.comparison.samples import check_samples
from model_loop.serving.models.loading import RegistryError
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.tracking.shares import Segment, ShareMove

DAY = 86_400.0
CHAMPION, CANARY = 1, 2
WHOLE = (Segment(0.0, 100 * DAY, 0.5),)

_numbers = itertools.count(1)


def asked(at: float, part: str, key: str | None = None, **others: Any) -> Entry:
    """Return a request of the log; the canary has answered as challenger alone."""
    version = CANARY if part == "challenger" else CHAMPION
    return entry(next(_numbers), at, version)._replace(part=part, key=key, **others)


def moment_of(version: int) -> Moment | None:
    """Say that both versions are asked at the same moment, and others at another one."""
    return "ended" if version in {CHAMPION, CANARY} else "booked"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Callable[[Iterable[Entry]], Engine]]:
    """Writes requests into a log."""
    made = RequestLog(open_log("", tmp_path))

    def write(entries: Iterable[Entry]) -> Engine:
        made.record_many(entries)
        made._write_all()
        return made.engine

    yield write
    made.stop()


def counted(
    engine: Engine, segments: Iterable[Segment] = WHOLE, **more: Any
) -> list[AssignedUnits]:
    """Return the units of some times."""
    times = [*segments]
    return count_units(engine, assigned_rows("green", times, None), times, **more)


def test_a_key_counts_once_and_a_request_without_one_each_time(
    log: Callable[[Iterable[Entry]], Engine],
) -> None:
    """However often it is sent again; the rows of one request are one."""
    engine = log(
        [
            *(asked(10.0 + number, "challenger", "a") for number in range(5)),
            *(asked(20.0 + number, "champion") for number in range(3)),
            *(asked(30.0, "challenger") for _ in range(4)),
        ]
    )
    assert counted(engine) == [
        AssignedUnits(0, 0, own=False, refused=False, slow=False, units=3),
        AssignedUnits(0, 0, own=True, refused=False, slow=False, units=2),
    ]


def test_what_nobody_has_assigned_does_not_count(
    log: Callable[[Iterable[Entry]], Engine],
) -> None:
    """Named versions, other services, and requests from before the share was set."""
    engine = log(
        [
            asked(DAY + 1, "champion"),
            asked(DAY + 2, "form"),
            asked(DAY + 3, "champion", service="yellow"),
            asked(DAY - 1, "champion"),
            asked(2 * DAY + 1, "challenger"),
        ]
    )
    (one,) = counted(engine, [Segment(DAY, 2 * DAY, 0.5)])
    assert (one.day, one.own, one.units) == (1, False, 1)


def test_a_key_stays_where_it_was_first_when_shares_change(
    log: Callable[[Iterable[Entry]], Engine],
) -> None:
    """A larger share moves keys of the champion to the canary: they were assigned before."""
    engine = log(
        [
            asked(10.0, "champion", "moves"),
            asked(DAY + 10, "challenger", "moves"),
            asked(DAY + 20, "challenger", "new"),
        ]
    )
    segments = [Segment(0, DAY, 0.1), Segment(DAY, 2 * DAY, 0.5)]
    found = [(one.segment, one.own, one.units) for one in counted(engine, segments)]
    assert found == [(0, False, 1), (1, True, 1)]


def test_requests_that_the_champion_answers_in_its_place_are_the_canarys(
    log: Callable[[Iterable[Entry]], Engine],
) -> None:
    """Refused, failed, while it loads, or because it cannot be loaded."""
    parts = ("refused", "failed", "failed", "loading", "unloadable", "challenger", "champion")
    engine = log(asked(float(at), part) for at, part in enumerate(parts, start=1))
    own = {one.refused: one.units for one in counted(engine) if one.own}
    assert own == {True: 1, False: 5}
    assert count_failures(engine, assigned_rows("green", WHOLE, None)) == [(3, 5)]


def test_the_first_answer_of_a_key_is_slow_or_is_not(
    log: Callable[[Iterable[Entry]], Engine],
) -> None:
    """Later ones under the same key do not count; each version has its own bound."""
    engine = log(
        [
            asked(1.0, "champion", latency_ms=9.0),
            asked(2.0, "challenger", "a", latency_ms=5.0),
            asked(3.0, "challenger", "a", latency_ms=50.0),
            asked(4.0, "challenger", "b", latency_ms=50.0),
            asked(5.0, "champion", "c", latency_ms=12.0),
        ]
    )
    slow = {
        one.own: one.units
        for one in counted(engine, slow=SlowThresholds(1.0, 15.0, 10.0))
        if one.slow
    }
    assert slow == {True: 1, False: 1}
    wanted = assigned_rows("green", WHOLE, None)
    assert first_latencies(engine, wanted, 1) == [(1.0, 9.0)]


def compared(share: float, *, lost: float = 0.0) -> Iterator[tuple[Entry, float]]:
    """Yield 30 days of answers with true values, some of the canary's missing."""
    rng = np.random.default_rng(7)
    for day in range(30):
        for number in range(300):
            own = rng.random() < share
            if own and rng.random() < lost:
                continue
            at = DAY * day + 200.0 + number
            one = asked(at, "challenger" if own else "champion", f"{day}/{number}")
            yield one, one.prediction + rng.normal(0.0, 1.0 if own else 3.0)


def report(folder: Path, told: Iterable[tuple[Entry, float]], moves: Any) -> AbReport:
    """Compare the versions of a log."""
    log, actual = RequestLog(open_log("", folder)), {}
    for one, value in told:
        log.record(one)
        actual[one.prediction_id] = value
    log._write_all()
    assert not log.add_feedback(actual, "tests")
    return ab_report(log.engine, "green", moment_of, moves=moves)


BEGUN = [ShareMove(0.0, 1.0, "ended", CANARY, 0.5, "run")]


def test_samples_that_are_as_assigned_are_read(tmp_path: Path) -> None:
    """The report shows the check, and the comparison."""
    found = report(tmp_path, compared(0.5), lambda: BEGUN)
    (sample,), (pair,) = found.samples, found.comparisons
    assert (sample.requests, sample.assigned, sample.mismatched) == (9_000, 0.5, None)
    assert pair.verdict == "version 2 is nearer to the truth"
    assert pair.interval is not None


def test_a_mismatch_stands_in_place_of_the_reading(tmp_path: Path) -> None:
    """No verdict, no interval and no difference are left."""
    found = report(tmp_path, compared(0.5, lost=0.3), lambda: BEGUN)
    (sample,), (pair,) = found.samples, found.comparisons
    assert sample.mismatched is not None
    assert sample.mismatched < "1970-01-10"
    assert sample.logged < sample.assigned == 0.5
    assert pair.verdict.startswith(
        "not read: version 2 was assigned 50.00% of 7,703 requests, and the log has 40.61% of them"
    )
    blank = (pair.difference, pair.interval, pair.decided, pair.days_needed, pair.e_value)
    assert blank == (None, None, None, None, 1.0)


def test_another_share_than_the_assigned_one_is_a_mismatch(tmp_path: Path) -> None:
    """The share changes with the history, and so do the expected counts."""
    changed = [*BEGUN, ShareMove(15 * DAY, 15 * DAY + 1, "ended", CANARY, 0.1, "run-2")]
    assert report(tmp_path, compared(0.5), lambda: changed).samples[0].mismatched == "1970-01-16"


def test_without_the_history_nothing_is_read(tmp_path: Path) -> None:
    """The registry does not answer: the samples cannot be checked."""

    def fails() -> list[ShareMove]:
        raise RegistryError("it is down")

    (pair,) = (found := report(tmp_path, compared(0.5), fails)).comparisons
    assert pair.verdict == "not read: the shares of versions are not known: it is down"
    assert found.unchecked


def test_a_share_of_one_and_other_moments_are_not_checked(
    log: Callable[[Iterable[Entry]], Engine],
) -> None:
    """Where all requests are the canary's there is no ratio; other champions' do not count."""
    engine = log(
        [
            *(asked(100.0 + number, "challenger") for number in range(50)),
            *(asked(100.5 + number, "champion", version=9) for number in range(50)),
        ]
    )
    all_of_it = dataclasses.replace(BEGUN[0], share=1.0)
    assert check_samples(engine, "green", [all_of_it], moment_of, 10 * DAY) == []
    (half,) = check_samples(engine, "green", BEGUN, moment_of, 10 * DAY)
    assert (half.requests, half.logged) == (50, 1.0)

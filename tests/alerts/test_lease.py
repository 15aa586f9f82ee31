"""One process at a time holds the lease, and a killed one does not hold it for good."""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import time
from pathlib import Path

import pytest
from upath import UPath

from model_loop.alerts.lease import SendLease

SECONDS = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> UPath:
    """Folder of the leases."""
    return UPath(tmp_path / "leases")


def at(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    """Set the clock of leases."""
    monkeypatch.setattr("model_loop.alerts.lease.time.time", lambda: now)


def test_a_released_lease_is_free(folder: UPath) -> None:
    """Until then nobody else has it."""
    held = SendLease(folder, SECONDS).acquire()
    assert held is not None
    assert SendLease(folder, SECONDS).acquire() is None
    held.unlink()
    assert SendLease(folder, SECONDS).acquire() is not None


@pytest.mark.parametrize("second", [0.0, SECONDS - 1])
def test_a_lease_that_is_not_released_lapses(
    folder: UPath, monkeypatch: pytest.MonkeyPatch, second: float
) -> None:
    """Not before a slot has passed, and at the latest after two."""
    at(monkeypatch, 100 * SECONDS + second)
    assert SendLease(folder, SECONDS).acquire() is not None
    for later, free in ((1.0, False), (SECONDS, False), (2 * SECONDS, True)):
        at(monkeypatch, 100 * SECONDS + second + later)
        assert (SendLease(folder, SECONDS).acquire() is not None) is free


@pytest.mark.parametrize("other", [99, 101])
def test_two_sides_of_a_boundary_do_not_both_hold_it(
    folder: UPath, monkeypatch: pytest.MonkeyPatch, other: int
) -> None:
    """Clocks differ: a file of the slot before or after counts, and no file is left of who lost."""
    at(monkeypatch, other * SECONDS)
    held = SendLease(folder, SECONDS).acquire()
    at(monkeypatch, 100 * SECONDS)
    assert SendLease(folder, SECONDS).acquire() is None
    assert list(folder.iterdir()) == [held]


def test_a_clock_that_ran_ahead_holds_nobody_up(
    folder: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a file of another name."""
    at(monkeypatch, 1_000_000 * SECONDS)
    assert SendLease(folder, SECONDS).acquire() is not None
    (folder / "turn.json").write_text("{}")
    at(monkeypatch, 100 * SECONDS)
    assert SendLease(folder, SECONDS).acquire() is not None


def test_a_lease_is_waited_for(folder: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the patience lasts."""
    held = SendLease(folder, SECONDS).acquire()
    assert held is not None
    monkeypatch.setattr("model_loop.alerts.lease.time.sleep", lambda _: held.unlink())
    assert SendLease(folder, SECONDS).acquire(patience_seconds=5.0) is not None


def _hold(folder: str) -> tuple[float, float] | None:
    held = SendLease(UPath(folder), SECONDS).acquire()
    if held is None:
        return None
    began = time.monotonic()
    time.sleep(0.01)
    ended = time.monotonic()
    held.unlink()
    return began, ended


def test_no_two_processes_hold_it_at_once(folder: UPath) -> None:
    """However many try at the same moment."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        held = sorted(times for times in pool.map(_hold, [str(folder)] * 200) if times)
    assert len(held) > 1
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(held))

"""Which share of the requests a canary had at which time, from the history."""

from __future__ import annotations

import pytest

from model_loop.tracking.shares import SETTLING_SECONDS, ShareMove, canaries_of, read_move

NOW = 10_000.0


def move(
    at: float, challenger: int | None, share: float, moment: str | None = "ended"
) -> ShareMove:
    """Return a move that took a second."""
    return ShareMove(at, at + 1, moment, challenger, share, f"run-{at:g}")


def test_shares_follow_each_other() -> None:
    """Each share counts from a minute after its move until the next move begins."""
    moves = [move(100, 2, 0.1), move(1_000, 2, 0.5), move(3_000, None, 0.0)]
    (canary,) = canaries_of(reversed(moves), "ended", NOW)
    settled = 1 + SETTLING_SECONDS
    assert [(one.begin, one.end, one.share) for one in canary.segments] == [
        (100 + settled, 1_000, 0.1),
        (1_000 + settled, 3_000, 0.5),
    ]
    assert (canary.version, canary.run_id, canary.begun) == (2, "run-100", 100)
    assert not canary.is_open


def test_a_canary_begins_anew() -> None:
    """One that was ended, or took the place of another, is another canary."""
    moves = [move(0, 2, 0.1), move(1_000, None, 0), move(2_000, 2, 0.1), move(3_000, 3, 0.1)]
    found = canaries_of(moves, "ended", NOW)
    assert [(one.version, one.begun, one.is_open) for one in found] == [
        (2, 0, False),
        (2, 2_000, False),
        (3, 3_000, True),
    ]
    assert found[-1].segments[-1].end == NOW


def test_moves_of_other_moments_do_not_count() -> None:
    """Those of before moments were declared do."""
    moves = [move(0, 2, 0.1), move(1_000, 5, 0.3, "booked"), move(2_000, 2, 0.2, None)]
    (canary,) = canaries_of(moves, "ended", NOW)
    assert [one.share for one in canary.segments] == [0.1, 0.2]
    assert [one.version for one in canaries_of(moves, "booked", NOW)] == [5, 2]


def test_moves_that_follow_at_once_leave_no_segment() -> None:
    """Servers are still about to notice the first."""
    (canary,) = canaries_of([move(0, 2, 0.1), move(30, 2, 0.2)], "ended", NOW)
    assert [one.share for one in canary.segments] == [0.2]


@pytest.mark.parametrize("action", ["disable", "enable", "reject", "propose"])
def test_entries_that_move_no_version_are_none(action: str) -> None:
    """Nothing is assigned otherwise after them."""
    tags = {"action": action, "after_challenger": "2", "after_share": "0.1", "moment": "ended"}
    assert read_move(tags, 0, 1, "run") is None
    moved = read_move({**tags, "action": "canary"}, 0, 1, "run")
    assert moved == ShareMove(0, 1, "ended", 2, 0.1, "run")

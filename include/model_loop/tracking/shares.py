"""The shares of requests that canaries were given, from the history, without MLflow's client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from model_loop.datasets.dataset import Moment
from model_loop.tracking.actions import SWITCHES
from model_loop.tracking.deployments import STILL

#: After a move, requests of so many seconds do not count: servers look at the registry every few
#: seconds, and their clocks differ.
SETTLING_SECONDS = 60.0


@dataclass(frozen=True)
class ShareMove:
    """An action that was done, and which version answers which share since.

    Parameters
    ----------
    begun, ended
        Seconds since 1970; versions have moved at some time between.
    moment
        Moment of the versions; None for entries of before moments were declared.
    challenger, share
        Version on trial, and its share of the requests; None and 0 where there is none.
    run_id
        Run of the history that holds it.
    """

    begun: float
    ended: float
    moment: Moment | None
    challenger: int | None
    share: float
    run_id: str


@dataclass(frozen=True)
class Segment:
    """A time in which a canary's share did not change, in seconds since 1970."""

    begin: float
    end: float
    share: float


@dataclass(frozen=True)
class Canary:
    """A version on trial, from the action that has begun it to the one that has ended it.

    Parameters
    ----------
    version, moment
        Number of the version, and its moment.
    run_id
        Run of the action that has begun it.
    begun
        Time of that action, in seconds since 1970.
    segments
        Times that count, one after the other; see `SETTLING_SECONDS`.
    share
        Its last share of the requests.
    is_open
        Whether no action has ended it.
    """

    version: int
    moment: Moment
    run_id: str
    begun: float
    segments: tuple[Segment, ...]
    share: float
    is_open: bool


def read_move(tags: Mapping[str, str], begun: float, ended: float, run_id: str) -> ShareMove | None:
    """Read an entry of the history; None if it has moved no version.

    Raises
    ------
    ValueError, KeyError
        If it is no entry.
    """
    if tags["action"] in SWITCHES | STILL:
        return None
    challenger = tags.get("after_challenger")
    return ShareMove(
        begun,
        ended,
        tags.get("moment"),
        None if challenger is None else int(challenger),
        float(tags["after_share"]),
        run_id,
    )


def canaries_of(moves: Iterable[ShareMove], moment: Moment, now: float) -> list[Canary]:
    """Return the canaries of a moment, the latest one last.

    Parameters
    ----------
    now
        End of what lasts, in seconds since 1970.
    """
    own = sorted((one for one in moves if one.moment in {None, moment}), key=lambda one: one.begun)
    found: list[Canary] = []
    for number, move in enumerate(own):
        last = own[number - 1] if number else None
        if move.challenger is None:
            continue
        is_last = number + 1 == len(own)
        begin = move.ended + SETTLING_SECONDS
        end = now if is_last else own[number + 1].begun
        segments = (Segment(begin, end, move.share),) if begin < end else ()
        goes_on = last is not None and last.challenger == move.challenger
        first = found.pop() if goes_on else None
        found.append(
            Canary(
                move.challenger,
                moment,
                first.run_id if first else move.run_id,
                first.begun if first else move.begun,
                (*(first.segments if first else ()), *segments),
                move.share,
                is_open=is_last,
            )
        )
    return found

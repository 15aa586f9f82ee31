"""Check whether versions have answered the shares of requests that they were assigned.

If they have not, requests of one side are missing, and it is unknown which: no difference between
the versions can be read from the rest (sample-ratio mismatch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine

from model_loop.datasets.dataset import Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.models.intervals import Floats
from model_loop.serving.comparison.assigned import (
    AssignedUnits,
    assigned_rows,
    count_units,
    versions_asked,
)
from model_loop.serving.comparison.day_sums import Wanted
from model_loop.serving.comparison.odds import ENOUGH, evidence_of_odds
from model_loop.tracking.shares import Canary, Segment, ShareMove, canaries_of

#: Moment of a version; None where it is not known.
MomentOf = Callable[[int], Moment | None]


@dataclass(frozen=True)
class SampleCheck:
    """Share of the requests that a canary was assigned, and the share that the log has.

    Parameters
    ----------
    version, moment
        The canary, and its moment.
    requests
        Number of units: keys, and requests without one.
    assigned, logged
        Share of them that was assigned to the canary, and its share in the log.
    e_value
        Evidence that they differ; 1 means none, and 100 decides.
    mismatched
        Day on which the evidence sufficed for the first time, as ``2024-03-01``; None if it never
        has.
    """

    version: int
    moment: Moment
    requests: int
    assigned: float
    logged: float
    e_value: float
    mismatched: str | None

    def __str__(self) -> str:
        """Say it for people."""
        return (
            f"version {self.version} was assigned {self.assigned:.2%} of {self.requests:,} "
            f"requests, and the log has {self.logged:.2%} of them"
        )


def check_samples(
    engine: Engine, service: str, moves: Sequence[ShareMove], moment_of: MomentOf, now: float
) -> list[SampleCheck]:
    """Check every canary of a service whose requests are in the log.

    Parameters
    ----------
    moves
        The moves of the service; see `tracking.shares`.
    """
    found = []
    for moment in dataset_of_variant(service).moments:
        for canary in canaries_of(moves, moment, now):
            # A share of 1 leaves nothing to compare.
            shared = [one for one in canary.segments if 0 < one.share < 1]
            wanted = rows_of(engine, service, canary, moment_of, shared)
            if units := count_units(engine, wanted, shared):
                found.append(check_units(canary, shared, units))
    return found


def rows_of(
    engine: Engine,
    service: str,
    canary: Canary,
    moment_of: MomentOf,
    segments: Sequence[Segment],
) -> Wanted:
    """Return the conditions of the rows of a canary and its champion."""
    wanted = assigned_rows(service, segments, None)
    if len(dataset_of_variant(service).moments) == 1:
        return wanted
    versions = versions_asked(engine, wanted)
    own = [version for version in versions if moment_of(version) == canary.moment]
    return assigned_rows(service, segments, own)


def check_units(
    canary: Canary, segments: Sequence[Segment], units: Sequence[AssignedUnits]
) -> SampleCheck:
    """Weigh the counts by day, in their order."""
    own, every, shares = counts_by_step(units, segments)
    evidence = evidence_of_odds(own, every, shares)
    (enough,) = np.nonzero(evidence >= ENOUGH)
    day = _steps(units)[enough[0]][1] if len(enough) else None
    total = every.sum()
    return SampleCheck(
        canary.version,
        canary.moment,
        int(total),
        float(every @ shares / total),
        float(own.sum() / total),
        float(evidence[-1]),
        None if day is None else str(np.datetime64(day, "D")),
    )


def counts_by_step(
    units: Sequence[AssignedUnits], segments: Sequence[Segment]
) -> tuple[Floats, Floats, Floats]:
    """Return the canary's units, all units, and its share, of each segment and day in order."""
    steps = _steps(units)
    own, every = np.zeros(len(steps)), np.zeros(len(steps))
    for one in units:
        place = steps.index((one.segment, one.day))
        every[place] += one.units
        own[place] += one.units * one.own
    return own, every, np.array([segments[segment].share for segment, _ in steps])


def _steps(units: Sequence[AssignedUnits]) -> list[tuple[int, int]]:
    return sorted({(one.segment, one.day) for one in units})

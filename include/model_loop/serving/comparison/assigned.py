"""Count, where the log is, the requests that were assigned to a canary and to the champion.

The unit is whatever was assigned once: all requests of a key, which one version answers, however
often they are sent, or a request without a key. The first request of a key during the canary
decides how the key was answered: a caller who sends many slow requests under one key would make a
version slow. Answers of a named version (part ``form``) were not assigned, and those of a shadow
are stored beside the answer that counts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, and_, case, false, func, or_, select

from model_loop.serving.comparison.day_sums import Wanted, day_of
from model_loop.serving.request_log.entries import FAILED, REFUSED, STAND_INS, UNLOADABLE
from model_loop.serving.request_log.tables import predictions
from model_loop.tracking.shares import Segment

#: Parts of requests that were assigned by a share.
_ASSIGNED = ("champion", "challenger", *STAND_INS)

_log = predictions.c


class SlowThresholds(NamedTuple):
    """Latencies (ms) above which answers are slow; for units that were first seen after a time."""

    after: float
    challenger: float
    champion: float


class AssignedUnits(NamedTuple):
    """Number of units of a segment and day that are alike.

    Parameters
    ----------
    segment, day
        Number of the segment, and the day as days since 1970.
    own
        Whether they were assigned to the challenger.
    refused, slow
        Whether it has refused their rows, and whether its answer, or the champion's, was slow.
    units
        Number of them.
    """

    segment: int
    day: int
    own: bool
    refused: bool
    slow: bool
    units: int


def assigned_rows(
    service: str, segments: Collection[Segment], versions: Collection[int] | None
) -> Wanted:
    """Return the conditions of rows that were assigned by a share, in some times.

    Parameters
    ----------
    versions
        Versions of the moment in question; None where there is no other moment.
    """
    during = [and_(_log.at >= one.begin, _log.at < one.end) for one in segments]
    wanted = (_log.service == service, _log.part.in_(_ASSIGNED), or_(false(), *during))
    return wanted if versions is None else (*wanted, _log.version.in_(versions))


def count_units(
    engine: Engine,
    wanted: Wanted,
    segments: Collection[Segment],
    slow: SlowThresholds | None = None,
) -> list[AssignedUnits]:
    """Count the units of a canary, in the order of segments and days."""
    if not segments:
        return []
    is_slow: ColumnElement[bool] = false()
    if slow is not None:
        most = case((_log.part == "challenger", slow.challenger), else_=slow.champion)
        is_slow = and_(_log.part.in_(_ASSIGNED[:2]), _log.latency_ms > most)
    first = (
        select(
            _first().label("at"),
            _first(_log.part != "champion").label("own"),
            _first(_log.part == REFUSED).label("refused"),
            _first(is_slow).label("slow"),
        )
        .where(*wanted)
        .group_by(_log.key, case((_log.key.is_(None), _log.at)))
        .subquery()
        .c
    )
    begins = [(first.at >= one.begin, number) for number, one in enumerate(segments)]
    counted = first.slow == first.at
    if slow is not None:
        counted = and_(counted, first.at > slow.after)
    named = {
        "segment": case(*begins[::-1], else_=0),
        "day": day_of(engine, first.at),
        "own": _is(first.own == first.at),
        "refused": _is(first.refused == first.at),
        "slow": _is(counted),
    }
    units = select(*(column.label(name) for name, column in named.items())).subquery().c
    columns = [units[name] for name in named]
    query = select(*columns, func.count()).group_by(*columns).order_by(*columns)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return [
        AssignedUnits(
            row.segment, int(row.day), bool(row.own), bool(row.refused), bool(row.slow), row[-1]
        )
        for row in rows
    ]


def count_failures(engine: Engine, wanted: Wanted) -> list[tuple[int, int]]:
    """Return how many requests of each day the challenger has failed to answer, and of how many.

    Those that came while it was being loaded are none of them; nor are those that it has refused.
    """
    failed = _log.part.in_((FAILED, UNLOADABLE))
    day = day_of(engine, _log.at).label("day")
    own = (
        select(day, case((failed, _log.at)).label("failed"), _log.at)
        .where(*wanted, or_(failed, _log.part.in_(("challenger", REFUSED))))
        .subquery()
        .c
    )
    query = (
        select(func.count(own.failed.distinct()), func.count(own.at.distinct()))
        .group_by(own.day)
        .order_by(own.day)
    )
    with engine.connect() as connection:
        return [(failures, requests) for failures, requests in connection.execute(query)]


def first_latencies(engine: Engine, wanted: Wanted, most: int) -> list[tuple[float, float]]:
    """Return time and latency (ms) of the champion's first answers."""
    query = (
        select(_log.at, _log.latency_ms)
        .where(*wanted, _log.part == "champion")
        .distinct()
        .order_by(_log.at)
        .limit(most)
    )
    with engine.connect() as connection:
        return [(at, latency) for at, latency in connection.execute(query)]


def versions_asked(engine: Engine, wanted: Wanted) -> list[int]:
    """Return the versions that have answered."""
    with engine.connect() as connection:
        return [*connection.scalars(select(_log.version).where(*wanted).distinct())]


def _first(condition: ColumnElement[bool] | None = None) -> ColumnElement[float]:
    """Return the time of the first request of a unit, or of the first that a condition holds of."""
    return func.min(_log.at if condition is None else case((condition, _log.at)))


def _is(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)

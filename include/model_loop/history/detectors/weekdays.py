"""Days of the week: a partition whose times are whole days late, or early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model_loop.days import DAYS_PER_WEEK
from model_loop.findings import Finding
from model_loop.history.calendar import weekly_profile
from model_loop.history.limits import HistoryLimits
from model_loop.history.sketch import Sketch
from model_loop.history.table import Array

#: Fewer days do not tell one week from another.
_LEAST_DAYS = 14
#: Days that are late explain so much of the change, beyond chance.
_EXPLAINS = 0.6
#: The change is so many times what chance makes.
_BEYOND_CHANCE = 3.0
#: A share of an hour of the week below this is as good as none.
_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class _Shift:
    days: int
    share: float
    explains: float
    beyond_chance: float


def late_days(
    time: str, sketch: Sketch, history: Sequence[Sketch], limits: HistoryLimits
) -> Iterator[Finding]:
    """Find hours of the week that are those of another day in history."""
    if min(len(sketch.per_hour), sum(len(one.per_hour) for one in history)) < 24 * _LEAST_DAYS:
        return
    # If all days of the week are alike, none can be taken for another.
    likeliest = max(
        _shifts(sketch, history), key=lambda shift: shift.share * shift.explains, default=None
    )
    if (
        likeliest is None
        or likeliest.explains < _EXPLAINS
        or likeliest.beyond_chance < _BEYOND_CHANCE
    ):
        return
    if likeliest.share < limits.late_days:
        return
    days = (
        likeliest.days if likeliest.days <= DAYS_PER_WEEK // 2 else likeliest.days - DAYS_PER_WEEK
    )
    yield Finding(
        "another_clock",
        time,
        sketch.partition,
        "refused" if likeliest.share >= limits.late_days_refused else "warning",
        f"{min(likeliest.share, 1):.0%} of the rows seem to have {time} on another day of the week "
        f"({days:+d} days).",
        f"Check the dates of {time}, and fetch the file again.",
    )


def _shifts(sketch: Sketch, history: Sequence[Sketch]) -> Iterator[_Shift]:
    """Yield how well each number of days explains the change, as in `named`."""
    before, now = _shares(history), _shares([sketch])
    rows = 1 / max(sketch.sound, 1) + 1 / max(sum(one.sound for one in history), 1)
    change = now - before
    for days in range(1, DAYS_PER_WEEK):
        moved = np.roll(before, days, axis=0)
        direction, weight = moved - before, 1 / (before + moved + _LEAST_SHARE)
        size = float((weight * direction**2).sum())
        if size == 0:
            continue
        share = float((weight * change * direction).sum()) / size
        chance = float((weight * before).sum()) * rows
        total = float((weight * change**2).sum())
        left = max(float((weight * (change - share * direction) ** 2).sum()) - chance, 0.0)
        yield _Shift(days, share, 1 - left / max(total - chance, 1e-9), total / chance)


def _shares(sketches: Sequence[Sketch]) -> Array:
    profile = weekly_profile(sketches)
    shares: Array = profile / max(profile.sum(), 1e-9)
    return shares

"""Small partitions in another unit are named by the factor; drift, seasons and modes are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from model_loop.history.detectors.scales import other_scales
from model_loop.history.sketch import Sketch
from model_loop.history.table import Array, ComparedColumn, ComparedTable, units_of

PARTITIONS, CHANGED = 24, 16
TABLE = ComparedTable(
    (ComparedColumn("at", "time"), ComparedColumn("length", "number", units_of("min"))),
    "at", "length", ("length",),
)  # fmt: skip

Make = Callable[[np.random.Generator, Array], Array]
#: Numbers by the number of the partition of each row.
SOUND: dict[str, Make] = {
    "normal": lambda rng, part: rng.normal(50, 8, len(part)),
    "long tail": lambda rng, part: rng.lognormal(3, 1, len(part)),
    "both signs": lambda rng, part: rng.normal(0, 10, len(part)),
    "counts with zeros": lambda rng, part: (
        rng.poisson(3, len(part)) * (rng.random(len(part)) < 0.6)
    ),
    "season": lambda rng, part: np.exp(
        3 + 1.2 * np.sin(part / 6 * np.pi) + rng.normal(0, 0.5, len(part))
    ),
}
#: Numbers that move for other reasons, of which nothing is to be said.
MOVING: dict[str, Make] = {
    "growth": lambda rng, part: np.exp(0.4 * part + rng.normal(0, 0.5, len(part))),
    "row number": lambda _, part: np.arange(len(part)) + 1.0,
    "walk": lambda rng, part: np.exp(
        3 + np.cumsum(rng.normal(0, 0.3, PARTITIONS))[part] + rng.normal(0, 0.5, len(part))
    ),
    "three times as much": lambda rng, part: rng.normal(50, 8, len(part)) * (1 + 2 * (part > 12)),
    "two modes": lambda rng, part: np.where(rng.random(len(part)) < 0.5, 1.0, 100.0),
    "strong season": lambda rng, part: np.exp(
        3 + 2.5 * np.sin(part / 6 * np.pi) + rng.normal(0, 0.5, len(part))
    ),
    "few values": lambda rng, part: np.where(
        rng.random(len(part)) < 0.05, rng.lognormal(3, 1, len(part)), np.nan
    ),
}


def findings(make: Make, rows: int, factor: float = 1.0, seed: int = 0) -> dict[int, str]:
    """Return the message about each partition that has one; from `CHANGED` on, in another unit."""
    part = np.repeat(np.arange(PARTITIONS), rows)
    values = make(np.random.default_rng(seed), part) * np.where(part >= CHANGED, factor, 1.0)
    empty = np.empty(0)
    sketches = [
        Sketch(f"{each:02}", 0, rows, rows, empty, {}, {}, {"length": values[part == each]}, empty)
        for each in range(PARTITIONS)
    ]
    return {
        place: finding.message
        for place, sketch in enumerate(sketches)
        for finding in other_scales(TABLE, sketch, sketches[:place])
    }


@pytest.mark.parametrize("kind", [*SOUND, *MOVING])
@pytest.mark.parametrize("rows", [12, 200])
def test_nothing_is_said_of_sound_partitions(kind: str, rows: int) -> None:
    """Whatever moves by itself: drift, growth, seasons, a change that is no factor of a unit."""
    make = (SOUND | MOVING)[kind]
    assert [findings(make, rows, seed=seed) for seed in range(5)] == [{}] * 5


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("rows", [12, 200])
@pytest.mark.parametrize("factor", [1_000.0, 0.001, 60.0])
def test_another_unit_is_named_where_it_begins(kind: str, rows: int, factor: float) -> None:
    """The factor is that of the unit; at most as many partitions later as have thirty numbers."""
    found = findings(SOUND[kind], rows, factor)
    first = min(found)
    assert CHANGED <= first <= CHANGED + (0 if rows > 30 else 5)
    # Where numbers move by themselves, a neighbouring factor fits as well.
    assert f"a factor of {factor:.4g}" in found[first] or kind == "season"


def test_ten_times_as_much_is_named_where_numbers_vary_less() -> None:
    """A season that moves numbers as far hides it."""
    assert CHANGED in findings(SOUND["normal"], 200, 10.0)
    assert not findings(MOVING["strong season"], 200, 10.0)

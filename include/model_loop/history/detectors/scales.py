"""Numbers of small partitions in another unit: too few rows for a comparison of distributions.

A factor shows with few rows where nothing has moved as far before. Successive partitions are joined
to blocks of enough rows, and the block of the newest one is held against the range of those before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from model_loop.findings import Finding
from model_loop.history.sketch import Sketch
from model_loop.history.table import Array, ComparedTable

#: Rows of a block, and blocks before the newest one.
_BLOCK_ROWS, _LEAST_BLOCKS = 30, 3
#: Quartiles that have to move, by at least this share of the factor.
_QUARTILES, _MOVED = (0.25, 0.5, 0.75), 0.6
#: Standard errors within which a difference counts as chance.
_CERTAIN = 4.0
#: A leap is so many times as long as the longest step from one block to the next before it.
_LEAP = 2.0
#: Standard errors that the range of some medians has by chance.
_RANGE_BY_CHANCE = 3.0
#: Difference from a factor, as a logarithm, that other years and places make.
_ROUNDED = 0.1


def other_scales(
    table: ComparedTable, sketch: Sketch, history: Sequence[Sketch]
) -> Iterator[Finding]:
    """Find numbers that are larger by the factor of a unit, and of which history has no such range.

    Zeros say nothing of a unit and are left out, and so are signs.

    Parameters
    ----------
    history
        Sound partitions before it, in the order of time; more of them than a comparison of
        distributions needs, as each has few rows.
    """
    for name in table.of_kind("number"):
        blocks = _blocks([*history, sketch], name)
        if len(blocks) <= _LEAST_BLOCKS:
            continue
        factors = table.column(name).units or {}
        words = _factor(blocks[0], blocks[1:], factors)
        if words is not None:
            yield Finding(
                "another_unit",
                name,
                sketch.partition,
                "refused",
                f"All rows seem to hold {name} in another unit ({words}, a factor of "
                f"{factors[words]:.4g}): {_shown(blocks[0])} in the middle, and "
                f"{_shown(np.concatenate(blocks[1:]))} before.",
                f"Convert {name} to the unit of the earlier partitions, or fetch the file again.",
            )


def _blocks(sketches: Sequence[Sketch], name: str) -> list[Array]:
    """Return logarithms of a number in blocks of enough rows, the newest block first."""
    blocks, rows = list[Array](), list[Array]()
    for sketch in reversed(sketches):
        values = np.abs(sketch.sample.get(name, np.empty(0)))
        rows.append(np.log(values[np.isfinite(values) & (values > 0)]))
        if sum(map(len, rows)) >= _BLOCK_ROWS:
            blocks.append(np.concatenate(rows))
            rows = []
    return blocks


def _factor(new: Array, old: Sequence[Array], factors: Mapping[str, float]) -> str | None:
    """Return the words for the factor by which the newest block has moved; None if by none."""
    now, before = (np.quantile(each, _QUARTILES) for each in (new, np.concatenate(old)))
    medians = np.array([np.median(each) for each in old])
    spread = np.median([np.subtract(*np.quantile(each, (0.75, 0.25))) for each in old])
    # The standard error of a median of a normal distribution with these quartiles.
    error = float(spread) / 1.35 * 1.25 / np.sqrt(min(map(len, (new, *old))))
    reach = max(float(np.ptp(medians)) - _RANGE_BY_CHANCE * error, 0.0)
    moved = float(now[1] - np.median(medians))
    outside = now[1] > medians.max() or now[1] < medians.min()
    steps = np.abs(np.diff([now[1], *medians]))
    leap = float(steps[0] - _LEAP * max(steps[1:].max() - _RANGE_BY_CHANCE * error, 0.0))
    if not outside or min(abs(moved) - reach, leap) <= _CERTAIN * error:
        return None
    words = min(factors, key=lambda each: abs(np.log(factors[each]) - moved))
    factor = float(np.log(factors[words]))
    near = abs(factor - moved) <= reach + _CERTAIN / 2 * error + _ROUNDED
    ahead = (now - before) * np.sign(factor)
    return words if near and (ahead >= _MOVED * abs(factor)).all() else None


def _shown(logarithms: Array) -> str:
    return f"{np.exp(np.median(logarithms)):.3g}"

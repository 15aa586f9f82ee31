"""What is known of a table without any history: between which bounds some numbers lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trip_duration.findings import Finding
from trip_duration.history.coding import complete
from trip_duration.history.sketch import Sketch
from trip_duration.history.table import Derived, Table, Values

_LEAST_KNOWN = 100


def usual_numbers(table: Table, sketch: Sketch) -> Iterator[Finding]:
    """Find derived numbers whose median is not where that of any sound partition is."""
    for one in table.derived:
        if one.usual is None or _is_usual(table, one, sketch.sample):
            continue
        name, words = _likely_unit(table, one, sketch.sample)
        yield Finding(
            "another_unit" if words else "implausible_relation",
            name or ", ".join(table.sources_of(one.name)),
            sketch.partition,
            "refused",
            f"{one.title} is not what it can be"
            + (f": {name} seems to be in another unit ({words})." if words else "."),
            "Check the units of its columns, and fetch the file again.",
        )


def _likely_unit(table: Table, one: Derived, sample: Values) -> tuple[str | None, str]:
    """Return the column, and the unit, by which everything would be usual again."""
    for name in table.sources_of(one.name):
        for words, factor in (table.column(name).units or {}).items():
            changed = {**sample, name: sample[name] / factor}
            if all(_is_usual(table, other, changed) for other in table.derived):
                return name, words
    return None, ""


def _is_usual(table: Table, one: Derived, sample: Values) -> bool:
    if one.usual is None:
        return True
    known = complete(table, sample)[one.name]
    known = known[np.isfinite(known)]
    low, high = one.usual
    return len(known) < _LEAST_KNOWN or low <= float(np.median(known)) <= high

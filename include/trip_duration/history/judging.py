"""The verdict on a partition: all detectors, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from trip_duration.findings import Finding
from trip_duration.history.calendar import Calendar, latest
from trip_duration.history.comparison import LEAST_ROWS, Comparison, Past
from trip_duration.history.detectors import (
    columns,
    copies,
    coverage,
    effects,
    named,
    plausibility,
    relations,
    weekdays,
)
from trip_duration.history.limits import Limits
from trip_duration.history.sketch import Sketch
from trip_duration.history.table import Table

_COMPARING = (
    named.named_causes,
    relations.weaker_relations,
    effects.lost_effects,
    plausibility.moved_ratios,
    columns.single_values,
    columns.grains,
    columns.vanished_values,
    columns.rare_values,
    columns.shifts,
    columns.missing_values,
    columns.broken_rules,
)


def judge(
    table: Table,
    sketch: Sketch,
    history: Sequence[Sketch],
    limits: Limits | None = None,
    prepare: Callable[[Table, Sequence[Sketch], Calendar], Past] = Past,
) -> tuple[Finding, ...]:
    """Compare a partition with those before it.

    Parameters
    ----------
    table
        What is compared.
    sketch
        The partition.
    history
        Sound partitions before it, in the order of time; may be empty.
    prepare
        Codes and counts history; one that remembers is for many partitions with the same history.

    Returns
    -------
    tuple of Finding
        The gravest first.
    """
    limits = limits or Limits()
    found = [
        *coverage.coverage(sketch, history, limits),
        *coverage.thin_days(sketch, history, limits),
        *coverage.size(sketch, history, limits),
    ]
    usable = latest([one for one in history if one.sampled >= LEAST_ROWS])
    if sketch.sampled < LEAST_ROWS:
        return tuple(_told(found))
    if not usable:
        found += plausibility.usual_numbers(table, sketch)
    else:
        found += copies.copies(sketch, usable, limits)
        found += weekdays.late_days(table.time, sketch, usable, limits)
        comparison = Comparison(prepare(table, usable, Calendar.of(sketch, usable)), sketch)
        for detect in _COMPARING:
            found += detect(comparison, limits)
    return tuple(_told(found))


def _told(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings, the gravest first, and keep one of each code and column."""
    ordered = sorted(findings, key=lambda one: one.level != "refused")
    return list({(one.code, one.column): one for one in reversed(ordered)}.values())[::-1]

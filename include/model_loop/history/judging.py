"""The verdict on a partition: all detectors, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from model_loop.findings import Finding
from model_loop.history.calendar import Calendar, latest
from model_loop.history.comparison import LEAST_ROWS, Comparison, Past
from model_loop.history.detectors import (
    classes,
    columns,
    copies,
    coverage,
    effects,
    named,
    plausibility,
    relations,
    weekdays,
)
from model_loop.history.limits import HistoryLimits
from model_loop.history.sketch import Sketch
from model_loop.history.table import ComparedTable

#: A message names so many partitions of history.
_MOST_NAMED = 6
#: First and last words of the sentence of a remedy that names the partitions to look at.
_BOTH_SIDES, _FIRST = "Look at both sides", "first. "

_COMPARING = (
    named.named_causes,
    relations.weaker_relations,
    effects.lost_effects,
    plausibility.moved_ratios,
    classes.class_shares,
    columns.single_values,
    columns.grains,
    columns.vanished_values,
    columns.rare_values,
    columns.shifts,
    columns.missing_values,
    columns.broken_rules,
)


def judge_partition(
    table: ComparedTable,
    sketch: Sketch,
    history: Sequence[Sketch],
    limits: HistoryLimits | None = None,
    prepare: Callable[[ComparedTable, Sequence[Sketch], Calendar], Past] = Past,
) -> tuple[Finding, ...]:
    """Compare a partition with those before it.

    Parameters
    ----------
    table
        Columns and relations to compare.
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
    limits = limits or HistoryLimits()
    findings = [*coverage.coverage(sketch, history, limits)]
    findings += _beside(coverage.thin_days(sketch, history, limits), history)
    findings += _beside(coverage.size(sketch, history, limits), history)
    usable = latest([one for one in history if one.sampled >= LEAST_ROWS])
    if sketch.sampled < LEAST_ROWS:
        return tuple(_told(findings))
    if not usable:
        findings += plausibility.usual_numbers(table, sketch)
        findings += plausibility.usual_relations(table, sketch)
    else:
        findings += _beside(copies.copies(sketch, usable, limits), usable)
        findings += _beside(weekdays.late_days(table.time, sketch, usable, limits), usable)
        comparison = Comparison(prepare(table, usable, Calendar.of(sketch, usable)), sketch)
        for detect in _COMPARING:
            findings += _beside(detect(comparison, limits), usable)
    return tuple(_told(findings))


def _beside(findings: Iterable[Finding], history: Sequence[Sketch]) -> Iterator[Finding]:
    """Say what a partition was compared with: a difference does not tell which side is wrong."""
    names = [one.partition for one in history]
    told = ", ".join(names[-_MOST_NAMED:])
    if len(names) > _MOST_NAMED:
        told = f"{len(names)} partitions, the latest {told}"
    for one in findings:
        yield dataclasses.replace(
            one,
            message=f"{one.message} Compared with {told}: either side may be the wrong one.",
            remedy=f"{_BOTH_SIDES}, {one.partition} and {told}, {_FIRST}If {one.partition} is "
            f"wrong: {one.remedy[0].lower()}{one.remedy[1:]}",
        )


def short_remedy(remedy: str) -> str:
    """Return a remedy without the partitions to look at, which its message names as well."""
    _, _, rest = remedy.partition(_FIRST)
    return rest if rest and remedy.startswith(_BOTH_SIDES) else remedy


def _told(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings, the gravest first, and keep one of each code and column."""
    ordered = sorted(findings, key=lambda finding: finding.level != "refused")
    return list({(one.code, one.column): one for one in reversed(ordered)}.values())[::-1]

"""Contract of a partition, from the columns and rules of its declaration.

Rows that break it are set aside and counted, each by the first rule that it breaks; nobody learns
from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.conditions import Condition, Mask
from model_loop.datasets.declaration import Declaration, class_condition
from model_loop.datasets.declaration_types import Action
from model_loop.errors import ContractError
from model_loop.findings import Finding, RefusedPartitionError
from model_loop.partitions.types import PartitionReport

#: Largest share of rows of which the contract may set aside; more refuse the partition.
_MOST_SET_ASIDE = 0.5
#: Names of the rules that every table has.
NO_TARGET, NO_CLASS, NO_TIME = "no target", "no class", "no time"
#: Column of rows that were set aside, with the rule that each breaks.
RULE = "broken rule"


@dataclass(frozen=True)
class TableLimits:
    """Shares of rows above which a partition is refused.

    Parameters
    ----------
    broken
        Rows that cannot be read or break what their columns say.
    set_aside
        All rows that are set aside, those of declared rules among them.
    """

    broken: float = 0.05
    set_aside: float = _MOST_SET_ASIDE


@dataclass(frozen=True)
class _BrokenRule:
    """Rows that break a rule.

    Parameters
    ----------
    name
        Name, for people.
    rows
        Which rows break it, shape (rows,).
    action
        Consequence.
    broken
        Whether such rows are broken, and not merely unwanted.
    """

    name: str
    rows: Mask
    action: Action = "set_aside"
    broken: bool = True
    message: str = ""


@dataclass(frozen=True)
class KeptRows:
    """Rows of a partition that keep the contract.

    Parameters
    ----------
    frame
        Rows that are kept, in their order.
    reports
        Numbers of rows that were set aside, by rule, of each partition.
    findings
        Doubtful findings; rules that only warn are among them.
    quarantine
        Rows that were set aside, with the rule that each breaks in the column `RULE`.
    """

    frame: pd.DataFrame
    reports: tuple[PartitionReport, ...]
    findings: tuple[Finding, ...] = ()
    quarantine: pd.DataFrame = field(default_factory=pd.DataFrame)


def check_rows(
    declaration: Declaration,
    frame: pd.DataFrame,
    partitions: npt.NDArray[np.object_],
    *,
    unreadable: Mapping[str, int] = MappingProxyType({}),
    limits: TableLimits | None = None,
) -> KeptRows:
    """Check rows against the contract of their table.

    Parameters
    ----------
    declaration
        Completed declaration: it names the type of each column.
    frame
        All rows that could be read, as `tables.read_table` returns them.
    partitions
        Key of the partition of each row, shape (rows,).
    unreadable
        Rows that could not be read, by partition.

    Raises
    ------
    RefusedPartitionError
        If a row breaks a rule that refuses, or too many rows of a partition are set aside.
    """
    # The number of the rule that sets a row aside, from 1; 0 of a row that is kept.
    broken_rule = np.zeros(len(frame), dtype=np.int32)
    rules, findings = [*_rules(declaration, frame)], list[Finding]()
    for number, rule in enumerate(rules, start=1):
        hit = rule.rows & (broken_rule == 0)
        if rule.action == "set_aside":
            broken_rule[hit] = number
        elif hit.any():
            findings.append(_finding(rule, partitions[hit], len(frame)))
    limits, reports = limits or TableLimits(), []
    for partition in dict.fromkeys([*partitions.tolist(), *unreadable]):
        here = broken_rule[partitions == partition]
        counts = np.bincount(here, minlength=len(rules) + 1)
        report = _report(partition, counts, rules, unreadable.get(partition, 0))
        if report.rows_kept + report.rows_set_aside != report.rows_read:
            msg = f"the rows of the rules do not add up: {report}"
            raise AssertionError(msg)
        findings += _too_many(report, counts, rules, limits)
        reports.append(report)
    _require_none_refused(declaration, findings)
    kept = broken_rule == 0
    if not kept.any():
        raise ContractError(
            f"The table of {declaration.name}",
            f"has no row left of {len(frame):,}: {'; '.join(map(str, reports[:3]))}",
            "Look at its files and at the rules of the dataset.",
        )
    rows = frame[kept] if not kept.all() else frame
    names = np.array(["", *(rule.name for rule in rules)], dtype=object)
    quarantine = frame[~kept].assign(**{RULE: names[broken_rule[~kept]]})
    return KeptRows(
        rows.reset_index(drop=True),
        tuple(reports),
        tuple(findings),
        quarantine.reset_index(drop=True),
    )


def drop_repeated(
    declaration: Declaration,
    frames: Sequence[pd.DataFrame],
    reports: Sequence[PartitionReport],
    findings: Sequence[Finding],
) -> KeptRows:
    """Put checked partitions together, without rows whose identity an earlier one has already.

    Parameters
    ----------
    frames, reports
        Rows that are kept of each partition, and their numbers.
    findings
        Findings of all of them.
    """
    left_out, counted = find_repeated(declaration, frames, reports)
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    kept = frame[~left_out].reset_index(drop=True) if left_out.any() else frame
    return KeptRows(kept, tuple(counted), tuple(findings))


def find_repeated(
    declaration: Declaration, frames: Sequence[pd.DataFrame], reports: Sequence[PartitionReport]
) -> tuple[Mask, list[PartitionReport]]:
    """Return which rows of all frames have an identity that an earlier one has, and new reports.

    Parameters
    ----------
    frames
        Rows of each partition; their columns of `identity_columns` suffice.
    """
    names = identity_columns(declaration, frames[0].columns)
    frame = pd.concat([each[names] for each in frames], ignore_index=True)
    unit = np.repeat(np.arange(len(frames)), [len(each) for each in frames])
    left_out, counted = np.zeros(len(unit), dtype=bool), list(reports)
    for rule, repeated in _repetitions(declaration, frame) if len(frames) > 1 else ():
        hit = repeated & ~left_out
        left_out |= hit
        for place in np.unique(unit[hit]).tolist():
            rows, report = int((hit & (unit == place)).sum()), counted[place]
            aside = {**report.set_aside, rule: report.set_aside.get(rule, 0) + rows}
            counted[place] = dataclasses.replace(
                report, set_aside=MappingProxyType(aside), rows_kept=report.rows_kept - rows
            )
    return left_out, counted


def identity_columns(declaration: Declaration, names: Iterable[str]) -> list[str]:
    """Return the columns among some that identify a row."""
    told = {*declaration.primary_key}
    told |= {name for name, it in declaration.columns.items() if it.constraints.unique}
    return [name for name in names if name in told]


def _repetitions(declaration: Declaration, frame: pd.DataFrame) -> Iterator[tuple[str, Mask]]:
    """Yield the rules that a row breaks because of a row before it, with the rows that do."""
    for name, column in declaration.columns.items():
        if column.constraints.unique and name in frame:
            again = np.asarray(frame[name].duplicated(), dtype=bool)
            yield f"{name} comes again", again & ~_missing(frame[name])
    if declaration.primary_key:
        keys = list(declaration.primary_key)
        yield f"same {' and '.join(keys)} again", np.asarray(frame.duplicated(keys))


def _report(
    partition: str, counts: npt.NDArray[np.int64], rules: Sequence[_BrokenRule], unreadable: int
) -> PartitionReport:
    set_aside = {
        rule.name: int(number) for rule, number in zip(rules, counts[1:], strict=True) if number
    }
    return PartitionReport(
        partition,
        rows_read=int(counts.sum()) + unreadable,
        unreadable=unreadable,
        set_aside=MappingProxyType(set_aside),
        rows_kept=int(counts[0]),
    )


def _require_none_refused(declaration: Declaration, findings: Sequence[Finding]) -> None:
    refusing = [each for each in findings if each.level == "refused"]
    if refusing:
        raise RefusedPartitionError(
            f"The table of {declaration.name}",
            f"is refused: {'; '.join(map(str, refusing))}",
            refusing[0].remedy,
            findings,
        )


def _finding(rule: _BrokenRule, partitions: npt.NDArray[np.object_], rows: int) -> Finding:
    refused = rule.action == "refuse"
    said = rule.message or f"{len(partitions):,} of {rows:,} rows break the rule {rule.name!r}"
    return Finding(
        code="rule_broken",
        column=None,
        partition=str(partitions[0]),
        level="refused" if refused else "warning",
        message=said,
        remedy="Correct the file, or the rule of the dataset.",
    )


def _too_many(
    report: PartitionReport,
    counts: npt.NDArray[np.int64],
    rules: Sequence[_BrokenRule],
    limits: TableLimits,
) -> Iterator[Finding]:
    rows = max(report.rows_read, 1)
    broken = report.unreadable + sum(
        int(number) for rule, number in zip(rules, counts[1:], strict=True) if rule.broken
    )
    for number, most, rule in (
        (broken, limits.broken, "break what their columns say"),
        (report.rows_set_aside, limits.set_aside, "are set aside"),
    ):
        if number > most * rows:
            yield Finding(
                code="too_many_set_aside",
                column=None,
                partition=report.partition,
                level="refused",
                message=f"{number:,} of {rows:,} rows {rule}, more than {most:.0%} ({report})",
                remedy="Correct the file, or the columns and rules of the dataset.",
            )
            return


def _rules(declaration: Declaration, frame: pd.DataFrame) -> Iterator[_BrokenRule]:
    """Yield the rules in their order: those that are declared explain a row better than others."""
    for declared in declaration.rules:
        condition = Condition.parse(declared.when, frame.columns)
        yield _BrokenRule(
            declared.name,
            condition.rows_of(frame),
            declared.action,
            broken=False,
            message=declared.message or "",
        )
    yield _BrokenRule(NO_TARGET, _missing(frame[declaration.target]), broken=False)
    if (positive := class_condition(declaration)) is not None:
        yield _BrokenRule(NO_CLASS, np.isnan(positive.answers_of(frame)), broken=False)
    if declaration.time is not None:
        yield _BrokenRule(NO_TIME, _missing(frame[declaration.time.column]))
    yield from _column_rules(declaration, frame)
    if declaration.primary_key:
        keys = list(declaration.primary_key)
        yield _BrokenRule(
            f"no {' and '.join(keys)}", np.asarray(frame[keys].isna().any(axis=1), dtype=bool)
        )
    for name, repeated in _repetitions(declaration, frame):
        yield _BrokenRule(name, repeated)


def _column_rules(declaration: Declaration, frame: pd.DataFrame) -> Iterator[_BrokenRule]:
    for name, column in declaration.columns.items():
        if name not in frame:
            continue
        values, bounds = frame[name], column.constraints
        missing = _missing(values)
        if bounds.required:
            yield _BrokenRule(f"{name} is missing", missing)
        if column.type == "number":
            numbers = values.to_numpy(dtype=np.float64)
            if bounds.minimum is not None:
                yield _BrokenRule(f"{name} below {bounds.minimum:g}", numbers < bounds.minimum)
            if bounds.maximum is not None:
                yield _BrokenRule(f"{name} above {bounds.maximum:g}", numbers > bounds.maximum)
        if bounds.enum:
            allowed = values.isin([*bounds.enum, *map(str, bounds.enum)])
            yield _BrokenRule(
                f"{name} is none of its values", ~np.asarray(allowed, dtype=bool) & ~missing
            )


def _missing(values: pd.Series[Any]) -> Mask:
    return np.asarray(values.isna(), dtype=bool)

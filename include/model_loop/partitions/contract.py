"""Contract of a partition, from the columns and rules of its declaration.

Rows that break it are set aside and counted, each by the first rule that it breaks; nobody learns
from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from model_loop.datasets.conditions import Condition, Mask
from model_loop.datasets.declaration import Action, Declaration
from model_loop.errors import ContractError
from model_loop.findings import Finding, RefusedPartitionError
from model_loop.partitions.types import PartitionReport

#: Largest share of rows of which the contract may set aside; more refuse the partition.
_MOST_SET_ASIDE = 0.5
#: Names of the rules that every table has.
NO_TARGET, NO_TIME = "no target", "no time"


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
class _Rule:
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
class CheckedRows:
    """Rows of a partition that keep the contract.

    Parameters
    ----------
    frame
        Rows that are kept, in their order.
    report
        Numbers of rows that were set aside, by rule.
    findings
        Doubtful findings; rules that only warn are among them.
    """

    frame: pd.DataFrame
    report: PartitionReport
    findings: tuple[Finding, ...] = ()


def check_rows(
    declaration: Declaration,
    frame: pd.DataFrame,
    partition: str,
    *,
    unreadable: int = 0,
    limits: TableLimits | None = None,
) -> CheckedRows:
    """Check the rows of a partition against the contract of their table.

    Parameters
    ----------
    declaration
        Completed declaration: it names the type of each column.
    frame
        All rows that could be read, as `tables.read_table` returns them.
    unreadable
        Rows that could not.

    Raises
    ------
    RefusedPartitionError
        If a row breaks a rule that refuses, or too many rows are set aside.
    """
    limits, rows = limits or TableLimits(), len(frame) + unreadable
    left = np.ones(len(frame), dtype=bool)
    counts: dict[str, int] = {}
    findings: list[Finding] = []
    broken = unreadable
    for rule in _rules(declaration, frame):
        hit = rule.rows & left
        number = int(np.count_nonzero(hit))
        if not number:
            continue
        if rule.action == "set_aside":
            counts[rule.name] = number
            broken += number if rule.broken else 0
            left &= ~hit
        else:
            findings.append(_finding(rule, partition, number, rows))
    kept = int(np.count_nonzero(left))
    if kept + sum(counts.values()) != len(frame):
        msg = f"{partition}: the rows of the rules do not add up"
        raise AssertionError(msg)
    report = PartitionReport(
        partition,
        rows_read=rows,
        unreadable=unreadable,
        set_aside=MappingProxyType(counts),
        rows_kept=kept,
    )
    findings += _too_many(report, broken, limits)
    refusing = [each for each in findings if each.level == "refused"]
    if refusing:
        raise RefusedPartitionError(
            f"Partition {partition} of {declaration.name}",
            "; ".join(each.message for each in refusing),
            refusing[0].remedy,
            findings,
        )
    if not kept:
        raise ContractError(
            f"Partition {partition} of {declaration.name}",
            f"has no row left of {rows:,}: {report}",
            "Look at its file and at the rules of the dataset.",
        )
    kept_rows = frame[left] if kept < len(frame) else frame
    return CheckedRows(kept_rows.reset_index(drop=True), report, tuple(findings))


def _finding(rule: _Rule, partition: str, number: int, rows: int) -> Finding:
    refused = rule.action == "refuse"
    said = rule.message or f"{number:,} of {rows:,} rows break the rule {rule.name!r}"
    return Finding(
        code="rule_broken",
        column=None,
        partition=partition,
        level="refused" if refused else "warning",
        message=said,
        remedy="Correct the file, or the rule of the dataset.",
    )


def _too_many(report: PartitionReport, broken: int, limits: TableLimits) -> Iterator[Finding]:
    rows = max(report.rows_read, 1)
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


def _rules(declaration: Declaration, frame: pd.DataFrame) -> Iterator[_Rule]:
    """Yield the rules in their order: those that are declared explain a row better than others."""
    for declared in declaration.rules:
        condition = Condition.parse(declared.when, frame.columns)
        yield _Rule(
            declared.name,
            condition.rows_of(frame),
            declared.action,
            broken=False,
            message=declared.message or "",
        )
    yield _Rule(NO_TARGET, _missing(frame[declaration.target]), broken=False)
    if declaration.time is not None:
        yield _Rule(NO_TIME, _missing(frame[declaration.time.column]))
    yield from _column_rules(declaration, frame)
    if declaration.primary_key:
        keys = list(declaration.primary_key)
        yield _Rule(
            f"no {' and '.join(keys)}", np.asarray(frame[keys].isna().any(axis=1), dtype=bool)
        )
        yield _Rule(f"same {' and '.join(keys)} again", np.asarray(frame.duplicated(keys)))


def _column_rules(declaration: Declaration, frame: pd.DataFrame) -> Iterator[_Rule]:
    for name, column in declaration.columns.items():
        if name not in frame:
            continue
        values, bounds = frame[name], column.constraints
        missing = _missing(values)
        if bounds.required:
            yield _Rule(f"{name} is missing", missing)
        if column.type == "number":
            numbers = values.to_numpy(dtype=np.float64)
            if bounds.minimum is not None:
                yield _Rule(f"{name} below {bounds.minimum:g}", numbers < bounds.minimum)
            if bounds.maximum is not None:
                yield _Rule(f"{name} above {bounds.maximum:g}", numbers > bounds.maximum)
        if bounds.enum:
            allowed = values.isin([*bounds.enum, *map(str, bounds.enum)])
            yield _Rule(
                f"{name} is none of its values", ~np.asarray(allowed, dtype=bool) & ~missing
            )
        if bounds.unique:
            again = np.asarray(values.duplicated(), dtype=bool)
            yield _Rule(f"{name} comes again", again & ~missing)


def _missing(values: pd.Series[Any]) -> Mask:
    return np.asarray(values.isna(), dtype=bool)

"""Checks of data against a declaration: its columns, rules and rows, and its open questions."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from model_loop.datasets.classes import TWO, text_of_label
from model_loop.datasets.conditions import Condition, Mask
from model_loop.datasets.declaration import (
    OPEN,
    AcceptedFinding,
    ColumnDeclaration,
    Constraints,
    Declaration,
    class_condition,
)
from model_loop.datasets.declaration_file import nearest
from model_loop.datasets.declaration_types import Kind
from model_loop.datasets.declared import positive_label
from model_loop.datasets.label_values import texts_of_labels
from model_loop.drafting.analysis import LEAST_ROWS, Analysis, RefusedTableError, analyse_table
from model_loop.drafting.checks import about_columns, about_rows, about_target
from model_loop.drafting.kinds import declared_values
from model_loop.drafting.leaks import leak_findings
from model_loop.drafting.reading import reading_findings
from model_loop.drafting.sources import WHOLE, partitions_of
from model_loop.errors import InvalidInputError
from model_loop.findings import Finding, FindingLevel
from model_loop.tables.raw import read_raw
from model_loop.tables.table import column_formats, to_table
from model_loop.tables.values import ColumnFormat

#: Values that are named as examples of those that break a constraint.
_EXAMPLES = 3
#: Codes of findings that a declared type has answered.
_DECLARED = frozenset({"id_like", "constant", "all_missing"})
#: Types of columns whose values form no groups.
_NO_GROUPS: frozenset[Kind | None] = frozenset({"ignored", "id", "text", "time"})


@dataclass(frozen=True)
class CheckedDataset:
    """The outcome of a check.

    Parameters
    ----------
    rows, columns
        Numbers of rows and columns of the files.
    findings
        Findings, without those that the declaration accepts.
    accepted
        Number of findings that it accepts.
    """

    rows: int
    columns: int
    findings: tuple[Finding, ...]
    accepted: int

    @property
    def is_refused(self) -> bool:
        """Refusal: true if a finding keeps the dataset from being trained on."""
        return any(finding.level == "refused" for finding in self.findings)


def check_dataset(declaration: Declaration, files: Sequence[str]) -> CheckedDataset:
    """Check files against their declaration.

    Raises
    ------
    TableFileError
        If the files cannot be read as the declaration says.
    RefusedTableError
        If the target is constant, or too few rows have it.
    """
    raw = read_raw(files, encoding=declaration.encoding, dialect=declaration.dialect)
    formats = column_formats(declaration, [raw])
    table = to_table(raw, formats)
    raw = dataclasses.replace(raw, rejected=table.rejected)
    kept = _kept(declaration, table.frame)
    enough = int(kept[declaration.target].notna().sum()) >= LEAST_ROWS
    judged = kept if enough else table.frame
    about_task = [*_about_task(declaration, judged)]
    analysis = _analysed(declaration, judged, formats, fits=not about_task)
    given = {
        name for name, column in declaration.columns.items() if column.known not in {None, OPEN}
    }
    late = {name for name in given if declaration.columns[name].known != declaration.moments[0]}
    time = declaration.time.column if declaration.time else None
    findings = [
        *_open(declaration),
        *([] if enough else [_left(len(kept))]),
        *reading_findings(raw, partitions_of(files, declaration.partition)),
        *_undeclared(declaration, raw.names),
        *_about_keys(declaration, table.frame),
        *_about_constraints(declaration, table.frame),
        *_about_rules(declaration, table.frame),
        *about_task,
        *_about_groups(declaration),
        *about_target(analysis),
        *about_rows(analysis, declaration.split.group_on, analysis.table.columns.get(time or "")),
        *(each for each in about_columns(analysis) if each.code not in _DECLARED),
        *leak_findings(analysis.suspicions, declaration.target, given, without=late),
    ]
    left = [each for each in findings if not _is_accepted(each, declaration.accepted)]
    return CheckedDataset(table.rows_read, len(raw.names), tuple(left), len(findings) - len(left))


def _analysed(
    declaration: Declaration,
    frame: pd.DataFrame,
    formats: Mapping[str, ColumnFormat],
    *,
    fits: bool,
) -> Analysis:
    """Return the analysis of rows; classes that a condition tells apart are read as yes and no.

    Parameters
    ----------
    fits
        Whether the target suits the declared task; otherwise, its values say what it is.
    """
    target, condition = declaration.target, class_condition(declaration)
    if condition is not None:
        frame = frame[frame[target].notna()]
        meets = condition.rows_of(frame)
        _require_both(declaration, meets)
        frame = frame.drop(columns=[*condition.columns - {target}]).assign(**{target: meets})
        formats = {**formats, target: ColumnFormat("yes_no")}
    values = declared_values(frame, target, formats)
    if not fits:
        return analyse_table(values)
    positive = None if condition is not None else positive_label(declaration)
    return analyse_table(values, declaration.task.kind, positive)


def _require_both(declaration: Declaration, meets: Mask) -> None:
    """Refuse a condition that holds in all rows, or in none."""
    if meets.all() or not meets.any():
        raise RefusedTableError(
            "positive_class",
            f"The condition task.positive_when = {declaration.task.positive_when!r}",
            f"holds in {'all' if meets.all() else 'none'} of {len(meets):,} rows",
            "Correct it: it has to divide the rows.",
            declaration.target,
        )


def _about_task(declaration: Declaration, frame: pd.DataFrame) -> Iterator[Finding]:
    """Yield what keeps the target from being predicted as the declaration says."""
    task, target = declaration.task, declaration.target
    if task.kind == "regression":
        if declaration.columns.get(target, ColumnDeclaration()).type == "category":
            yield _found(
                "target_type", target, f"{target} is a category, and task.kind is 'regression'.",
                "Set task.kind to binary or multiclass, or the type of the column to number.",
                "refused",
            )  # fmt: skip
        return
    if task.positive_when is not None:
        return
    counts = texts_of_labels(frame[target].dropna()).value_counts()
    labels = [*map(str, counts.index)]
    listed = ", ".join(labels[:_EXAMPLES]) + (" …" if len(labels) > _EXAMPLES else "")
    positive, declared = positive_label(declaration), [*map(text_of_label, task.classes)]
    if positive is not None and positive not in labels:
        yield _found(
            "positive_class", target,
            f"The positive class {positive} does not occur in {target}, which has {listed}.",
            nearest(positive, labels), "refused",
        )  # fmt: skip
    elif task.kind == "binary" and len(labels) != TWO:
        yield _found(
            "classes", target,
            f"{target} has {len(labels):,} classes, and yes or no are two: {listed}.",
            "Set task.kind to multiclass, or give positive_when and negative_class.", "refused",
        )  # fmt: skip
    strange = [label for label in labels if declared and label not in declared]
    if strange:
        rows = int(counts[strange].sum())
        yield _found(
            "classes", target,
            f"{rows:,} rows of {target} have a class that task.classes does not list, such as "
            f"{strange[0]}.",
            "Add it to task.classes, or set such rows aside by a rule.", "refused",
        )  # fmt: skip


def _about_groups(declaration: Declaration) -> Iterator[Finding]:
    """Yield marks of group_report on columns that do not distinguish rows."""
    for name, column in declaration.columns.items():
        is_target = name == declaration.target
        if column.group_report and (is_target or column.type in _NO_GROUPS):
            kind = "the target" if is_target else f"of the type {column.type}"
            yield _found(
                "group_report", name,
                f"columns.{name}.group_report is true, and {name} is {kind}: it forms no groups.",
                "Mark a category, a number or a column of yes and no.", "refused",
            )  # fmt: skip


def _kept(declaration: Declaration, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that no rule sets aside; a rule that is refused sets none aside."""
    aside = pd.Series(data=False, index=frame.index)
    for rule in declaration.rules:
        if rule.action == "set_aside":
            with contextlib.suppress(InvalidInputError):
                aside |= Condition.parse(rule.when, frame.columns).rows_of(frame)
    return frame[~aside].reset_index(drop=True)


def _left(rows: int) -> Finding:
    return _found(
        "too_few_rows", None, f"The rules leave {rows:,} rows, and {LEAST_ROWS} are needed.",
        "Correct the rules, or add rows.", "refused",
    )  # fmt: skip


def _is_accepted(finding: Finding, accepted: Sequence[AcceptedFinding]) -> bool:
    return finding.level != "refused" and any(
        each.code == finding.code
        and each.column in {None, finding.column}
        and each.partition in {None, finding.partition}
        for each in accepted
    )


def _open(declaration: Declaration) -> Iterator[Finding]:
    for name, column in declaration.columns.items():
        if column.known == OPEN:
            yield _found(
                "open_question", name, f"It is open from which moment {name} is known.",
                f"Set columns.{name}.known to one of: {', '.join(declaration.moments)}.", "refused",
            )  # fmt: skip
    if declaration.status == "draft":
        yield _found(
            "draft", None, "The declaration is a draft, on which nothing is trained.",
            'Answer what is open, read the comments, and set status = "ready".', "refused",
        )  # fmt: skip


def _undeclared(declaration: Declaration, names: Sequence[str]) -> Iterator[Finding]:
    for name in names:
        if name not in declaration.columns and name != declaration.target:
            yield _found(
                "undeclared_column", name, f"The files have a column {name} that is not declared.",
                f"Its type is found in the data. Declare it: [columns.{name}].",
            )  # fmt: skip


def _about_keys(declaration: Declaration, frame: pd.DataFrame) -> Iterator[Finding]:
    for role, names in (
        ("primary_key", declaration.primary_key),
        ("label_keys", declaration.label_keys),
    ):
        absent = [name for name in names if name not in frame]
        if absent:
            yield _found(
                "unknown_column", absent[0], f"{role} names {absent[0]}, which is no column.",
                "Correct the name.", "refused",
            )  # fmt: skip
        elif names and (repeated := int(frame.duplicated(list(names)).sum())):
            yield _found(
                "key_repeated", names[0],
                f"{repeated:,} rows have the same {', '.join(names)} as an earlier one.",
                f"Add a column to {role}, or remove these rows.",
            )  # fmt: skip


def _about_constraints(declaration: Declaration, frame: pd.DataFrame) -> Iterator[Finding]:
    for name, column in declaration.columns.items():
        if name in frame:
            for rule, broken in _broken(column.constraints, frame[name]):
                if broken.any():
                    shown = ", ".join(map(str, frame[name][broken].unique()[:_EXAMPLES]))
                    yield _found(
                        "constraint_broken", name,
                        f"{int(broken.sum()):,} rows break {rule} of {name}, such as {shown}.",
                        "Correct the constraint; rows that break it are set aside.",
                    )  # fmt: skip


def _broken(
    constraints: Constraints, values: pd.Series[Any]
) -> Iterator[tuple[str, pd.Series[bool]]]:
    """Yield each constraint, and the rows that break it."""
    if constraints.required:
        yield "required", values.isna()
    if constraints.unique:
        yield "unique", values.notna() & values.duplicated()
    if pd.api.types.is_numeric_dtype(values):
        if constraints.minimum is not None:
            yield "minimum", values < constraints.minimum
        if constraints.maximum is not None:
            yield "maximum", values > constraints.maximum
    if constraints.enum:
        yield "enum", values.notna() & ~values.astype(str).isin(set(map(str, constraints.enum)))


def _about_rules(declaration: Declaration, frame: pd.DataFrame) -> Iterator[Finding]:
    for rule in declaration.rules:
        try:
            rows = int(Condition.parse(rule.when, frame.columns).rows_of(frame).sum())
        except InvalidInputError as error:
            yield _found(
                "rule", None, f"The rule {rule.name!r} is refused: {error.given} {error.rule}.",
                error.remedy, "refused",
            )  # fmt: skip
            continue
        share = rows / max(len(frame), 1)
        if rule.action == "refuse" and rows:
            yield _found(
                "rule", None, f"{rows:,} rows break the rule {rule.name!r}, which refuses them.",
                rule.message or "Correct the rows, or the rule.", "refused",
            )  # fmt: skip
        elif rows and (rule.action == "warn" or share > 0.5):  # noqa: PLR2004 - most of the table
            yield _found(
                "rule", None, f"{rows:,} rows ({share:.0%}) meet the rule {rule.name!r}.",
                rule.message or "Look at these rows.",
            )  # fmt: skip


def _found(
    code: str, column: str | None, message: str, remedy: str, level: FindingLevel = "warning"
) -> Finding:
    return Finding(code, column, WHOLE, level, message, remedy)

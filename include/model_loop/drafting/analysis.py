"""The analysis of files: their table, and all that the draft says of it, computed once."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_loop.datasets.classes import MOST_CLASSES, TaskKind
from model_loop.datasets.declaration import Declaration
from model_loop.drafting import structure
from model_loop.drafting.answers import DateOrder, DraftAnswers
from model_loop.drafting.kinds import Report, table_values
from model_loop.drafting.leaks import Suspicions, suspicions
from model_loop.drafting.refining import (
    as_codes,
    without_far_dates,
    without_order,
    without_sentinels,
)
from model_loop.drafting.sources import FilePattern, file_pattern, hive_files
from model_loop.drafting.tasks import (
    ClassShare,
    is_doubtful,
    likely_task,
    positive_of,
    shares_of,
    with_own_labels,
    with_task,
)
from model_loop.drafting.values import ColumnValues, TableValues, rows_of
from model_loop.errors import InvalidInputError
from model_loop.tables.raw import RawTable, joined, read_raw_blocks
from model_loop.tables.table import source_files, with_folder_keys

#: Rows with a target below which nothing is drafted.
LEAST_ROWS = 30


class RefusedTableError(InvalidInputError):
    """A table cannot be drafted.

    Parameters
    ----------
    code
        Name of the rule that it breaks, for machines.
    given, rule, remedy
        See `ModelLoopError`.
    column
        Its column.
    """

    def __init__(
        self, code: str, given: str, rule: str, remedy: str, column: str | None = None
    ) -> None:
        super().__init__(given, rule, remedy)
        self.code, self.column = code, column


@dataclass(frozen=True, eq=False)
class DraftedFiles:
    """The files of a draft: their address, and how they were read."""

    pattern: FilePattern
    raw: RawTable


@dataclass(frozen=True, eq=False)
class Analysis:
    """A table and what its rows say.

    Parameters
    ----------
    table
        Columns with their types, without sentinels. Of two classes, the second is positive.
    drawn_from
        The table before the task was known.
    task
        Kind of the task.
    positive_given
        Label that was given as the positive class.
    suspicions
        Columns that may give the target away.
    time
        Time of the rows; None if there is none.
    repeated
        An entity that comes several times; None if there is none.
    totals
        Rows that sum up others; None if there are none. The table is without those that are proven.
    duplicates
        Number of rows that are equal to an earlier one.
    """

    table: TableValues
    drawn_from: TableValues
    task: TaskKind
    positive_given: str | None
    suspicions: Suspicions
    time: ColumnValues | None
    repeated: structure.Entity | None
    totals: structure.Totals | None
    duplicates: int

    @property
    def target(self) -> ColumnValues:
        """The target."""
        return self.table.outcome

    @property
    def classes(self) -> bool:
        """Class: true if the target is no number."""
        return self.task != "regression"

    @functools.cached_property
    def shares(self) -> tuple[ClassShare, ...]:
        """Classes of the target with their rows; empty of a number."""
        return shares_of(self.target) if self.classes else ()

    @property
    def positive(self) -> ClassShare | None:
        """The class whose probability is predicted; None of a number and of several classes."""
        if self.task != "binary":
            return None
        return self.shares[positive_of(self.target, self.positive_given)]

    @property
    def is_doubtful(self) -> bool:
        """Doubt: true if the numbers of the target may be classes."""
        return is_doubtful(self.drawn_from.outcome)

    @property
    def entity(self) -> ColumnValues | None:
        """Column of the entity that comes several times; None if there is none."""
        return self.repeated.column if self.repeated else None

    def column(self, name: str) -> ColumnValues:
        """Return a column by its name.

        Raises
        ------
        InvalidInputError
            If there is none, with the nearest name.
        """
        if name not in self.table.columns:
            near = difflib.get_close_matches(name, list(self.table.columns), 1, 0.4)
            remedy = f"Did you mean {near[0]}?" if near else "Name one of its columns."
            raise InvalidInputError(f"The column {name!r}", "is not in the table", remedy)
        return self.table.columns[name]


def _silent(_: str) -> None:
    """Report no progress."""


def analyse(
    files: Sequence[str],
    target: str,
    *,
    folder: Path,
    date_order: DateOrder | None = None,
    report: Report = _silent,
) -> tuple[DraftedFiles, Analysis]:
    """Read files whole and analyse their table.

    Parameters
    ----------
    folder
        Folder that the declaration will lie in.
    date_order
        Order of day and month in dates that can be read in both.
    report
        Called with the step that the work is at.

    Raises
    ------
    RefusedTableError
        If the target is no column or constant, or too few rows have it.
    TableFileError
        If the files cannot be read as one table.
    """
    files = [path for file in files for path in hive_files(file) or (file,)]
    pattern = file_pattern(files, folder)
    raw = _read([path for file in files for path in _located(file, target)], report)
    raw = with_folder_keys(raw, _draft(str(pattern.source), target))
    _require_target(target, raw.names)
    values = table_values(raw, target, date_order=date_order, report=report)
    report("Comparing each column with the target")
    values = with_own_labels(without_far_dates(values, raw), raw)
    return DraftedFiles(pattern, raw), analyse_table(_refined(values))


def with_answers(analysis: Analysis, answers: DraftAnswers) -> Analysis:
    """Return the analysis of a table for the task and the positive class that were answered.

    Raises
    ------
    InvalidInputError
        If the target has no such values, or no such class.
    """
    task, positive = (
        answers.task or likely_task(analysis.drawn_from.outcome),
        answers.positive_class,
    )
    if (task, positive) == (analysis.task, analysis.positive_given):
        return analysis
    return analyse_table(analysis.drawn_from, task, positive)


def _read(files: Sequence[str], report: Report) -> RawTable:
    """Read files whole."""
    blocks, rows = list[RawTable](), 0
    report("Reading the files whole")
    for block in read_raw_blocks(files):
        blocks.append(block)
        rows += block.rows
        report(f"Reading the files whole: {rows:,} rows")
    return joined(blocks)


def _located(file: str, target: str) -> list[str]:
    """Return the files of an address, which may be a pattern, a folder or inside a package."""
    return source_files(_draft(file, target))


def _draft(source: str, target: str) -> Declaration:
    return Declaration(name="draft", source=source, target=target)


def analyse_table(
    table: TableValues, task: TaskKind | None = None, positive: str | None = None
) -> Analysis:
    """Analyse a table whose columns have their types.

    Parameters
    ----------
    task
        Kind of the task; as the target shows, if left out.
    positive
        Label of the positive class.

    Raises
    ------
    RefusedTableError
        If the target is constant or of a type that is not predicted, or too few rows have it.
    InvalidInputError
        If the target does not suit the task.
    """
    drawn_from = table
    totals = structure.total_rows(table)
    if totals is not None and totals.proven:
        table = rows_of(table, ~totals.rows)
    _require_rows(table)
    task = task or likely_task(table.outcome)
    _require_learnable(table.outcome, task)
    table = with_task(table, task, positive)
    suspected = suspicions(table, classes=task != "regression")
    return Analysis(
        table,
        drawn_from,
        task,
        positive,
        suspected,
        structure.time_column(table),
        structure.entity_of(table, suspected.by_name),
        totals,
        structure.duplicated_rows(table),
    )


def _require_target(target: str, names: Sequence[str]) -> None:
    if target in names:
        return
    near = difflib.get_close_matches(target, names, 1, 0.4)
    listed = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")  # noqa: PLR2004 - a few lines
    remedy = f"Did you mean {near[0]}?" if near else f"The columns are {listed}."
    raise RefusedTableError(
        "target_absent", f"The target {target!r}", "is not a column of the table", remedy, target
    )


def _require_rows(table: TableValues) -> None:
    target = table.outcome
    present = int(target.present.sum())
    if present < LEAST_ROWS:
        raise RefusedTableError(
            "too_few_rows",
            "The table",
            f"has {present} rows with a value of {target.name}, and needs {LEAST_ROWS}",
            f"Add at least {LEAST_ROWS - present} rows.",
        )
    if target.distinct < 2:  # noqa: PLR2004 - nothing to predict
        raise RefusedTableError(
            "target_constant",
            f"The target {target.name!r}",
            "has one value in all rows: there is nothing to predict",
            "Choose another target, or add rows with other values of it.",
            target.name,
        )
    if target.kind in {"text", "id", "time"}:
        lengths = " Write lengths of time as numbers, in minutes for example."
        raise RefusedTableError(
            "target_type",
            f"The target {target.name!r}",
            f"is of the type {target.kind}: {target.reason}",
            "Choose a column of numbers, categories or yes and no."
            + (lengths if target.kind == "time" else ""),
            target.name,
        )


def _require_learnable(target: ColumnValues, task: TaskKind) -> None:
    if task == "multiclass" and target.distinct > MOST_CLASSES:
        raise RefusedTableError(
            "too_many_classes",
            f"The target {target.name!r}",
            f"has {target.distinct:,} classes, and at most {MOST_CLASSES} are learned",
            "Put rare classes together in the file, or choose another target.",
            target.name,
        )


def _refined(table: TableValues) -> TableValues:
    """Return a table without sentinels; whole numbers that measure nothing become codes."""
    columns = {name: without_sentinels(column) for name, column in table.columns.items()}
    target = columns[table.target]
    for name, column in columns.items():
        if name != table.target:
            reason = without_order(column, target)
            if reason:
                columns[name] = as_codes(column, reason)
    refined = dataclasses.replace(table, columns=columns)
    entity = structure.entity_of(refined, ())
    if entity is None or entity.column.kind != "number":
        return refined
    coded = as_codes(entity.column, "whole numbers that name an entity of several rows each")
    return dataclasses.replace(refined, columns={**columns, coded.name: coded})

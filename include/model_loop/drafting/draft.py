"""The draft of a declaration: from the analysis of a table to its text and its findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from model_loop.datasets.classes import TaskKind, in_order
from model_loop.datasets.conditions import quoted
from model_loop.datasets.declaration import LATER, OPEN, REQUEST, DatabaseSource
from model_loop.datasets.declaration_types import Kind, require_name, require_time_zone
from model_loop.datasets.literals import MISSING_WORDS
from model_loop.datasets.times import is_clock
from model_loop.drafting import structure
from model_loop.drafting.analysis import Analysis, DraftedFiles, with_answers
from model_loop.drafting.answers import NONE, DateOrder, DraftAnswers
from model_loop.drafting.checks import (
    about_clocks,
    about_columns,
    about_missing_labels,
    about_offsets,
    about_rows,
    about_target,
)
from model_loop.drafting.clocks import (
    UTC,
    Clocks,
    clocks_of,
    has_open_clocks,
    offsets_of,
    on_clocks,
)
from model_loop.drafting.leaks import leak_findings
from model_loop.drafting.reading import dialect_keys, file_keys, reading_findings
from model_loop.drafting.scores import ROWS
from model_loop.drafting.sources import WHOLE, partitions_of
from model_loop.drafting.tasks import ClassShare
from model_loop.drafting.text import DraftedColumn, DraftedText, Value, name_of, number_text
from model_loop.drafting.values import ColumnValues
from model_loop.errors import InvalidInputError
from model_loop.findings import Finding


@dataclass(frozen=True)
class Draft:
    """A drafted declaration.

    Parameters
    ----------
    name
        Name of the dataset.
    text
        TOML of the declaration.
    findings
        Findings, those about single columns after those about the table.
    ranked
        Columns in the order of what they say about the target.
    scores
        Score of each of these columns, from 0 to 1.
    kinds
        Type of each column, in the order of the file.
    open_columns
        Columns whose moment is an open question.
    ambiguous
        Columns whose values can be read in several ways.
    is_asked
        Whether it was said of any column from which moment it is known.
    rows, columns
        Numbers of rows and columns.
    task
        Kind of the task.
    positive
        Class whose probability is predicted; None of a number and of several classes.
    classes
        Classes of the target with their rows; empty of a number.
    """

    name: str
    text: str
    findings: tuple[Finding, ...]
    ranked: tuple[str, ...]
    scores: Mapping[str, float]
    kinds: Mapping[str, Kind]
    open_columns: tuple[str, ...]
    ambiguous: tuple[str, ...]
    is_asked: bool
    rows: int
    columns: int
    task: TaskKind
    positive: ClassShare | None
    classes: tuple[ClassShare, ...]


def draft(files: DraftedFiles, analysis: Analysis, answers: DraftAnswers) -> Draft:
    """Draft the declaration of a table.

    Raises
    ------
    InvalidInputError
        If an answer names a column that is not there, or none of its type.
    """
    return _Drafting(files, analysis, answers).draft()


def require_fitting(analysis: Analysis, answers: DraftAnswers) -> None:
    """Refuse answers that name a column or a time zone that is not there, or are no name.

    Raises
    ------
    InvalidInputError
        With the nearest name.
    """
    for column in (*answers.known_later, *answers.known_at_request):
        analysis.column(column)
    if answers.group_on not in {None, NONE}:
        analysis.column(str(answers.group_on))
    _time_of(analysis, answers)
    with_answers(analysis, answers)
    for given, require in (
        (answers.name, require_name),
        (answers.date_order, _require_date_order),
        (answers.stored_in, require_time_zone),
        (answers.time_zone, require_time_zone),
    ):
        try:
            _ = given is None or require(given)
        except ValueError as error:
            raise InvalidInputError(f"The answer {given!r}", str(error), "Correct it.") from error


def _require_date_order(given: str) -> None:
    if given not in get_args(DateOrder):
        message = f"is no order of day and month: give {' or '.join(get_args(DateOrder))}"
        raise ValueError(message)


def open_clocks(files: DraftedFiles, analysis: Analysis, answers: DraftAnswers) -> Clocks | None:
    """Return what the rows show of the clocks of their times; None where that is no question.

    It is none if the times have offsets or no time of day, or the clocks of the place are UTC's.
    """
    time, time_zone = _time_of(analysis, answers), answers.time_zone
    if time is None or time_zone in {None, UTC} or not has_open_clocks(time, files.raw):
        return None
    return clocks_of(analysis.table, time, str(time_zone))


def _time_of(analysis: Analysis, answers: DraftAnswers) -> ColumnValues | None:
    """Return the time of the rows; None if there is none."""
    chosen = answers.time_column
    if chosen is None or chosen == NONE:
        return analysis.time if chosen is None else None
    column = analysis.column(chosen)
    if not column.is_dated:
        holds = "times of day without a day" if column.kind == "time" else column.kind
        raise InvalidInputError(
            f"The time column {chosen!r}",
            f"holds no moments: its values are {holds}",
            "Name a column of dates or times, or none.",
        )
    return column


class _Drafting:
    def __init__(self, files: DraftedFiles, analysis: Analysis, answers: DraftAnswers) -> None:
        analysis = with_answers(analysis, answers)
        self.files, self.analysis, self.answers = files, analysis, answers
        self.table, self.target = analysis.table, analysis.target
        self.suspicions = analysis.suspicions
        self.name = answers.name or name_of(files.pattern.stem, "table")
        require_fitting(analysis, answers)
        self.time = _time_of(analysis, answers)
        self.clocks = open_clocks(files, analysis, answers)
        self.offsets = None
        if self.time is not None and answers.time_zone is None:
            self.offsets = offsets_of(self.time, files.raw)
        self.entity = self._entity()
        self.partition = files.pattern.partition or WHOLE
        if self.time is not None and files.pattern.partition is None:
            self.partition = structure.partition_of(self.time.numbers, self.table.rows)
        answered = {*answers.known_later, *answers.known_at_request}
        answered |= self.suspicions.settled_by(answers.known_later)
        if self.time is not None:
            # The target may be the distance between two times: the other one is known too late
            # then.
            answered.add(self.time.name)
        self.open_columns = tuple(
            column
            for column in self.table.columns
            if column in self.suspicions.by_name and column not in answered
        )

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """Columns whose values can be read in several ways."""
        return tuple(name for name, each in self.table.columns.items() if each.alternatives)

    def draft(self) -> Draft:
        analysis, answers, raw = self.analysis, self.answers, self.files.raw
        findings = (
            *reading_findings(raw, partitions_of(raw.files, self.files.pattern.partition)),
            *about_target(analysis, answers),
            *about_missing_labels(analysis, raw),
            *about_rows(
                analysis, self.answers.group_on, self.time, kept="group_on" in self._split()
            ),
            *about_offsets(self.offsets),
            *about_clocks(self.clocks, answers.stored_in),
            *about_columns(analysis),
            *leak_findings(
                self.suspicions,
                self.target.name,
                (*answers.known_later, *answers.known_at_request),
            ),
        )
        return Draft(
            self.name,
            str(self._text()),
            findings,
            self.suspicions.ranked,
            {name: score.rank for name, score in self.suspicions.scores.items()},
            {name: column.kind for name, column in self.table.columns.items()},
            self.open_columns,
            self.ambiguous,
            bool(answers.known_later or answers.known_at_request),
            raw.rows,
            len(self.table.columns),
            self.analysis.task,
            self.analysis.positive,
            self.analysis.shares,
        )

    def _entity(self) -> ColumnValues | None:
        chosen = self.answers.group_on
        if chosen is None or chosen == NONE:
            return self.analysis.entity if chosen is None else None
        return self.analysis.column(chosen)

    def _text(self) -> DraftedText:
        target, questions = self.target, self.open_columns
        status = "draft" if questions or self.ambiguous else "ready"
        asked = (
            f"No column is an open question: known = {REQUEST!r} is what the draft takes them for. "
            "Read the comments before you train."
        )
        if questions:
            asked = (
                f"Open questions: known = {OPEN!r} of {', '.join(questions)}. Answer each by the "
                f"moment from which its value is known ({REQUEST} or {LATER}), and set status to "
                "ready."
            )
        if self.ambiguous:
            asked += f" Confirm how the values of {', '.join(self.ambiguous)} are read."
        keys: dict[str, tuple[Value, str]] = {
            "name": (self.name, "never changes; the title may"),
            "title": (self.answers.title or self.name.replace("_", " ").capitalize(), ""),
            "status": (status, ""),
            "source": (_value_of(self.files.pattern.source), ""),
            "target": (target.name, _described(target)),
            "partition": (self.partition, ""),
        }
        if self.answers.owner:
            keys["owner"] = (self.answers.owner, "")
        keys.update(file_keys(self.files.raw))
        keys.update(self._rules())
        measured = (
            f"Shares of {target.name} are measured on up to {ROWS:,} rows, all else on all. "
            "A relative source begins at the folder of this file."
        )
        if self.files.pattern.sampled:
            measured = f"Everything is measured on {self.files.pattern.sampled}."
        size = f"{self.files.raw.rows:,} rows, {len(self.table.columns):,} columns."
        return DraftedText(
            (f"{size} {asked}", measured),
            keys,
            {
                "dialect": dialect_keys(self.files.raw),
                "task": self._task(),
                "time": self._time_keys(),
                "split": self._split(),
            },
            tuple(self._column(column) for column in self.table.columns.values()),
        )

    def _rules(self) -> dict[str, tuple[Value, str]]:
        """Return the rule that sets rows aside which sum up others; nothing if there are none."""
        totals = self.analysis.totals
        if totals is None or not totals.proven:
            return {}
        name, label = totals.column, totals.label
        column = self.table.columns[name]
        when = f"{quoted(name)} == {label!r}" if label else f"{quoted(name)} is missing"
        if column.kind == "yes_no" or "`" in name:
            return {}
        rule = {"name": "sums of other rows", "when": when, "action": "set_aside"}
        return {"rules": ([rule], "remove it if these rows are normal ones")}

    def _task(self) -> dict[str, tuple[Value, str]]:
        target, task, positive = self.target, self.analysis.task, self.analysis.positive
        said = f"{target.distinct} classes" if task == "multiclass" else ""
        if self.analysis.is_doubtful:
            said = f"{target.distinct} different whole numbers: classes, or a number?"
        keys: dict[str, tuple[Value, str]] = {"kind": (task, said)}
        if positive is not None:
            label: Value = positive.label == "yes"
            if target.labels:
                label = in_order(target.labels, positive.label)[-1]
            rows = int(target.present.sum())
            evidence = f"{positive.rows:,} of {rows:,} rows ({positive.share:.2%}); it is predicted"
            keys["positive_class"] = (label, evidence)
        unit = self.answers.unit or ("" if self.analysis.classes else target.read_as.unit)
        if unit:
            keys["unit"] = (unit, "")
        return keys

    def _time_keys(self) -> dict[str, tuple[Value, str]]:
        if self.time is None:
            return {}
        time_zone = self.answers.time_zone or (self.offsets.time_zone if self.offsets else UTC)
        ends = np.array([np.nanmin(self.time.numbers), np.nanmax(self.time.numbers)])
        begin, end = (
            dt.datetime.fromtimestamp(float(each), dt.UTC) for each in on_clocks(ends, time_zone)
        )
        default, evidence = UTC, "time zone of its values, where they say none"
        if self.clocks is not None:
            default, evidence = self.clocks.default, self.clocks.described
        return {
            "column": (self.time.name, f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}"),
            "stored_in": (self.answers.stored_in or default, evidence),
            "time_zone": (
                time_zone,
                'time zone of the place; with country = "US", for example, holidays count',
            ),
        }

    @property
    def _group(self) -> ColumnValues | None:
        """Column of the entities whose rows stay together; None where the split has none."""
        repeated = self.analysis.repeated
        anew = self.time is None and repeated is not None and repeated.anew
        grouped = not self.answers.shuffle and (anew or self.answers.group_on)
        return self.entity if grouped else None

    def _split(self) -> dict[str, tuple[Value, str]]:
        if self.answers.shuffle:
            return {"shuffle": (True, "rows are split at random, as was declared")}
        if self._group is not None:
            return {"group_on": (self._group.name, "rows of the same entity stay together")}
        if self.time is not None:
            return {"time_on": (self.time.name, "the latest rows judge")}
        return {}

    def _column(self, column: ColumnValues) -> DraftedColumn:
        keys: dict[str, Value] = {"type": column.kind}
        comments = [_described(column)]
        name = column.name
        if column is self._group:
            # No value of it is in two parts, so that nothing can be learned from it.
            return DraftedColumn(name, {"type": "id"}, tuple(comments))
        if name in self.suspicions.scores:
            ranked, score = self.suspicions.ranked, self.suspicions.scores[name]
            asked = OPEN if name in self.open_columns else REQUEST
            keys["known"] = LATER if name in self.answers.known_later else asked
            comments.append(
                f"Says {score.alone:.0%} of {self.target.name} by itself; "
                f"place {ranked.index(name) + 1} of {len(ranked)}."
            )
        if name in self.suspicions.by_name:
            comments.append(f"Question: {self.suspicions.by_name[name]}.")
        if column.read_as.clock_time:
            comments.append("Times of day on a clock: 517 is 05:17.")
        return DraftedColumn(name, keys | _reading_keys(column), tuple(comments))


def _reading_keys(column: ColumnValues) -> dict[str, Value]:
    """Return the keys by which a column is read again as it was."""
    keys: dict[str, Value] = {}
    if column.kind == "time":
        keys["format"] = column.read_as.time_format
    if column.kind == "number" and column.read_as.decimal != ".":
        keys["decimal_char"] = column.read_as.decimal
    if column.kind == "number" and column.read_as.unit:
        keys["unit"] = column.read_as.unit
    if column.read_as.missing != MISSING_WORDS or column.absent:
        # A list with any word replaces the usual ones.
        words = [*sorted(column.read_as.missing), *column.absent]
        keys["missing_values"] = [*words, *column.sentinels]
    elif column.sentinels:
        keys["missing_values"] = list(column.sentinels)
    return keys


def _described(column: ColumnValues) -> str:
    """Return the evidence of a column, in one line."""
    parts = [column.reason]
    known = column.numbers[column.present]
    if column.kind == "number" and len(known):
        parts.append(f"{number_text(float(known.min()))} to {number_text(float(known.max()))}")
    elif column.kind == "time" and len(known):
        begin, end = (
            dt.datetime.fromtimestamp(float(t), dt.UTC) for t in (known.min(), known.max())
        )
        shown = "%H:%M" if is_clock(column.read_as.time_format) else "%Y-%m-%d %H:%M"
        parts.append(f"{begin:{shown}} to {end:{shown}}")
    elif column.kind == "category" and len(column.labels) <= 12:  # noqa: PLR2004 - a line
        parts.append(", ".join(map(str, column.labels)))
    if column.missing and column.kind != "ignored":
        parts.append(f"missing in {column.missing:,} rows")
    return "; ".join(part for part in parts if part)


def _value_of(source: str | DatabaseSource) -> Value:
    """Return a source as the file has it."""
    return source if isinstance(source, str) else source.model_dump(exclude_defaults=True)

"""Checks of a table before it is learned from: each finding with its remedy."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator

import numpy as np
import pandas as pd

from model_loop.datasets.literals import MISSING_WORDS
from model_loop.drafting import structure
from model_loop.drafting.analysis import LEAST_ROWS, Analysis
from model_loop.drafting.answers import DraftAnswers
from model_loop.drafting.clocks import Clocks, Offsets
from model_loop.drafting.sources import WHOLE
from model_loop.drafting.text import number_text
from model_loop.drafting.values import ColumnValues, levels_of
from model_loop.drafting.vocabulary import names
from model_loop.findings import Finding
from model_loop.tables.raw import RawTable
from model_loop.tables.values import is_text
from model_loop.training_set.split import shares_of

#: Half-width of an error's interval, share of rare categories and their number, skewness, and share
#: of missing values from which a finding is made.
_WIDE, _RARE, _MANY, _SKEWED, _MISSING = 0.1, 0.5, 1_000, 3.0, 0.95
#: Classes that a finding names.
_NAMED = 10
#: Rows of a date that stands for none, and other dates beside it.
_LEAST_DATES = 5
#: Different years, months, days or hours at most.
_PARTS = 200


def about_target(analysis: Analysis, answers: DraftAnswers | None = None) -> Iterator[Finding]:
    """Yield findings about the target.

    Parameters
    ----------
    answers
        Answers of a draft, which guesses what they leave open; None of a declaration.
    """
    target, rows = analysis.target, analysis.table.rows
    if target.missing:
        yield _finding(
            "target_missing", target.name,
            f"{target.name} is missing in {target.missing:,} of {rows:,} rows.",
            "They are not learned from. If their reason is known, add a rule that sets them "
            'aside: [[rules]] with when = "… is missing".',
        )  # fmt: skip
    known = target.numbers[target.present]
    if answers is not None:
        yield from _about_guesses(analysis, answers)
    if analysis.classes:
        yield from _about_classes(analysis)
        return
    judged = int(shares_of(len(known))[-1] * len(known))
    width = structure.half_width(known, max(judged, 2))
    if width > _WIDE:
        needed = int(len(known) * (width / _WIDE) ** 2)
        yield _finding(
            "too_few_rows", None,
            f"Errors will be known to ±{width:.1%} only, as about {judged:,} "
            "rows judge, or what whole partitions leave of them.",
            f"About {needed:,} rows would bring that to ±10%. Until then, read small "
            "differences between models as chance.",
        )  # fmt: skip
    if abs(skew := structure.skew_of(known)) > _SKEWED:
        side, end, last = "most", "largest", known.max()
        if skew < 0:
            side, end, last = "least", "smallest", known.min()
        yield _finding(
            "target_skewed", target.name,
            f"{target.name} has a long tail: half of its values are at {side} "
            f"{number_text(float(np.median(known)))}, and the {end} is {number_text(float(last))}.",
            f"Look at the {end} values; if they are errors, add a rule that sets them aside.",
        )  # fmt: skip


def about_missing_labels(analysis: Analysis, raw: RawTable) -> Iterator[Finding]:
    """Yield words of a class that are read as a missing value: ``none`` may be a class."""
    target = analysis.target
    column = raw.columns[target.name]
    if not analysis.classes or not target.missing or not is_text(column.type):
        return
    words = target.read_as.missing - {""}
    texts = pd.Series(column.to_pandas()).str.strip()
    for word, rows in texts[texts.isin(words)].value_counts().items():
        yield _finding(
            "missing_label", target.name,
            f"{rows:,} rows have {str(word)!r} as {target.name}, which is read as a missing value.",
            'If it is a class, set missing_values = [""] in the table of the column, and correct '
            "task.kind: the draft knows the other classes alone.",
        )  # fmt: skip


def _about_guesses(analysis: Analysis, answers: DraftAnswers) -> Iterator[Finding]:
    """Yield what a draft takes for the task and the positive class without having been answered."""
    target, positive = analysis.target, analysis.positive
    if analysis.is_doubtful and answers.task is None:
        kind, other = "a number", "multiclass"
        if analysis.classes:
            kind, other = "one of several classes", "regression"
        yield _finding(
            "task_doubtful", target.name,
            f"{target.name} has {target.distinct} different whole numbers: the draft predicts "
            f"{kind}.",
            f"If that is wrong, draft it again with --task {other}.",
        )  # fmt: skip
    if positive is not None and answers.positive_class is None:
        (other,) = (each.label for each in analysis.shares if each.label != positive.label)
        yield _finding(
            "positive_class", target.name,
            f"The draft predicts the probability of {target.name} = {positive.label}, which "
            f"{positive.rows:,} of {int(target.present.sum()):,} rows have ({positive.share:.2%}).",
            f"If the other class is asked for: --positive-class {shlex.quote(other)}.",
        )  # fmt: skip


def _about_classes(analysis: Analysis) -> Iterator[Finding]:
    """Yield findings about classes that few rows have."""
    name, rare = analysis.target.name, min(analysis.shares, key=lambda each: each.rows)
    few = [each for each in analysis.shares if each.rows < LEAST_ROWS]
    if few:
        listed = ", ".join(f"{each.label} ({each.rows:,})" for each in few[:_NAMED])
        more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
        yield _finding(
            "rare_class", name,
            f"{len(few)} of {len(analysis.shares)} classes of {name} have fewer than {LEAST_ROWS} "
            f"rows: {listed}{more}.",
            "Put rare classes together in the file, or add rows of them: each of train, "
            "validation and test needs some.",
        )  # fmt: skip
        return
    share = shares_of(sum(each.rows for each in analysis.shares))[-1]
    judged = int(share * rare.rows)
    # Half the interval of a share near one half, from so many rows of the class.
    width = 0.98 / np.sqrt(max(judged, 1))
    if rare.rows < (needed := int(0.98**2 / _WIDE**2 / share)):
        yield _finding(
            "too_few_rows", name,
            f"About {judged:,} rows of the class {rare.label} ({rare.share:.2%} of all) will "
            f"judge: the share of them that is found will be known to ±{width:.0%} only.",
            f"About {needed:,} rows of that class in the table, {share:.0%} of which judge, would "
            "bring it to ±10%. Until then, read small differences between models as chance.",
        )  # fmt: skip


def about_rows(
    analysis: Analysis,
    group_on: str | None,
    time: ColumnValues | None,
    *,
    kept: bool = False,
) -> Iterator[Finding]:
    """Yield findings about the rows.

    Parameters
    ----------
    group_on
        Column of the entity, if it was said.
    time
        Time by which the rows are split; None if there is none.
    kept
        Whether the rows of each entity are kept together.
    """
    table, entity = analysis.table, analysis.entity
    if analysis.totals:
        totals, count = analysis.totals, int(analysis.totals.rows.sum())
        shown = repr(totals.label) if totals.label else "no value"
        rows, sums = ("1 row has", "sums") if count == 1 else (f"{count:,} rows have", "sum")
        yield _finding(
            "aggregate_rows", totals.column,
            f"{rows} {shown} as {totals.column}, and {sums} up others."
            if totals.proven
            else f"{rows} {shown} as {totals.column}: do they sum up others?",
            "The draft has a rule that sets them aside. Remove it if they are normal rows."
            if totals.proven
            else "If they do, leave them out of the file, or add a rule that sets them aside.",
        )  # fmt: skip
    if analysis.duplicates:
        yield _finding(
            "duplicates", None,
            f"{analysis.duplicates:,} of {table.rows:,} rows are equal to an earlier one.",
            "If the same row was written twice, remove it: it would be learned from and judge.",
        )  # fmt: skip
    if entity is not None and group_on is None:
        name = entity.name
        yield _finding(
            "repeated_entities", name,
            f"{entity.distinct:,} values of {name} have "
            f"{int(entity.present.sum()):,} rows: the same entity comes several times.",
            f"The draft keeps the rows of each together (group_on = {name!r})." if kept
            else f"Draft it with --group-on {shlex.quote(name)} if new entities will be predicted.",
        )  # fmt: skip
    parts = [each.name for each in analysis.table.features if _is_part_of_time(each)]
    if analysis.time is None and len(parts) > 1:
        yield _finding(
            "time_in_parts", parts[0],
            f"The table has no time, but parts of one: {', '.join(parts)}.",
            "Join them into one column, such as 2024-01-31 08:00: then the latest rows judge.",
        )  # fmt: skip
    if time is not None:
        gaps = structure.gaps_in(time.numbers, table)
        if gaps:
            yield _finding(
                "time_gaps", time.name,
                f"{gaps.missing:,} of {gaps.steps:,} times have no row, the first at "
                f"{gaps.first:%Y-%m-%d %H:%M}.",
                "If rows are missing, fetch them; if nothing happened then, leave it so.",
            )  # fmt: skip


def about_clocks(clocks: Clocks | None, stored_in: str | None) -> Iterator[Finding]:
    """Yield a finding where the rows show other clocks than were declared."""
    if clocks is not None and stored_in and clocks.stored_in not in {"", stored_in}:
        yield _finding(
            "other_clocks", clocks.column,
            f"The times of {clocks.column} were said to be on the clocks of {stored_in}, and look "
            f"like those of {clocks.stored_in}: {clocks.evidence}.",
            f"If that is so, set stored_in = {clocks.stored_in!r}.",
        )  # fmt: skip


def about_offsets(offsets: Offsets | None) -> Iterator[Finding]:
    """Yield a finding where times carry offsets of another place than UTC, and none was named."""
    if offsets is not None:
        yield _finding(
            "offsets", offsets.column,
            offsets.described,
            f"Days, hours and holidays are those of {offsets.time_zone} in the draft. Give the "
            "time zone of the place: --time-zone.",
        )  # fmt: skip


def _is_part_of_time(column: ColumnValues) -> bool:
    """Return whether a column is a year, month, day or hour by its name and its values."""
    if column.kind not in {"number", "category", "yes_no"} or not names(column.name, "parts"):
        return False
    labels = column.labels[:1]
    return column.distinct <= _PARTS and (not labels or labels[0].isdecimal())


def about_columns(analysis: Analysis) -> Iterator[Finding]:
    """Yield findings about single columns."""
    for column in analysis.table.columns.values():
        yield from _about_values(column, analysis.target.name)
        yield from _about_reading(column)


def _about_values(column: ColumnValues, target: str) -> Iterator[Finding]:
    name, rows = column.name, len(column.numbers)
    if column.kind == "ignored":
        code = "constant" if column.distinct else "all_missing"
        yield _finding(
            code, name, f"{name} says nothing: {column.reason}.",
            "The draft ignores it. Remove it, or give it a type if it will vary.",
        )  # fmt: skip
    elif column.distinct == 1 and column.missing and name != target:
        yield _finding(
            "constant", name, f"{name} has one value in all rows that have one.",
            "The draft learns from its gaps alone. If they say nothing, ignore it.",
        )  # fmt: skip
    if column.kind == "id" and name != target:
        yield _finding(
            "id_like", name, f"{name} looks like an id: {column.reason}.",
            "It is kept and never learned from. If it measures something, set its type.",
        )  # fmt: skip
    if column.kind == "category" and len(column.labels) > 1:
        rare = sum(1 for _ in structure.rare_values(column))
        if len(column.labels) > _MANY or rare > _RARE * len(column.labels) > 25:  # noqa: PLR2004 - few
            yield _finding(
                "many_categories", name,
                f"{name} has {len(column.labels):,} values, {rare:,} of them in fewer than "
                "five rows.",
                "Values that are new or rare are read as one. If it is an id, set its type.",
            )  # fmt: skip
    if column.kind != "ignored" and column.missing > 0.95 * rows:
        yield _finding(
            "mostly_missing", name,
            f"{name} is missing in {column.missing / rows:.1%} of the rows.",
            "If it is filled later than the rest, set known; if it is dead, ignore it.",
        )  # fmt: skip


def _about_reading(column: ColumnValues) -> Iterator[Finding]:
    name = column.name
    words = [*sorted(column.read_as.missing - MISSING_WORDS)]
    words += column.absent
    if column.sentinels or words:
        shown = ", ".join([*(f"{each:g}" for each in column.sentinels), *map(repr, words)])
        yield _finding(
            "sentinel", name,
            f"{name} holds {shown} where a value is missing.",
            "The draft reads it as missing. If it is a value, remove it from missing_values.",
        )  # fmt: skip
    if (far := _far_date(column)) is not None:
        yield _finding(
            "sentinel", name,
            f"{name} holds {far:%Y-%m-%d}, far from all other dates: it stands for a missing one.",
            "Add it to missing_values of the column, as the file writes it.",
        )  # fmt: skip
    if column.alternatives and column.kind == "time":
        formats = [each.time_format for each in (column.read_as, *column.alternatives)]
        yield _finding(
            "ambiguous_date", name,
            f"The dates of {name} can be read as {' and as '.join(formats)}.",
            f"The draft has {formats[0]}. Correct it, or give --date-order.",
        )  # fmt: skip
    elif column.alternatives:
        signs = [each.decimal for each in (column.read_as, *column.alternatives)]
        low, high = np.nanmin(column.numbers), np.nanmax(column.numbers)
        yield _finding(
            "ambiguous_number", name,
            f"The numbers of {name} can be read with the decimal sign "
            f"{' and with '.join(map(repr, signs))}; the other stands between thousands.",
            f"The draft has decimal_char = {signs[0]!r}, which makes them {low:g} to {high:g}. "
            "Correct it if need be.",
        )  # fmt: skip


def _far_date(column: ColumnValues) -> dt.datetime | None:
    """Return a date that several rows have, and that is far from those of all others."""
    if column.kind != "time":
        return None
    levels, places = levels_of(column.numbers[column.present])
    counts = np.bincount(places, minlength=len(levels))
    if len(levels) < _LEAST_DATES:
        return None
    for end, rest in ((0, levels[1:]), (-1, levels[:-1])):
        gap = max(float(rest[0] - levels[end]), float(levels[end] - rest[-1]))
        if counts[end] >= _LEAST_DATES and gap > rest[-1] - rest[0]:
            return dt.datetime.fromtimestamp(float(levels[end]), dt.UTC)
    return None


def _finding(code: str, column: str | None, message: str, remedy: str) -> Finding:
    return Finding(code, column, WHOLE, "warning", message, remedy)

"""Kind of the task that a target sets, and the class whose probability is predicted."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass

import numpy as np

from model_loop.datasets.classes import TWO, TaskKind
from model_loop.drafting.values import ColumnValues, TableValues, levels_of
from model_loop.drafting.vocabulary import has_word, names
from model_loop.errors import InvalidInputError
from model_loop.tables.raw import RawTable
from model_loop.tables.values import to_values

#: Different whole numbers that may be classes at most, and those that are taken for such.
_MAYBE_CLASSES, _LIKELY_CLASSES = 20, 5
#: Rows that each of such numbers has on average.
_ROWS_OF_A_CLASS = 10
#: Labels that an error lists.
_MOST_LISTED = 12


@dataclass(frozen=True)
class ClassShare:
    """A class with its rows.

    Parameters
    ----------
    label
        Label, as the file has it.
    rows
        Number of its rows.
    share
        Share of the rows with a label.
    """

    label: str
    rows: int
    share: float

    def __str__(self) -> str:
        return f"{self.label} ({self.share:.1%})"


def is_doubtful(target: ColumnValues) -> bool:
    """Return whether a target of numbers has so few values that they may be classes."""
    known = target.numbers[target.present]
    return (
        target.kind == "number"
        and TWO < target.distinct <= _MAYBE_CLASSES
        and len(known) >= _ROWS_OF_A_CLASS * target.distinct
        and not target.read_as.unit
        and bool((known == np.round(known)).all())
    )


def likely_task(target: ColumnValues) -> TaskKind:
    """Return the kind of the task that a target sets, as far as its values and name say."""
    if target.kind in {"yes_no", "category"}:
        return "binary" if target.distinct == TWO else "multiclass"
    if is_doubtful(target) and not names(target.name, "quantities"):
        few = target.distinct <= _LIKELY_CLASSES
        return "multiclass" if few or names(target.name, "codes") else "regression"
    return "regression"


def with_task(table: TableValues, task: TaskKind, positive: str | None = None) -> TableValues:
    """Return a table whose target has the values that a task predicts.

    Of yes-or-no tasks, a category has the positive class as its second label.

    Raises
    ------
    InvalidInputError
        If the target has no such values, or no such class.
    """
    target = table.outcome
    if task == "regression":
        if positive is not None:
            raise InvalidInputError(
                f"The positive class {positive!r}",
                f"has no meaning: {target.name} is predicted as a number",
                "Leave it out, or give --task binary.",
            )
        changed = _as_number(target)
    else:
        changed = _as_classes(target, task)
        if task == "binary":
            changed = _in_order(changed, positive_of(changed, positive))
        elif positive is not None:
            raise InvalidInputError(
                f"The positive class {positive!r}",
                f"is one of several: {target.name} has {changed.distinct} classes",
                "Leave it out.",
            )
    return dataclasses.replace(table, columns={**table.columns, target.name: changed})


def shares_of(target: ColumnValues) -> tuple[ClassShare, ...]:
    """Return the classes of a target, in the order of their codes."""
    known = target.numbers[target.present]
    labels = labels_of(target)
    counts = np.bincount(known.astype(np.intp), minlength=len(labels))
    return tuple(
        ClassShare(label, int(count), float(count / len(known)))
        for label, count in zip(labels, counts, strict=True)
    )


def labels_of(target: ColumnValues) -> tuple[str, ...]:
    """Return the labels of a class, by its codes."""
    return ("no", "yes") if target.kind == "yes_no" else target.labels


def with_own_labels(table: TableValues, raw: RawTable) -> TableValues:
    """Return a table whose target of yes and no has the labels of its file, where there are two."""
    target = table.outcome
    if target.kind != "yes_no":
        return table
    again = dataclasses.replace(target.read_as, kind="category")
    values, _ = to_values(raw.columns[target.name], again)
    texts = sorted({*values.dropna().map(str)})
    if len(texts) != TWO:
        return table
    codes = values.map({text: code for code, text in enumerate(texts)})
    labelled = dataclasses.replace(
        target,
        kind="category",
        numbers=codes.to_numpy(dtype=float, na_value=np.nan),
        labels=tuple(texts),
        read_as=again,
    )
    return dataclasses.replace(table, columns={**table.columns, target.name: labelled})


def _as_number(target: ColumnValues) -> ColumnValues:
    if target.kind == "number":
        return target
    try:
        levels = np.array([0.0, 1.0] if target.kind == "yes_no" else [*map(float, target.labels)])
    except ValueError:
        shown = ", ".join(target.labels[:_MOST_LISTED])
        raise InvalidInputError(
            f"The task regression of {target.name}",
            f"needs numbers, and its values are {shown}",
            "Give --task binary or multiclass, or choose a column of numbers.",
        ) from None
    codes = np.where(target.present, target.numbers, 0).astype(np.intp)
    numbers = np.where(target.present, levels[codes], np.nan)
    read_as = dataclasses.replace(target.read_as, kind="number")
    return dataclasses.replace(
        target, kind="number", numbers=numbers, labels=(), read_as=read_as, reason="numbers"
    )


def _as_classes(target: ColumnValues, task: TaskKind) -> ColumnValues:
    if task == "binary" and target.distinct != TWO:
        raise InvalidInputError(
            f"The task binary of {target.name}",
            f"needs two classes, and it has {target.distinct:,} different values",
            "Give --task multiclass; or write task.positive_when, such as "
            f"'{target.name} == …', into the draft.",
        )
    if target.kind != "number":
        return target
    levels, places = levels_of(target.numbers)
    numbers = np.where(target.present, places.astype(float), np.nan)
    labels = tuple(f"{level:g}" for level in levels)
    read_as = dataclasses.replace(target.read_as, kind="category")
    reason = f"{target.distinct} different numbers"
    return dataclasses.replace(
        target, kind="category", numbers=numbers, labels=labels, read_as=read_as, reason=reason
    )


def positive_of(target: ColumnValues, given: str | None) -> int:
    """Return the code of the positive class: as given, as its word says, else the rarer."""
    labels = labels_of(target)
    if given is not None:
        folded = [label.casefold() for label in labels]
        wanted = given.strip().casefold()
        if target.kind == "yes_no":
            wanted = {"1": "yes", "true": "yes", "0": "no", "false": "no"}.get(wanted, wanted)
        if wanted not in folded:
            near = difflib.get_close_matches(given, labels, 1)
            raise InvalidInputError(
                f"The positive class {given!r}",
                f"does not occur in {target.name}, which has {' and '.join(labels)}",
                f"Did you mean {near[0]}?" if near else "Give one of them.",
            )
        return folded.index(wanted)
    if said := _said(labels):
        return labels.index(said)
    first, second = (each.rows for each in shares_of(target))
    return 0 if first < second else 1


def _said(labels: tuple[str, ...]) -> str | None:
    """Return the label of two that says yes, by its words or by those of the other one."""
    if {*labels} in ({"0", "1"}, {"-1", "1"}):
        return "1"
    denying = [label for label in labels if has_word(label, "negatives")]
    affirming = [label for label in labels if label not in denying and has_word(label, "positives")]
    if len(affirming) == 1:
        return affirming[0]
    # Without a word that says yes, the opposite of the one that says no.
    return next(label for label in labels if label not in denying) if len(denying) == 1 else None


def _in_order(target: ColumnValues, positive: int) -> ColumnValues:
    """Return two classes of which the second is positive; yes and no stay as they are."""
    if target.kind == "yes_no" or positive == 1:
        return target
    return dataclasses.replace(target, numbers=1 - target.numbers, labels=target.labels[::-1])

"""Codes of classes: the place of each row's label in the order of the labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.classes import MOST_CLASSES, TWO, Classes, in_order
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declared import classes_of, positive_label
from model_loop.datasets.stored import declaration_of_text, text_of_declaration
from model_loop.errors import ContractError
from model_loop.partitions.labels import label_texts
from model_loop.training_set.request import TableRequest

#: Labels that an error lists.
_MOST_LISTED = 5


def with_classes(request: TableRequest, learned: pd.Series[Any] | None) -> TableRequest:
    """Return a request whose declaration lists the classes: those of the rows learned from.

    Parameters
    ----------
    learned
        Labels of these rows as texts; None where the target is a number.

    Raises
    ------
    ContractError
        If the rows have no two classes, or not the positive one, or a class that is not declared.
    """
    declaration = declaration_of_text(request.declaration)
    if learned is None:
        return request
    texts = [*learned.dropna().unique()]
    positive = positive_label(declaration)
    declared = classes_of(declaration)
    if declared is not None:
        _require_declared(declaration, declared, texts)
        texts = [*declared.texts]
    _require_classes(declaration, texts, positive)
    found: dict[str, Any] = {"classes": in_order(texts, positive)}
    if positive is not None:
        # Value in the rows: 1 in a column of yes and no.
        found["positive_class"] = found["classes"][-1]
    task = declaration.task.model_copy(update=found)
    completed = text_of_declaration(declaration.model_copy(update={"task": task}))
    return dataclasses.replace(request, declaration=completed)


def coded(request: TableRequest, rows: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose target is the code of their class, as numbers.

    Parameters
    ----------
    rows
        Rows as files have them.
    held
        The same rows as models take them.

    Raises
    ------
    ContractError
        If a row has a class that no row has that is learned from.
    """
    target = request.dataset.target
    if not target.is_classified:
        return held
    texts = label_texts(declaration_of_text(request.declaration), rows)
    return held.assign(**{target.name: codes_of(target.labels, texts, target.name)})


def codes_of(classes: Classes, texts: pd.Series[Any], name: str) -> npt.NDArray[np.float64]:
    """Return the code of each label, NaN where there is none, shape (rows,).

    Raises
    ------
    ContractError
        If a label is not one of the classes.
    """
    codes = np.asarray(texts.map(dict(classes.codes)), dtype=np.float64)
    strange = texts[np.isnan(codes) & texts.notna().to_numpy(dtype=bool)]
    if len(strange):
        counts = strange.value_counts()
        listed = ", ".join(f"{label} ({rows:,})" for label, rows in counts[:_MOST_LISTED].items())
        raise ContractError(
            f"The target {name!r}",
            f"has classes that no row has that is learned from: {listed} of {len(texts):,} rows",
            "Learn from partitions that have them, or set such rows aside by a rule.",
        )
    return codes


def _require_declared(declaration: Declaration, declared: Classes, texts: list[str]) -> None:
    if strange := sorted(set(texts) - set(declared.texts)):
        raise ContractError(
            f"The target {declaration.target!r} of {declaration.name}",
            f"has classes that task.classes does not list: {', '.join(strange[:_MOST_LISTED])}",
            "Add them to task.classes, or set such rows aside by a rule.",
        )


def _require_classes(declaration: Declaration, texts: list[str], positive: str | None) -> None:
    name = f"The target {declaration.target!r} of {declaration.name}"
    listed = ", ".join(sorted(texts)[:_MOST_LISTED]) or "none"
    if positive is not None and positive not in texts:
        raise ContractError(
            f"task.positive_class = {positive!r} of {declaration.name}",
            f"does not occur in the rows that are learned from, which have: {listed}",
            "Name one of these labels, or learn from rows that have it.",
        )
    if len(texts) < TWO:
        raise ContractError(
            name,
            f"is the same in every row that is learned from: {listed}",
            "Choose another target: there is nothing to learn.",
        )
    if positive is not None and len(texts) > TWO:
        raise ContractError(
            name,
            f"has {len(texts)} classes and not two: {listed}{', …' if len(texts) > 5 else ''}",  # noqa: PLR2004 - as many as are listed
            "Set kind = 'multiclass', or give positive_when and negative_class.",
        )
    if len(texts) > MOST_CLASSES:
        raise ContractError(
            name,
            f"has {len(texts):,} classes, and at most {MOST_CLASSES} are learned",
            "Choose another target, or put rare labels together beforehand.",
        )

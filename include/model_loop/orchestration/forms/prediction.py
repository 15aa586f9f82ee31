"""The form of the DAG that predicts a few rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from model_loop.datasets.classes import TaskKind
from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.intervals.grid import DEFAULT_LEVEL, HIGHEST_LEVEL, LEVEL, LOWEST_LEVEL
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    moment_fields,
    variant_fields,
    version_field,
)

#: Name of the field that asks for reasons.
EXPLAIN = "explain"
#: Title and description of the level, by the kind of the target.
_LEVEL_WORDS: Mapping[TaskKind, tuple[str, str]] = {
    "regression": (
        "Level of the intervals (%)",
        "How many of a hundred true values lie between lower and upper limit.",
    ),
    "multiclass": (
        "Level of the sets of classes (%)",
        "How many of a hundred true classes are among the `classes` of an answer.",
    ),
    "binary": ("Level (%)", "Answers with one of two classes have a probability in its place."),
}
#: Fields that are no columns.
_OTHERS = frozenset({"version", "moment", "inputs", LEVEL, EXPLAIN})


def field_of(dataset: Dataset, column: Column) -> str:
    """Return the name of a column's field: its name in requests, unless the form has it itself."""
    taken = {*_OTHERS, dataset.variant_field.name}
    return f"column_{column.field}" if column.field in taken else column.field


def prediction_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that predicts a few rows: one for each column, or a list."""
    many, one = dataset.rows
    examples = {each.field: each.example for each in dataset.columns if each.example is not None}
    lists = f", a list for programs: {json.dumps([examples])}." if examples else ", a list."
    return {
        **{
            field_of(dataset, column): _field(dataset, column, one.capitalize())
            for column in dataset.columns
        },
        **version_form(dataset),
        "inputs": Param(
            None,
            type=["null", "array"],
            items={"type": "object"},
            minItems=1,
            title=f"Several {many}",
            description=f"In place of the fields above{lists}",
            section=f"Several {many}",
        ),
    }


def version_form(dataset: Dataset) -> FormFields:
    """Return the fields that say which model predicts, and at which level."""
    order = dataset.moments.index
    recipes = sorted(dataset.recipes.values(), key=lambda recipe: order(recipe.moment))
    asked = dict.fromkeys(recipe.asked for recipe in recipes)
    return {
        **variant_fields(dataset, Section.MODEL),
        "version": version_field(Section.MODEL, "the champion"),
        **moment_fields(
            dataset,
            "the earliest that has what it needs",
            f"Which champion answers: the one that is {', or the one that is '.join(asked)}. A "
            "version that is named goes first.",
            Section.MODEL,
        ),
        LEVEL: Param(
            DEFAULT_LEVEL,
            type="number",
            minimum=LOWEST_LEVEL,
            maximum=HIGHEST_LEVEL,
            title=_LEVEL_WORDS[dataset.target.kind][0],
            description=_LEVEL_WORDS[dataset.target.kind][1],
            section=Section.MODEL,
        ),
        EXPLAIN: Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Explain",
            description="Tell the reasons: what the columns add to the prediction, the strongest "
            "first. Models that are linear or made of trees can.",
            section=Section.MODEL,
        ),
    }


def _field(dataset: Dataset, column: Column, section: str) -> Param:
    """Return the field of a column; empty where a value is assumed, or may be unknown."""
    load = dataset.extensions.load("choices")
    labels = load(column.name) if load else {}
    unit = f" ({column.unit})" if column.unit and f"({column.unit})" not in column.title else ""
    schema: dict[str, Any] = {
        "title": f"{column.title[:1].upper()}{column.title[1:]}{unit}",
        "description": column.description or _described(column),
        "section": section,
    }
    default = None if column.default else column.example
    if labels:
        return Param(
            column.example,
            type="integer",
            enum=list(labels),
            values_display={str(value): label for value, label in labels.items()},
            **schema,
        )
    if column.kind == "time":
        return Param(None, type=["null", "string"], format="date-time", **schema)
    if column.kind == "yes_no":
        return Param(default, type=["null", "boolean"], **schema)
    if column.kind == "category" and column.text:
        if column.categories:
            # Proposals: a category that is not among them is unknown to the model, not refused.
            schema["examples"] = list(column.categories)
        return Param(default, type=["null", "string"], **schema)
    bounds = {"minimum": column.lowest, "maximum": column.highest}
    schema |= {
        name: int(bound) if float(bound).is_integer() else bound
        for name, bound in bounds.items()
        if math.isfinite(bound)
    }
    return Param(default, type=["null", "number"], **schema)


def _described(column: Column) -> str:
    """Return a description of a column that declares none."""
    needed = "a model that knows it needs a value" if column.required else "may be left empty"
    return f"Value of the column {column.name}: {column.noun}; {needed}."

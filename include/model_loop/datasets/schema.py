"""JSON schema of a row, from the columns of its table."""

from __future__ import annotations

import math
from typing import Any

from model_loop.datasets.columns import Column
from model_loop.datasets.reading import RowReader


def schema_of(reader: RowReader, name: str = "Row") -> dict[str, Any]:
    """Return the JSON schema of a row: every name that is taken, none of which is needed twice.

    Parameters
    ----------
    name
        Name of the schema among those of its document.
    """
    properties = {}
    for column in reader.columns:
        properties[column.field] = _property(column, named=column.name in reader.codes)
        for other in column.names[1:]:
            properties[other] = {
                "$ref": f"#/components/schemas/{name}/properties/{_escaped(column.field)}",
                "description": f"Another name of `{column.field}`.",
            }
    return {
        "title": name,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "description": "Values by any of their names. Other fields that the source publishes of a "
        "row may stand beside them, and are not read.",
    }


def _escaped(name: str) -> str:
    """Return a name as a part of a JSON pointer has it."""
    return name.replace("~", "~0").replace("/", "~1")


def _property(column: Column, *, named: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"title": column.title, "description": column.description}
    if column.example is not None:
        described["examples"] = [column.example]
    if column.unit:
        described["x-unit"] = column.unit
    described["x-known"] = column.known
    if column.kind == "time":
        return {**described, "type": ["string", "null"], "format": "date-time"}
    kinds: list[dict[str, Any]] = []
    if column.kind == "yes_no":
        kinds.append({"type": "boolean"})
    elif not column.text:
        whole = column.kind == "category"
        kinds.append({"type": "integer" if whole else "number", **_bounds(column)})
    if named or column.text:
        kinds.append({"type": "string", "minLength": 1})
    if column.categories:
        # Others are read too: a model has learned nothing from them.
        described["x-categories"] = list(column.categories)
    if not column.required or column.default:
        kinds.append({"type": "null"})
    return {**described, "anyOf": kinds}


def _bounds(column: Column) -> dict[str, float]:
    bounds = {"minimum": column.lowest, "maximum": column.highest}
    return {name: bound for name, bound in bounds.items() if math.isfinite(bound)}

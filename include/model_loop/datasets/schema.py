"""JSON schema of a row, from the columns of its table."""

from __future__ import annotations

from typing import Any

from model_loop.datasets.columns import Column
from model_loop.datasets.reading import RowReader


def schema_of(reader: RowReader) -> dict[str, Any]:
    """Return the JSON schema of a row: every name that is taken, none of which is needed twice."""
    properties = {}
    for column in reader.columns:
        properties[column.field] = _property(column, named=column.name in reader.codes)
        for name in column.names[1:]:
            properties[name] = {
                "$ref": f"#/components/schemas/Row/properties/{column.field}",
                "description": f"Another name of `{column.field}`.",
            }
    return {
        "title": "Row",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "description": "Values by any of their names. Whatever else the source publishes of a row "
        "may stand beside them, and is not read.",
    }


def _property(column: Column, *, named: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"title": column.title, "description": column.description}
    if column.example is not None:
        found["examples"] = [column.example]
    if column.unit:
        found["x-unit"] = column.unit
    found["x-known"] = column.known
    if column.kind == "time":
        return {**found, "type": ["string", "null"], "format": "date-time"}
    bounds = {"minimum": column.lowest, "maximum": column.highest}
    number = {"type": "integer" if column.kind == "category" else "number", **bounds}
    kinds: list[dict[str, Any]] = [number]
    if named:
        kinds.append({"type": "string", "minLength": 1})
    if not column.required or column.default:
        kinds.append({"type": "null"})
    return {**found, "anyOf": kinds}

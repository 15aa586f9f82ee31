"""Declarations as data packages of Frictionless, and back.

A data package describes files and their fields for many tools. Its vocabulary lacks the target,
moments, split and rules: they stand under the key ``model_loop``, which other tools pass on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from model_loop.datasets.declaration import Constraints, Declaration
from model_loop.datasets.declaration_file import refusal_of
from model_loop.datasets.declaration_types import Kind
from model_loop.errors import InvalidInputError

#: Key of what only we say.
OURS = "model_loop"
_PROFILE = "tabular-data-package"
_TYPES: Mapping[Kind, str] = MappingProxyType(
    {
        "number": "number",
        "category": "string",
        "yes_no": "boolean",
        "time": "datetime",
        "text": "string",
        "id": "string",
        "ignored": "any",
    }
)
#: Types of Frictionless, and ours where nothing says more.
_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "number": "number",
        "integer": "number",
        "string": "category",
        "boolean": "yes_no",
        "date": "time",
        "datetime": "time",
        "time": "category",
        "year": "number",
        "yearmonth": "time",
        "any": "ignored",
    }
)
_FIELD_KEYS = ("title", "description", "example")
#: Keys of a column that a field has a word for.
_OF_FIELDS = frozenset({*_FIELD_KEYS, "type", "format", "decimal_char", "constraints"})
_OF_PACKAGES = frozenset(
    {
        *("name", "title", "description", "source", "columns", "encoding", "primary_key"),
        *("missing_values", "dialect"),
    }
)


def to_datapackage(declaration: Declaration) -> dict[str, Any]:
    """Return a declaration as the content of ``datapackage.json``.

    Raises
    ------
    InvalidInputError
        If its source is of a database, for which packages have no word.
    """
    if not isinstance(declaration.source, str):
        raise InvalidInputError(
            f"The source {declaration.source}",
            "is of a database, and a data package names files",
            "Export the table as a file, and name it as the source.",
        )
    content = declaration.model_dump(mode="json", exclude_defaults=True)
    columns: dict[str, dict[str, Any]] = content.get("columns", {})
    schema: dict[str, Any] = {"fields": [_field(*each) for each in columns.items()]}
    if declaration.primary_key:
        schema["primaryKey"] = list(declaration.primary_key)
    if declaration.missing_values is not None:
        schema["missingValues"] = [str(each) for each in declaration.missing_values]
    resource: dict[str, Any] = {
        "name": declaration.name,
        "path": declaration.source,
        "schema": schema,
    }
    if declaration.encoding:
        resource["encoding"] = declaration.encoding
    if declaration.dialect.delimiter or not declaration.dialect.header:
        resource["dialect"] = content["dialect"]
    package: dict[str, Any] = {
        "profile": _PROFILE,
        **{key: content[key] for key in ("name", "title", "description") if key in content},
        "resources": [resource],
        OURS: {key: value for key, value in content.items() if key not in _OF_PACKAGES},
    }
    if any(not isinstance(each, str) for each in declaration.missing_values or ()):
        # Frictionless has texts alone; numbers beside them mean more.
        package[OURS]["missing_values"] = content["missing_values"]
    return package


def from_datapackage(text: str, origin: str, target: str | None = None) -> Declaration:
    """Return the declaration that a ``datapackage.json`` describes.

    Parameters
    ----------
    origin
        Name of the file, for errors.
    target
        Column to predict, where the package does not say.

    Raises
    ------
    InvalidInputError
        If it is no data package of one resource, or says no target.
    """
    try:
        package = json.loads(text)
        (resource,) = package["resources"]
        fields = resource["schema"]["fields"]
        source = resource["path"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"The data package {origin}",
            "does not describe one resource with a schema",
            "Give a datapackage.json with one resource.",
        ) from error
    ours = dict(package.get(OURS) or {})
    schema = resource["schema"]
    content = {
        **{key: package[key] for key in ("title", "description") if key in package},
        **ours,
        "name": str(package.get("name", resource.get("name", ""))).replace("-", "_"),
        "source": source,
        "columns": {field["name"]: _column(field) for field in fields},
    }
    if target is not None:
        content["target"] = target
    if "encoding" in resource:
        content["encoding"] = resource["encoding"]
    if "primaryKey" in schema:
        keys = schema["primaryKey"]
        content["primary_key"] = [keys] if isinstance(keys, str) else keys
    if "missingValues" in schema:
        content.setdefault("missing_values", schema["missingValues"])
    dialect = resource.get("dialect") or {}
    if marks := {key: dialect[key] for key in ("delimiter", "header") if key in dialect}:
        content["dialect"] = marks
    if "target" not in content:
        raise InvalidInputError(
            f"The data package {origin}",
            "says no column to predict",
            "Give --target COLUMN.",
        )
    try:
        return Declaration.model_validate(content)
    except ValidationError as error:
        raise refusal_of(error, origin) from None


def _field(name: str, column: Mapping[str, Any]) -> dict[str, Any]:
    kind: Kind | None = column.get("type")
    field: dict[str, Any] = {"name": name, "type": _TYPES[kind] if kind else "any"}
    field |= {key: column[key] for key in _FIELD_KEYS if key in column}
    if "decimal_char" in column:
        field["decimalChar"] = column["decimal_char"]
    if kind == "time":
        field["format"] = column.get("format", "any")
    if "constraints" in column:
        field["constraints"] = column["constraints"]
    ours = {key: value for key, value in column.items() if key not in _OF_FIELDS}
    if kind and _KINDS[_TYPES[kind]] != kind:
        ours["type"] = kind
    if ours:
        field[OURS] = ours
    return field


def _column(field: Mapping[str, Any]) -> dict[str, Any]:
    column: dict[str, Any] = {"type": _KINDS.get(field.get("type", "any"), "ignored")}
    column |= {key: field[key] for key in _FIELD_KEYS if key in field}
    if "decimalChar" in field:
        column["decimal_char"] = field["decimalChar"]
    if column["type"] == "time" and field.get("format") not in {None, "any", "default"}:
        column["format"] = field["format"]
    given = field.get("constraints") or {}
    constraints = {key: given[key] for key in Constraints.model_fields if key in given}
    if constraints:
        column["constraints"] = constraints
    return column | dict(field.get(OURS) or {})

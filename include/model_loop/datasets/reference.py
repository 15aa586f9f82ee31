"""The reference of the keys of a declaration, written from the code."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from model_loop.datasets import declaration
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import RESERVED

_HEADER = """\
# The file of a dataset

Written from the code by `make docs`; a test fails when it is stale. Such a file is drafted by
`model-loop datasets init`: see [your own table](how-to/your-own-table.md). Keys that are not listed
here are refused.
"""
#: Headings of tables whose keys are names of the dataset's own, or that may come several times.
_HEADINGS: Mapping[str, str] = {
    "columns": "[columns.NAME]",
    "columns.constraints": "[columns.NAME.constraints]",
    "recipes": "[recipes.NAME]",
    "rules": "[[rules]]",
    "variants": "[variants.NAME]",
    "accepted": "[[accepted]]",
}
_KINDS: Mapping[str, str] = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "object": "table",
    "string": "text",
}


def keys_of_declarations() -> str:
    """Return the page, as Markdown: a section for each table of the file, with all its keys."""
    schema = Declaration.model_json_schema()
    parts = [_HEADER, *_section("", Declaration, schema, schema["$defs"]), *_reserved()]
    return "\n".join(parts)


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return what the docstring of a table says of each key, by the key."""
    _, _, parameters = inspect.cleandoc(model.__doc__ or "").partition("Parameters\n----------\n")
    split = re.split(r"^(\w+)$", parameters, flags=re.MULTILINE)[1:]
    texts = (" ".join(text.split()) for text in split[1::2])
    return dict(zip(split[::2], texts, strict=True))


def _section(
    path: str, model: type[BaseModel], schema: Mapping[str, Any], tables: Mapping[str, Any]
) -> Iterator[str]:
    texts, required = descriptions(model), schema.get("required", ())
    about = inspect.cleandoc(model.__doc__ or "").partition("\n\nParameters\n")[0]
    heading = _HEADINGS.get(path, f"[{path}]")
    yield f"## `{heading}`\n" if path else "## The dataset\n"
    yield _code(about) + "\n"
    yield "| Key | Meaning | Type | Default |"
    yield "| --- | --- | --- | --- |"
    inner = []
    for key, field in schema["properties"].items():
        table = _table_of(field)
        # Variants have sources of the same kind, which are described once.
        if table and not (path and key == "source"):
            inner.append((f"{path}.{key}".lstrip("."), table))
        default = "required" if key in required else _default(field.get("default"))
        yield f"| `{key}` | {_code(texts[key])} | {_type(field)} | {default} |"
    yield ""
    for deeper, name in inner:
        yield from _section(deeper, getattr(declaration, name), tables[name], tables)


def _reserved() -> Iterator[str]:
    yield "## Reserved\n"
    yield "Keys that a later version will read; until then they are refused by that word.\n"
    yield "| Key | Meaning |"
    yield "| --- | --- |"
    for key, meaning in RESERVED.items():
        yield f"| `{key.replace('*', 'NAME')}` | {meaning} |"


def _table_of(field: Mapping[str, Any]) -> str | None:
    """Return the class of the table that a key holds, itself, by names or in a list."""
    for each in _options(field):
        for holder in (each, each.get("additionalProperties"), each.get("items")):
            if isinstance(holder, Mapping) and "$ref" in holder:
                return str(holder["$ref"].rpartition("/")[2])
    return None


def _options(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a key, or the several things that it may hold, without nothing."""
    several = field.get("anyOf", field.get("oneOf"))
    if several is None:
        return [field]
    return [option for each in several for option in _options(each) if option.get("type") != "null"]


def _type(field: Mapping[str, Any]) -> str:
    options = _options(field)
    if len(options) > 1:
        return " or ".join(dict.fromkeys(map(_type, options)))
    (field,) = options
    if _table_of(field):
        return "tables" if {"additionalProperties", "items"} & field.keys() else "table"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{each}`" for each in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if field["type"] == "object":
        return f"table of {_type(field['additionalProperties'])}"
    return _KINDS[field["type"]]


def _default(value: object) -> str:
    if value is None or value in ("", [], {}) or isinstance(value, dict):
        return ""
    if isinstance(value, list):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _code(text: str) -> str:
    """Return a text of reStructuredText as Markdown."""
    return re.sub(r"`{1,2}([^`]+)`{1,2}", r"`\1`", text).replace("|", "\\|")


def main() -> None:
    """Write the page into the file that is named on the command line."""
    Path(sys.argv[1]).write_text(keys_of_declarations(), encoding="utf-8")


if __name__ == "__main__":
    main()

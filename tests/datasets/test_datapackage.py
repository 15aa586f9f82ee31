"""Declarations as data packages of Frictionless, there and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model_loop.datasets.changes import changes_between
from model_loop.datasets.datapackage import from_datapackage, to_datapackage
from model_loop.datasets.declaration_file import parse_declaration, read_declaration
from model_loop.datasets.registry import datasets_folder
from model_loop.drafting.text import toml_of
from model_loop.errors import InvalidInputError

WHOLE = """
name = "orders"
title = "Orders"
source = "orders-{partition}.csv"
target = "amount"
partition = "month"
encoding = "cp1252"
missing_values = ["", "NA", -1]
primary_key = ["order"]
moments = ["ordered", "baked"]
[dialect]
delimiter = ";"
[task]
unit = "EUR"
[time]
column = "day"
time_zone = "Europe/Berlin"
[split]
time_on = "day"
[columns.order]
type = "id"
[columns.day]
type = "time"
format = "%d.%m.%Y"
[columns."weight [kg]"]
type = "number"
title = "Weight"
decimal_char = ","
constraints = {minimum = 0, maximum = 40.5}
known = "baked"
[columns.region]
type = "category"
constraints = {enum = ["north", "south"], required = true}
[columns.express]
type = "yes_no"
[columns.note]
type = "text"
[recipes.first]
at = "ordered"
[[rules]]
name = "free"
when = "`weight [kg]` == 0"
"""


def test_a_declaration_comes_back_as_it_was() -> None:
    """Nothing of it is lost in the package, and TOML says the same again."""
    declaration = parse_declaration(WHOLE, "orders.toml")
    text = json.dumps(to_datapackage(declaration))
    again = from_datapackage(text, "datapackage.json")
    assert changes_between(declaration, again) == ()
    written = toml_of(again.model_dump(mode="json", exclude_defaults=True))
    assert changes_between(declaration, parse_declaration(written, "again.toml")) == ()


@pytest.mark.parametrize("name", ["diabetes", "late"])
def test_a_declaration_of_classes_comes_back_as_it_was(name: str) -> None:
    """With its task, and the columns that are reported by group."""
    declaration = read_declaration(datasets_folder() / f"{name}.toml")
    text = json.dumps(to_datapackage(declaration))
    assert from_datapackage(text, "datapackage.json", None) == declaration


def test_the_package_has_the_words_of_frictionless() -> None:
    """Other tools read fields, formats and keys."""
    package = to_datapackage(parse_declaration(WHOLE, "orders.toml"))
    (resource,) = package["resources"]
    assert (resource["encoding"], resource["dialect"]) == ("cp1252", {"delimiter": ";"})
    assert resource["schema"]["primaryKey"] == ["order"]
    fields = {field["name"]: field for field in resource["schema"]["fields"]}
    assert fields["day"] == {"name": "day", "type": "datetime", "format": "%d.%m.%Y"}
    assert fields["weight [kg]"]["decimalChar"] == ","
    assert fields["express"]["type"] == "boolean"


PACKAGE: dict[str, Any] = {
    "name": "my-table",
    "resources": [
        {
            "path": "table.csv",
            "schema": {
                "fields": [
                    {"name": "n", "type": "integer", "constraints": {"minimum": 1, "pattern": "x"}},
                    {"name": "when", "type": "date", "format": "default"},
                    {"name": "y", "type": "number"},
                ],
                "primaryKey": "n",
            },
        }
    ],
}


def test_a_package_of_others_becomes_a_declaration() -> None:
    """Whole numbers are numbers, and what we have no word for is left out."""
    declaration = from_datapackage(json.dumps(PACKAGE), "datapackage.json", "y")
    assert (declaration.name, declaration.target) == ("my_table", "y")
    assert declaration.primary_key == ("n",)
    types = {name: column.type for name, column in declaration.columns.items()}
    assert types == {"n": "number", "when": "time", "y": "number"}
    assert declaration.columns["n"].constraints.minimum == 1
    assert declaration.columns["when"].format is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "one resource"),
        ('{"resources": []}', "one resource"),
        (json.dumps(PACKAGE), "no column to predict"),
        (json.dumps({**PACKAGE, "name": "My Table"}), "is no name"),
    ],
)
def test_what_is_no_package_is_refused(text: str, words: str) -> None:
    """With what is missing."""
    target = "y" if words == "is no name" else None
    with pytest.raises(InvalidInputError, match=words):
        from_datapackage(text, "datapackage.json", target)

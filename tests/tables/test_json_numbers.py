"""Numbers of JSON lines have the point of JSON, whatever a dataset declares for its texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.tables.refused import TableFileError
from model_loop.tables.table import read_chunks, read_table

DECLARATION = parse_declaration(
    """
name = "sales"
source = "sales.jsonl"
target = "price"
[columns.price]
type = "number"
decimal_char = ","
[columns.code]
type = "category"
""",
    "sales.toml",
)


def write(file: Path, prices: list[Any]) -> str:
    """Write a line for each price; return the path."""
    rows = (json.dumps({"price": price, "code": 7}) for price in prices)
    file.write_text("".join(f"{row}\n" for row in rows))
    return str(file)


def test_a_point_is_no_mark_of_thousands(tmp_path: Path) -> None:
    """1.500 is one and a half, and no row is left out."""
    file = tmp_path / "sales.jsonl"
    write(file, [1.5, 0.001, 1500, None])
    file.write_text(file.read_text() + '{"price": 1.500, "code": 7}\n')
    table = read_table(DECLARATION, [str(file)])
    assert table.frame["price"].fillna(-1).tolist() == [1.5, 0.001, 1500, -1, 1.5]
    assert table.frame["code"].tolist() == ["7"] * 5
    assert table.rejected == ()


def test_texts_keep_the_declared_sign(tmp_path: Path) -> None:
    """A comma in a text is that of the declaration."""
    table = read_table(DECLARATION, [write(tmp_path / "sales.jsonl", ["1,5", "1.500", 2])])
    assert table.frame["price"].tolist() == [1.5, 1500, 2]


@pytest.mark.parametrize("chunked", [False, True])
def test_files_of_whole_numbers_go_with_files_of_fractions(
    tmp_path: Path, *, chunked: bool
) -> None:
    """The column is one of numbers in all of them."""
    files = [write(tmp_path / "a.jsonl", [1.5, 2.25]), write(tmp_path / "b.jsonl", [7, None])]
    tables = read_chunks(DECLARATION, files, 1) if chunked else [read_table(DECLARATION, files)]
    prices = [price for table in tables for price in table.frame["price"].fillna(-1)]
    assert prices == [1.5, 2.25, 7, -1]


def test_texts_with_a_comma_beside_numbers_are_refused(tmp_path: Path) -> None:
    """Nobody knows which sign the column has."""
    files = [write(tmp_path / "a.jsonl", [1.5, 2.25]), write(tmp_path / "b.jsonl", ["1,5"])]
    with pytest.raises(TableFileError, match="'price' has a type in one file"):
        read_table(DECLARATION, files)

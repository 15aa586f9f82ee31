"""Declarations and files of tables, as tests write them."""

from __future__ import annotations

from pathlib import Path

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.tables.table import Table, read_table


def declared(more: str = "", source: str = "rides.csv") -> Declaration:
    """A declaration of three keys, and more."""
    text = f'name = "rides"\nsource = "{source}"\ntarget = "cnt"\n{more}'
    return parse_declaration(text, "rides.toml")


def write(folder: Path, content: str | bytes, name: str = "rides.csv") -> str:
    """Write a file, and return its path."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(folder: Path, content: str | bytes, more: str = "") -> Table:
    """Read a text as a table."""
    return read_table(declared(more), [write(folder, content)])

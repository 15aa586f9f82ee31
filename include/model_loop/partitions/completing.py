"""Completion of a declaration: what it leaves out is found in the data once, and written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.datasets.declaration import ColumnDeclaration, Declaration
from model_loop.errors import ContractError
from model_loop.partitions.types import SourceFile
from model_loop.tables.table import formats_of_files
from model_loop.tables.values import ColumnFormat


def complete_files(
    declaration: Declaration, files: Sequence[SourceFile], variant: str
) -> Declaration:
    """Return a declaration that names the type of each column of some files; see `complete`.

    Parameters
    ----------
    variant
        Key of the variant.
    """
    named = variant.partition(".")[2] or None
    addresses = [file.path for file in files]
    return complete(declaration, formats_of_files(declaration, addresses, variant=named))


def complete(declaration: Declaration, formats: Mapping[str, ColumnFormat]) -> Declaration:
    """Return a declaration that names the type of each column.

    Parameters
    ----------
    formats
        How each column is read.

    Raises
    ------
    ContractError
        If the table has no target, or it is no number.
    """
    if declaration.target not in formats:
        raise ContractError(
            f"The table of {declaration.name}",
            f"has no column {declaration.target!r}, the target",
            f"Name one of its columns as target: {', '.join(formats)}.",
        )
    kind = formats[declaration.target].kind
    if declaration.task.kind == "regression" and kind != "number":
        raise ContractError(
            f"The target {declaration.target!r} of {declaration.name}",
            f"was read as {kind}, and a regression predicts a number",
            "Choose another target, or declare its type, decimal_char and missing_values.",
        )
    columns = {
        name: _completed(declaration.columns.get(name, ColumnDeclaration()), column_format)
        for name, column_format in formats.items()
    }
    return declaration.model_copy(update={"columns": columns})


def _completed(column: ColumnDeclaration, column_format: ColumnFormat) -> ColumnDeclaration:
    found: dict[str, Any] = {}
    if column.type is None:
        found["type"] = column_format.kind
    if column_format.kind == "time" and column.format is None:
        found["format"] = column_format.time_format
    if column_format.kind == "number" and column.decimal_char is None:
        found["decimal_char"] = column_format.decimal
    if column_format.unit and column.unit is None:
        found["unit"] = column_format.unit
    if column.missing_values is None:
        found["missing_values"] = tuple(sorted(column_format.missing))
    return column.model_copy(update=found)

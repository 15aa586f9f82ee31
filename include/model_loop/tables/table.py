"""The typed table of a dataset: its files read as its declaration says."""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from upath import UPath

from model_loop.datasets.addresses import (
    PARTITION,
    folder_keys,
    folder_values,
    glob_of,
    holds_key,
    key_in,
)
from model_loop.datasets.declaration import ColumnDeclaration, Declaration
from model_loop.datasets.declaration_types import Kind
from model_loop.datasets.literals import missing_words
from model_loop.datasets.reading import shown
from model_loop.datasets.times import ISO
from model_loop.errors import look_up
from model_loop.tables.inference import ColumnEvidence, Inference
from model_loop.tables.raw import RawTable, RejectedRow, chunks_of, read_raw, read_raw_blocks
from model_loop.tables.refused import ReadingNote, TableFileError
from model_loop.tables.typed import TimeBounds
from model_loop.tables.values import ColumnFormat, cell_text, to_frame

#: Beginning of the address of a file that an installed package holds.
_OF_PACKAGE = "package://"
#: First moment that is wanted, and the first after it.
Bounds = tuple[dt.datetime, dt.datetime]
_NOUNS = {"number": "a number", "time": "a time", "yes_no": "yes or no"}


@dataclass(frozen=True)
class Table:
    """Rows of a dataset.

    Parameters
    ----------
    frame
        Columns in the order of the file: float64 with NaN for numbers, datetime64[us] on the clocks
        of the dataset for times, nullable boolean for yes/no, text for all others.
    rows_read
        Number of rows of the files, rejected ones among them.
    rejected
        Rows that were left out, with their reasons.
    formats
        How each column was read.
    files
        Address of each file.
    file_of_row
        Place of each row's file in `files`, shape (rows,).
    row_number
        Number of each row in its file, from 1, shape (rows,).
    notes
        Remarks on what the reader had to assume.
    """

    frame: pd.DataFrame
    rows_read: int
    rejected: tuple[RejectedRow, ...]
    formats: Mapping[str, ColumnFormat]
    files: tuple[str, ...]
    file_of_row: npt.NDArray[np.int32]
    row_number: npt.NDArray[np.int64]
    notes: tuple[ReadingNote, ...] = ()


def read_table(
    declaration: Declaration,
    files: Sequence[str],
    *,
    variant: str | None = None,
    within: Bounds | None = None,
) -> Table:
    """Read files of a dataset as one table.

    Parameters
    ----------
    variant
        Variant whose names of columns the files have.
    within
        First moment that is wanted, and the first after it, on the clocks of the place: parts of
        Parquet files without a row of that time are not read. Others are read whole.

    Raises
    ------
    TableFileError
        If a file cannot be read, lacks a declared column, or leaves the format of a column open.
    """
    raw = read_raw(
        files,
        encoding=declaration.encoding,
        dialect=declaration.dialect,
        within=within and _within(declaration, variant, within),
    )
    raw = with_names_of(with_folder_keys(raw, declaration, variant), declaration, variant)
    return to_table(raw, column_formats(declaration, [raw]))


def read_chunks(
    declaration: Declaration, files: Sequence[str], rows: int, *, variant: str | None = None
) -> Iterator[Table]:
    """Yield the same table, so many rows at a time.

    Properties that the declaration leaves out are inferred from the whole files first: they are
    read twice then, and once where it names the type, format and decimal sign of each column.

    Raises
    ------
    TableFileError
        See `read_table`.
    """
    formats = column_formats(declaration, _blocks(declaration, files, variant))
    for chunk in chunks_of(_blocks(declaration, files, variant), rows):
        yield to_table(chunk, formats)


def formats_of_files(
    declaration: Declaration, files: Sequence[str], *, variant: str | None = None
) -> dict[str, ColumnFormat]:
    """Return how each column of some files is read; see `column_formats`."""
    return column_formats(declaration, _blocks(declaration, files, variant))


def _blocks(
    declaration: Declaration, files: Sequence[str], variant: str | None
) -> Iterator[RawTable]:
    for block in read_raw_blocks(files, encoding=declaration.encoding, dialect=declaration.dialect):
        yield with_names_of(with_folder_keys(block, declaration, variant), declaration, variant)


def with_folder_keys(
    raw: RawTable, declaration: Declaration, variant: str | None = None
) -> RawTable:
    """Return a table with the columns whose values are in the names of folders, as texts."""
    source = declaration.source_of(variant)
    names = folder_keys(source) if isinstance(source, str) else ()
    values = [folder_values(address) for address in raw.files]
    columns = {
        name: pa.chunked_array(
            [pa.array([each.get(name) for each in values]).take(raw.file_of_row)]
        )
        for name in names
        if name not in raw.names
    }
    names = (*raw.names, *columns)
    return replace(raw, names=names, columns={**raw.columns, **columns})


def _within(declaration: Declaration, variant: str | None, within: Bounds) -> TimeBounds | None:
    """Return the bounds of the times that are read, by the name that the files have for them."""
    if declaration.time is None:
        return None
    names = look_up("Variant", variant, declaration.variants).columns if variant else {}
    time = declaration.time.column
    return TimeBounds(names.get(time, time), *within)


def to_table(raw: RawTable, formats: Mapping[str, ColumnFormat]) -> Table:
    """Convert a raw table; rows with an unreadable cell are rejected.

    Parameters
    ----------
    formats
        How each column is read, as `column_formats` returns it.
    """
    frame, unreadable = to_frame(raw.columns, formats)
    wrong = functools.reduce(np.logical_or, unreadable.values(), np.zeros(raw.rows, dtype=bool))
    rejected = raw.rejected
    file_of_row, row_number = raw.file_of_row, raw.row_number
    if wrong.any():
        reasons = (
            RejectedRow(
                raw.files[file_of_row[row]],
                int(row_number[row]),
                "; ".join(
                    _reason(name, cell_text(raw.columns[name], row), formats[name])
                    for name, mask in unreadable.items()
                    if mask[row]
                ),
            )
            for row in np.flatnonzero(wrong).tolist()
        )
        rejected = (*rejected, *reasons)
        frame = frame[~wrong].reset_index(drop=True)
        file_of_row, row_number = file_of_row[~wrong], row_number[~wrong]
    return Table(
        frame,
        raw.rows + len(raw.rejected),
        rejected,
        formats,
        raw.files,
        file_of_row,
        row_number,
        raw.notes,
    )


def _reason(name: str, cell: str, column_format: ColumnFormat) -> str:
    noun = _NOUNS.get(column_format.kind, "a value")
    if column_format.kind == "time":
        noun += f" ({column_format.time_format})"
    return f"{name} = {shown(cell)} is not {noun}"


def with_names_of(raw: RawTable, declaration: Declaration, variant: str | None) -> RawTable:
    """Return a raw table with the dataset's names of columns instead of those of a variant."""
    if variant is None:
        return raw
    own = look_up("Variant", variant, declaration.variants).columns
    names = {file_name: name for name, file_name in own.items()}
    columns = {names.get(name, name): column for name, column in raw.columns.items()}
    return replace(raw, names=tuple(columns), columns=columns)


def column_formats(declaration: Declaration, blocks: Iterable[RawTable]) -> dict[str, ColumnFormat]:
    """Return how each column is read: as declared, or else as all of its values say.

    Parameters
    ----------
    blocks
        All rows, in one table or in several.

    Raises
    ------
    TableFileError
        If a declared column is missing, or several formats read every value of a column.
    """
    formats: dict[str, ColumnFormat] = {}
    evidence: dict[str, ColumnEvidence] = {}
    delimiter = ""
    for block in blocks:
        if not formats:
            _require_declared(declaration, block)
            delimiter = block.formats[0].delimiter
            formats = {name: declared_format(declaration, name) for name in block.names}
            evidence = {
                name: ColumnEvidence(name, formats[name], declared_decimal(declaration, name))
                for name in block.names
                if not _is_decided(declaration, name)
            }
        for name, gathered in evidence.items():
            for chunk in block.columns[name].chunks:
                gathered.add(chunk)
        if not evidence:
            break
    signs = {gathered.decimal_sign for gathered in evidence.values()} - {None}
    for name, gathered in evidence.items():
        found = gathered.decide(
            declared_kind(declaration, name), predicted=name == declaration.target
        )
        formats[name] = _settled(name, found, signs, delimiter)
    return formats


def declared_kind(declaration: Declaration, name: str) -> Kind | None:
    """Return the declared type of a column; None where its values have to say it."""
    column = declaration.columns.get(name)
    if column is not None and column.type is not None:
        return column.type
    is_time = declaration.time is not None and declaration.time.column == name
    return "time" if is_time or (column is not None and column.format is not None) else None


def declared_decimal(declaration: Declaration, name: str) -> str | None:
    """Return the declared decimal sign of a column; None where its values have to say it."""
    column = declaration.columns.get(name)
    return (column and column.decimal_char) or declaration.decimal_char


def declared_format(declaration: Declaration, name: str) -> ColumnFormat:
    """Return what a declaration says of reading a column; a type that it leaves out is text."""
    column = declaration.columns.get(name, ColumnDeclaration())
    missing, time = column.missing_values, declaration.time
    return ColumnFormat(
        kind=declared_kind(declaration, name) or "text",
        missing=missing_words(declaration.missing_values if missing is None else missing),
        decimal=declared_decimal(declaration, name) or ".",
        unit=column.unit or "",
        time_format=column.format or ISO,
        stored_in="UTC" if time is None else time.stored_in,
        time_zone="UTC" if time is None else time.time_zone,
    )


def _is_decided(declaration: Declaration, name: str) -> bool:
    """Return whether a declaration leaves nothing to be found in the values of a column."""
    column = declaration.columns.get(name, ColumnDeclaration())
    kind = declared_kind(declaration, name)
    if kind == "number":
        return declared_decimal(declaration, name) is not None
    return column.format is not None if kind == "time" else kind is not None


def _settled(name: str, found: Inference, signs: set[str | None], delimiter: str) -> ColumnFormat:
    """Return the format of a column, for which the others may decide."""
    if not found.alternatives:
        return found.format
    options = (found.format, *found.alternatives)
    if found.format.kind == "number" and len(signs) < 2:  # noqa: PLR2004 - one sign decides
        # The other columns of the file have one decimal sign; or else a semicolon makes room for
        # the comma as such, and a comma between cells means that those in them are of thousands.
        sign = next(iter(signs), {";": ",", ",": "."}.get(delimiter))
        for option in options:
            if option.decimal == sign:
                return option
    field = "decimal_char" if found.format.kind == "number" else "format"
    values = [
        option.decimal if field == "decimal_char" else option.time_format for option in options
    ]
    raise TableFileError(
        "undecided_format",
        f"The column {name!r}",
        f"can be read in more than one way: every value fits {' and '.join(map(repr, values))}",
        f"Declare the right one, such as: [columns.{json.dumps(name, ensure_ascii=False)}] "
        f"{field} = {values[0]!r}.",
    )


def _require_declared(declaration: Declaration, raw: RawTable) -> None:
    for name in declaration.columns:
        if name not in raw.columns:
            near = difflib.get_close_matches(name, raw.names, 1)
            raise TableFileError(
                "unknown_column",
                f"The column {name!r}",
                f"is declared, and {raw.files[0]} has none of this name",
                f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(raw.names)}.",
            )


def source_files(
    declaration: Declaration, partition: str | None = None, *, variant: str | None = None
) -> list[str]:
    """Return the files of a dataset, in the order of their names.

    Parameters
    ----------
    partition
        Partition whose files are wanted, where the source has ``{partition}``; all by default.
    variant
        Variant whose source is meant, if it has one of its own.

    Raises
    ------
    TableFileError
        If there is none, the source is a web address with a ``*``, which no server lists, or it is
        ``package://name/path`` of a package that is not installed.
    """
    source = declaration.source_of(variant)
    if not isinstance(source, str):
        raise TableFileError(
            "missing_file",
            f"The source {source}",
            "is of a database, and has no files",
            "Read its partitions instead.",
        )
    pattern = glob_of(source, partition)
    if pattern.startswith(_OF_PACKAGE):
        pattern = _in_package(pattern)
    if "*" not in pattern:
        path = UPath(pattern)
        inner = sorted(map(str, path.iterdir())) if path.is_dir() else [pattern]
        return _required(inner, pattern)
    protocol, mark, rest = pattern.rpartition("://")
    if protocol in {"http", "https"}:
        raise TableFileError(
            "missing_file",
            f"The source {source!r}",
            "is a web address with a pattern, and web servers list no files",
            "Name one file, or put the files into a folder or into s3://.",
        )
    first, *parts = rest.split("/")
    if "*" in first:
        first, parts = ".", [first, *parts]
    matching = _matching(UPath(f"{protocol}{mark}{first or '/'}"), parts)
    found = sorted(str(each) for each in matching if each.is_file())
    if partition is not None and PARTITION not in source and holds_key(source):
        found = [each for each in found if key_in(source, each, declaration.partition) == partition]
    return _required(found, pattern)


def _in_package(address: str) -> str:
    """Return the path of ``package://name/path``: a file that an installed package holds.

    Raises
    ------
    TableFileError
        If the package is not installed.
    """
    name, _, path = address.removeprefix(_OF_PACKAGE).partition("/")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise TableFileError(
            "missing_file",
            f"The source {address!r}",
            f"names the package {name}, which is not installed",
            f"Install it: pip install {name}.",
        )
    return str(Path(found.submodule_search_locations[0]) / path)


def _matching(folder: UPath, parts: Sequence[str]) -> Iterator[UPath]:
    """Yield what lies below a folder by the parts of a path, in which ``*`` is any text."""
    if not parts:
        yield folder
        return
    first, *rest = parts
    if "*" not in first:
        if (folder / first).exists():
            yield from _matching(folder / first, rest)
        return
    pattern = re.compile(".*".join(map(re.escape, first.split("*"))), re.DOTALL)
    # The listing of a folder that a store's client has cached may be old.
    folder.fs.invalidate_cache(folder.path)
    for inner in folder.iterdir() if folder.is_dir() else ():
        hidden = inner.name.startswith(".") and not first.startswith(".")
        if pattern.fullmatch(inner.name) and not hidden:
            yield from _matching(inner, rest)


def _required(files: list[str], pattern: str) -> list[str]:
    if not files:
        raise TableFileError(
            "missing_file", f"The source {pattern!r}", "has no files", "Check the path."
        )
    return files

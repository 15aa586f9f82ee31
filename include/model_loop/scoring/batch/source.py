"""The bytes of a file that is scored: its kind, and where its rows are read from.

A packed file, and a text whose characters are of several bytes each, are copied once as plain text
in UTF-8: chunks are cut at bytes. Any other file is read where it is.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import msgspec
import pyarrow as pa
from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import DialectDeclaration
from model_loop.errors import InvalidInputError
from model_loop.objects.files import LOCAL_PROTOCOLS, atomic_write
from model_loop.scoring.batch.rows import Columns
from model_loop.scoring.opening import open_input
from model_loop.scoring.paths import KINDS, kind_of_name
from model_loop.tables import delimited, json_lines, typed
from model_loop.tables.lines import BLOCK
from model_loop.tables.opening import (
    Compression,
    FileKind,
    TextEncoding,
    Utf8Stream,
    find_encoding,
    kind_of,
    unpacked,
)
from model_loop.tables.typed import TypedFile, is_typed

#: Bytes that say of which kind a file is.
_BEGIN = 2**12
_UTF8 = "utf-8"


@dataclass(frozen=True)
class Rows:
    """Address of the rows of a file, and how they are written.

    Parameters
    ----------
    kind
        Format of the file.
    address
        File that they are read from: the input itself, or its plain copy.
    encoding
        Encoding of a text, of one byte for each character or UTF-8.
    mark
        Number of bytes of the byte-order mark at its beginning.
    """

    kind: FileKind
    address: str
    encoding: str = _UTF8
    mark: int = 0


def name_of(path: UPath) -> str:
    """Return the name of a file in errors."""
    return f"Input {path}"


@contextlib.contextmanager
def _plain(path: UPath) -> Iterator[tuple[IO[bytes], Compression]]:
    with open_input(path) as file, unpacked(file, str(path)) as plain:
        yield plain


def _look(path: UPath, dataset: Dataset | None) -> tuple[FileKind, Compression, TextEncoding]:
    """Return kind, packing and encoding of a file.

    Raises
    ------
    InvalidInputError
        If it holds no table, is of another kind than its name says, or is a text in no encoding.
    """
    with _plain(path) as (file, compression):
        kind = kind_of(file.read(_BEGIN), str(path))
    named = kind_of_name(path)
    # A text without any object may be JSON lines that are all damaged.
    if named != kind and not (named == "json_lines" and kind == "csv"):
        raise InvalidInputError(
            name_of(path),
            f"holds {KINDS[kind]}, and its name says {KINDS.get(named or kind, 'nothing')}",
            "Give it the ending of what it holds, or save it again.",
        )
    if is_typed(kind):
        return kind, compression, TextEncoding(_UTF8)
    with _plain(path) as (file, _):
        return named or kind, compression, find_encoding(file, _encoding(dataset), str(path))


def _encoding(dataset: Dataset | None) -> str | None:
    return dataset.declaration.encoding if dataset and dataset.declaration else None


def dialect_of(dataset: Dataset | None) -> DialectDeclaration:
    """Return the declared marks of a dataset's texts."""
    return dataset.declaration.dialect if dataset and dataset.declaration else DialectDeclaration()


def columns_of(path: UPath, dataset: Dataset | None = None) -> list[str]:
    """Return the names of a file's columns.

    Parameters
    ----------
    dataset
        Dataset whose declared encoding and dialect the file has; what its bytes say by default.

    Raises
    ------
    InvalidInputError
        If it cannot be read.
    """
    kind, _, encoding = _look(path, dataset)
    with _plain(path) as (file, _):
        if is_typed(kind):
            return list(TypedFile(file, kind, name_of(path)).schema.names)
        stream = Utf8Stream(file, encoding)
        if kind == "json_lines":
            return list(json_lines.names_of(stream))
        return list(delimited.read_header(stream, dialect_of(dataset), name_of(path)).names)


def read_output(path: UPath, dataset: Dataset) -> Columns:
    """Read all rows of a file that was scored, whatever its format: as its texts and types are.

    Raises
    ------
    InvalidInputError
        If it cannot be read, or a row of it cannot.
    """
    kind, _, encoding = _look(path, dataset)
    with _plain(path) as (file, _):
        if is_typed(kind):
            blocks = [*typed.read_blocks(file, kind, name_of(path))]
        elif kind == "json_lines":
            stream = Utf8Stream(file, encoding)
            lines = [
                line for block in json_lines.line_blocks(stream.read) for line in block.lines()
            ]
            return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
        else:
            stream = Utf8Stream(file, encoding)
            # Batches name the columns of an output, also where the input did not.
            dialect = dialect_of(dataset).model_copy(update={"header": True})
            header = delimited.read_header(stream, dialect, name_of(path))
            blocks = [*delimited.read_blocks(stream, header, name_of(path))]
    for block in blocks:
        for row, reason in block.rejected.items():
            raise InvalidInputError(name_of(path), f"row {row}: {reason}", "Score its input again.")
    return {
        name: pa.chunked_array([block.columns[name] for block in blocks]).combine_chunks()
        for name in (blocks[0].columns if blocks else ())
    }


def prepare_source(path: UPath, folder: UPath, dataset: Dataset) -> Rows:
    """Return where the rows of a file are, and copy it as plain text if it has to be.

    Parameters
    ----------
    folder
        Folder of the copy; one that is there is complete.

    Raises
    ------
    InvalidInputError
        If it cannot be read.
    """
    kind, compression, encoding = _look(path, dataset)
    if compression == "none" and (encoding.name == _UTF8 or _is_of_single_bytes(encoding.name)):
        return Rows(kind, str(path), encoding.name, encoding.mark)
    copy = folder / f"rows.{kind}"
    if not copy.exists():
        with _plain(path) as (file, _), atomic_write(copy) as partial, partial.open("wb") as output:
            if is_typed(kind):
                shutil.copyfileobj(file, output, BLOCK)
            else:
                stream = Utf8Stream(file, encoding)
                while data := stream.read(BLOCK):
                    output.write(data)
    return Rows(kind, str(copy))


def _is_of_single_bytes(encoding: str) -> bool:
    """Return whether each byte is a character, and those of ASCII are ASCII's."""
    ascii_only = bytes(range(128))
    return (
        ascii_only.decode(encoding, "replace") == ascii_only.decode("ascii")
        and len(bytes(range(256)).decode(encoding, "replace")) == 256  # noqa: PLR2004 - bytes
    )


@contextlib.contextmanager
def open_typed(rows: Rows) -> Iterator[TypedFile]:
    """Open a typed file to be read as a stream.

    Raises
    ------
    InvalidInputError
        If it is damaged, or names a column twice.
    """
    path = UPath(rows.address)
    local = path.protocol in LOCAL_PROTOCOLS
    with (
        open_input(path) as opened,
        # Arrow reads a file of its own without waiting for the interpreter.
        pa.OSFile(f"/dev/fd/{opened.fileno()}")
        if local
        else contextlib.nullcontext(opened) as file,
    ):
        assert is_typed(rows.kind)
        yield TypedFile(file, rows.kind, name_of(path))


@contextlib.contextmanager
def open_bytes(rows: Rows, first: int, last: int | None = None) -> Iterator[Callable[[int], bytes]]:
    """Open the bytes of a text between two places, and yield what reads the next ones."""
    with open_input(UPath(rows.address)) as file:
        left = (file.seek(0, 2) if last is None else last) - first
        file.seek(first)

        def read(count: int) -> bytes:
            nonlocal left
            data = file.read(min(count, left))
            left -= len(data)
            return data

        yield read

"""The bytes of a file: opened wherever it lies, unpacked, and as UTF-8."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal, cast

from upath import UPath

from model_loop.tables.lines import BLOCK
from model_loop.tables.refused import TableFileError

Compression = Literal["none", "gzip", "zip"]
FileKind = Literal["csv", "parquet", "arrow", "json_lines"]

#: First bytes of files that are no text, and their names.
_TYPED: dict[bytes, FileKind] = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
}
_OTHERS = {
    b"\xd0\xcf\x11\xe0": ("is an Excel workbook", "Save its sheet as CSV in UTF-8."),
    b"%PDF": ("is a PDF document", "Give the table as CSV."),
    b"version https://git-lfs": (
        "is a pointer of Git LFS, not the file itself",
        "Fetch the file with: git lfs pull.",
    ),
    b"7z\xbc\xaf": ("is a 7z archive", "Unpack it, or pack it with gzip."),
    b"BZh": ("is packed with bzip2", "Unpack it, or pack it with gzip."),
    b"\xfd7zXZ": ("is packed with xz", "Unpack it, or pack it with gzip."),
    b"\x28\xb5\x2f\xfd": ("is packed with Zstandard", "Unpack it, or pack it with gzip."),
    b"SQLite format 3": ("is a SQLite database", "Export the table as CSV."),
}
_PAGES = (b"<!doctype", b"<html", b"<?xml")
#: Byte-order marks, the longer ones first: that of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
#: Bytes that stand for no character in cp1252.
_NOT_CP1252 = tuple(bytes([byte]) for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D))
_UTF8, _FALLBACK = "utf-8", "cp1252"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


@dataclass(frozen=True)
class TextEncoding:
    """The encoding of a text.

    Parameters
    ----------
    name
        Name of Python's codec.
    mark
        Number of bytes of the byte-order mark at its beginning.
    assumed
        Why it was assumed; empty where a mark, the declaration or every byte says so.
    """

    name: str
    mark: int = 0
    assumed: str = ""


@contextlib.contextmanager
def open_unpacked(address: str) -> Iterator[tuple[IO[bytes], Compression]]:
    """Open a file, local or in a store, and unpack it if it is packed.

    Raises
    ------
    TableFileError
        If there is none, it is damaged, or an archive holds several files.
    """
    path = UPath(address)
    try:
        with path.open("rb") as file, unpacked(file, address) as plain:
            yield plain
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise TableFileError(
            "missing_file", f"The file {address}", "is not there", "Check the path."
        ) from error


@contextlib.contextmanager
def unpacked(file: IO[bytes], address: str) -> Iterator[tuple[IO[bytes], Compression]]:
    """Unpack an open file if it is packed.

    Raises
    ------
    TableFileError
        If it is damaged, or an archive holds several files.
    """
    try:
        begin = file.read(4)
        file.seek(0)
        if begin.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as plain:
                yield cast("IO[bytes]", plain), "gzip"
        elif begin.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(file) as archive, archive.open(_member(archive, address)) as one:
                yield one, "zip"
        else:
            yield file, "none"
    except _DAMAGED as error:
        raise TableFileError(
            "damaged",
            f"The file {address}",
            f"is damaged, or was cut off ({error})",
            "Fetch or write it again.",
        ) from error


def _member(archive: zipfile.ZipFile, address: str) -> str:
    names = [
        each.filename
        for each in archive.infolist()
        if not each.is_dir() and not each.filename.startswith("__MACOSX/")
    ]
    if "[Content_Types].xml" in names:
        raise TableFileError(
            "no_table",
            f"The file {address}",
            "is a workbook or document of an office program",
            "Save its sheet as CSV in UTF-8.",
        )
    if len(names) != 1:
        shown = ", ".join(sorted(names)[:5])
        raise TableFileError(
            "no_table",
            f"The archive {address}",
            f"holds {len(names)} files ({shown})" if names else "holds no file",
            "Give an archive of one file, or unpack it and name the files.",
        )
    return names[0]


def kind_of(begin: bytes, address: str) -> FileKind:
    """Return the kind of a file by its first bytes.

    Raises
    ------
    TableFileError
        If it is of a kind that holds no table, or none that is read.
    """
    for mark, kind in _TYPED.items():
        if begin.startswith(mark):
            return kind
    for mark, (rule, remedy) in _OTHERS.items():
        if begin.startswith(mark):
            raise TableFileError("no_table", f"The file {address}", rule, remedy)
    text = begin.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:16].lower().startswith(_PAGES):
        raise TableFileError(
            "no_table",
            f"The file {address}",
            "is a web page or XML document",
            "Download the table itself, as CSV or Parquet.",
        )
    if text.startswith(b"[") and text[1:].lstrip().startswith(b"{"):
        raise TableFileError(
            "no_table",
            f"The file {address}",
            "is a JSON list",
            "Write each object on a line of its own, without brackets and commas (JSON lines).",
        )
    return "json_lines" if text.startswith(b"{") and b'"' in text[:200] else "csv"


def find_encoding(file: IO[bytes], declared: str | None, address: str) -> TextEncoding:
    """Return the encoding of a text, of which every byte is looked at.

    UTF-8 and the byte-order marks of Unicode are certain. Any other text is taken for cp1252, which
    has a character for nearly every byte, and is said to be so.

    Parameters
    ----------
    declared
        Encoding that the declaration names; it wins, and has to fit.

    Raises
    ------
    TableFileError
        If the declared encoding is unknown or does not fit, or the bytes are no text. The first
        byte that does not fit is named with its line.
    """
    begin = file.read(BLOCK)
    marked = next((mark for mark in _MARKS if begin.startswith(mark)), b"")
    name = _MARKS.get(marked, _UTF8) if declared is None else _codec(declared, address)
    # A declared UTF-16 decides on its own by the mark.
    mark = len(marked) if marked and _MARKS[marked].startswith(name) else 0
    name = _MARKS[marked] if mark else name
    fallback = declared is None and not marked
    check = _DecodingCheck(name, address, fallback=fallback)
    data = begin[mark:]
    while data:
        check.add(data)
        data = file.read(BLOCK)
    return check.encoding(mark)


class _DecodingCheck:
    """Decodes a text piece by piece, and remembers the first byte that does not fit."""

    def __init__(self, name: str, address: str, *, fallback: bool) -> None:
        self._decoder = codecs.getincrementaldecoder(name)("strict")
        self._name, self._address, self._fallback = name, address, fallback
        self._bytes = self._lines = 0
        self._problem = ""
        self._cp1252 = True

    def add(self, data: bytes) -> None:
        """Check some more bytes."""
        if b"\0" in data and not self._name.startswith(("utf-16", "utf-32")):
            line = self._lines + 1 + data[: data.index(0)].count(b"\n")
            raise self._refused(
                f"holds the byte 0 (line {line:,}): it is no text, or text in UTF-16 without a "
                "byte-order mark",
                "Save it as CSV in UTF-8, or declare its encoding, such as utf-16-le.",
            )
        if not self._problem:
            self._decode(data, final=False)
        if self._problem and self._fallback:
            self._cp1252 &= not any(byte in data for byte in _NOT_CP1252)
        self._bytes += len(data)
        self._lines += data.count(b"\n")

    def _decode(self, data: bytes, *, final: bool) -> None:
        if self._name == _UTF8 and data.isascii() and not self._decoder.getstate()[0]:
            return
        pending = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            place = max(0, error.start - pending)
            byte = error.object[error.start]
            line = self._lines + data[:place].count(b"\n") + 1
            self._problem = (
                f"byte {self._bytes + error.start - pending + 1:,} (0x{byte:02x}, line {line:,})"
            )
            if not self._fallback:
                raise self._refused(
                    f"is not in {self._name}: {self._problem} does not fit ({error.reason})",
                    "Declare the encoding that it is in, such as encoding = 'cp1252', or save it "
                    "in UTF-8.",
                ) from error

    def encoding(self, mark: int) -> TextEncoding:
        """Return the encoding that fits every byte."""
        if not self._problem:
            self._decode(b"", final=True)
        if not self._problem:
            return TextEncoding(self._name, mark)
        if not self._cp1252:
            raise self._refused(
                f"is neither in UTF-8 ({self._problem}) nor in cp1252",
                "Declare its encoding, such as encoding = 'latin-1', or save it in UTF-8.",
            )
        return TextEncoding(_FALLBACK, 0, f"{self._problem} is not UTF-8")

    def _refused(self, rule: str, remedy: str) -> TableFileError:
        return TableFileError("encoding", f"The file {self._address}", rule, remedy)


def _codec(name: str, address: str) -> str:
    try:
        found = codecs.lookup(name)
    except LookupError as error:
        raise TableFileError(
            "encoding",
            f"The encoding {name!r} of {address}",
            "is unknown to Python",
            "Name one such as utf-8, cp1252, latin-1 or utf-16.",
        ) from error
    return "utf-8" if found.name == "utf-8-sig" else found.name


class Utf8Stream:
    """A text in any encoding, read as UTF-8.

    Parameters
    ----------
    file
        The file, at its beginning.
    encoding
        Its encoding, as `find_encoding` says.
    """

    def __init__(self, file: IO[bytes], encoding: TextEncoding) -> None:
        self._file = file
        file.read(encoding.mark)
        self._decoder = None
        if encoding.name != _UTF8:
            self._decoder = codecs.getincrementaldecoder(encoding.name)("strict")

    def read(self, count: int) -> bytes:
        """Return about so many bytes more; none at the end."""
        while data := self._file.read(count):
            if self._decoder is None:
                return data
            if text := self._decoder.decode(data):
                return text.encode()
        return b""

"""A look at a file that was sent, by a process of its own: ``… serving.batches.inspection``.

A file may be made to take memory without end, or to break a reader. The process has bounds, and the
server does not read a byte of what is in the file.
"""

from __future__ import annotations

import os
import resource
import sys
import zipfile
from pathlib import Path
from typing import IO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.serving.batches.limits import SENT, FileBounds, FileInspection, InspectionAnswer
from model_loop.tables.lines import BLOCK
from model_loop.tables.opening import kind_of, unpacked
from model_loop.tables.typed import TypedFile, is_typed, reading

_BEGIN = 2**12
_NICENESS = 10


def look_at(path: Path, bounds: FileBounds) -> FileInspection:
    """Return the contents of a file, as far as they are visible without reading rows.

    Raises
    ------
    ModelLoopError
        If it holds no table, is damaged, or would hold more than may be scored.
    """
    with path.open("rb") as file:
        _require_declared(file, bounds)
        file.seek(0)
        with unpacked(file, "sent") as (plain, compression):
            kind = kind_of(begin := plain.read(_BEGIN), "sent")
            if not is_typed(kind):
                return FileInspection(kind, compression, _lines(plain, begin, bounds))
    if compression != "none":
        raise InvalidInputError(
            SENT, f"is packed and holds {kind}", "Send it as it is: it is compressed inside."
        )
    with pa.OSFile(str(path)) as opened:
        if kind == "parquet":
            with reading("sent"):
                metadata = pq.read_metadata(opened)
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            _require_bytes(sum(max(one.total_byte_size, 0) for one in groups), bounds)
            _require_rows(sum(max(one.num_rows, 0) for one in groups), bounds)
            opened.seek(0)
        rows = sum(TypedFile(opened, kind, "sent").groups())
    _require_rows(rows, bounds)
    return FileInspection(kind, compression, rows)


def _require_declared(file: IO[bytes], bounds: FileBounds) -> None:
    """Refuse an archive by what it says of itself, before anything is unpacked."""
    begin = file.read(4)
    if begin.startswith(b"\x1f\x8b"):
        file.seek(-4, os.SEEK_END)
        if int.from_bytes(file.read(4), "little") > bounds.unpacked:
            raise InvalidInputError(
                SENT,
                f"says at its end that it holds more than {bounds.unpacked:,} bytes when it is "
                "unpacked, or was cut off",
                "Write it again, or send parts.",
            )
    elif begin.startswith(b"PK\x03\x04") and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            _require_bytes(sum(one.file_size for one in archive.infolist()), bounds)


def _lines(file: IO[bytes], begin: bytes, bounds: FileBounds) -> int | None:
    """Count the lines of a text to its end, or to the bound.

    A header or a quoted end of line is counted too, so that the number is a bound alone.
    """
    size, lines, data = len(begin), begin.count(b"\n"), begin
    while data:
        data = file.read(BLOCK)
        size, lines = size + len(data), lines + data.count(b"\n")
        _require_bytes(size, bounds)
        _require_rows(lines - 1, bounds)
    return None


def _require_bytes(size: int, bounds: FileBounds) -> None:
    if size > bounds.unpacked:
        raise InvalidInputError(
            SENT, f"holds more than {bounds.unpacked:,} bytes when it is unpacked", "Send parts."
        )


def _require_rows(rows: int, bounds: FileBounds) -> None:
    if rows > bounds.rows:
        raise InvalidInputError(SENT, f"holds more than {bounds.rows:,} rows", "Send parts.")


def main() -> None:
    """Look at the file that is named, within the bounds on the standard input."""
    bounds = msgspec.json.decode(sys.stdin.buffer.read(), type=FileBounds)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (bounds.memory, bounds.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (int(bounds.seconds), int(bounds.seconds)))
    try:
        answer = InspectionAnswer(looked=look_at(Path(sys.argv[1]), bounds))
    except ModelLoopError as error:
        answer = InspectionAnswer(error=error.fields())
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()

"""Assumptions and omissions of the reader of files, for the draft: findings, and keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from model_loop.drafting.text import Value
from model_loop.findings import Finding
from model_loop.tables.raw import RawTable
from model_loop.tables.refused import NoteCode

_CODES: Mapping[NoteCode, str] = {"encoding_assumed": "encoding", "rows_rejected": "rejected_rows"}
#: Rejected rows that are named.
_NAMED = 3


def reading_findings(raw: RawTable, partitions: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about how files were read.

    Parameters
    ----------
    partitions
        Partition of each file.
    """
    for note in raw.notes:
        code = _CODES.get(note.code, note.code)
        yield Finding(code, None, partitions[note.file], "warning", note.message, note.remedy)
    for file in raw.files:
        rejected = [row for row in raw.rejected if row.file == file]
        if rejected:
            named = "; ".join(f"row {each.row} {each.reason}" for each in rejected[:_NAMED])
            yield Finding(
                "rejected_rows",
                None,
                partitions[file],
                "warning",
                f"{len(rejected):,} rows of {file} cannot be read and are left out: {named}.",
                "Correct them in the file, or leave them out.",
            )


def file_keys(raw: RawTable) -> dict[str, tuple[Value, str]]:
    """Return the keys of the declaration that the files need to be read again as they were."""
    encodings = {each.encoding for each in raw.formats if each.kind in {"csv", "json_lines"}}
    if len(encodings) == 1 and encodings != {"utf-8"}:
        return {"encoding": (encodings.pop(), "no byte is UTF-8")}
    return {}


def dialect_keys(raw: RawTable) -> dict[str, tuple[Value, str]]:
    """Return the keys of the dialect, of files of text."""
    delimiters = {each.delimiter for each in raw.formats if each.delimiter}
    keys: dict[str, tuple[Value, str]] = {}
    if len(delimiters) == 1 and delimiters != {","}:
        keys["delimiter"] = (delimiters.pop(), "")
    if not all(each.header for each in raw.formats):
        keys["header"] = (False, "")
    return keys

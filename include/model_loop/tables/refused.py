"""Refusals of files that cannot be read, and remarks on those that had to be interpreted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model_loop.errors import InvalidInputError

RefusalCode = Literal[
    "column_twice",
    "conflict_markers",
    "damaged",
    "different_columns",
    "encoding",
    "missing_file",
    "no_rows",
    "no_table",
    "one_column_read",
    "rows_of_other_width",
    "undecided_format",
    "unknown_column",
]
NoteCode = Literal[
    "blank_rows",
    "column_twice",
    "encoding_assumed",
    "header_of_numbers",
    "lines_above_header",
    "rows_rejected",
    "units_row",
]


class TableFileError(InvalidInputError):
    """A file cannot be read as a table.

    Parameters
    ----------
    code
        Name of the rule that it breaks, for machines.
    given, rule, remedy
        See `ModelLoopError`.
    """

    def __init__(self, code: RefusalCode, given: str, rule: str, remedy: str) -> None:
        super().__init__(given, rule, remedy)
        self.code = code


@dataclass(frozen=True)
class ReadingNote:
    """A remark on how a file was read, where its reader had to assume something.

    Parameters
    ----------
    code
        Name of the kind of remark, for machines.
    file
        Address of the file.
    message
        The remark, as a sentence.
    remedy
        Remedy, as a sentence.
    """

    code: NoteCode
    file: str
    message: str
    remedy: str

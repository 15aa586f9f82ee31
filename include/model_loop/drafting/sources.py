"""The address of a dataset's files, from the names of the files that were given."""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_loop.datasets.addresses import PARTITION
from model_loop.datasets.declaration import DatabaseSource
from model_loop.errors import InvalidInputError

#: Partition of a finding about all rows.
WHOLE = "whole"
#: Keys of partitions as they stand in names of files, the longer ones first.
_KEYS = (
    ("day", re.compile(r"\d{4}-\d{2}-\d{2}")),
    ("week", re.compile(r"\d{4}-W\d{2}")),
    ("month", re.compile(r"\d{4}-\d{2}(?!\d)")),
)


@dataclass(frozen=True)
class FilePattern:
    """The address of the files of a dataset.

    Parameters
    ----------
    source
        Path, with ``{partition}`` or ``*`` where there are several files; or the table or query of
        a database of which the files are a sample.
    partition
        Partition that each file is; None where a file is none.
    stem
        Name of the files without what differs, of which the dataset's name is made.
    sampled
        What the rows are a sample of, for people; empty where they are all.
    """

    source: str | DatabaseSource
    partition: str | None
    stem: str
    sampled: str = ""


def partitions_of(files: Sequence[str], partition: str | None) -> dict[str, str]:
    """Return the partition of each file, for findings: its key, or the name of the file."""
    key = dict(_KEYS).get(partition or "")
    found = {}
    for file in files:
        name = file.rsplit("/", 1)[-1]
        match = key.search(name) if key else None
        found[file] = match[0] if match else name if len(files) > 1 else WHOLE
    return found


def file_pattern(files: Sequence[str], folder: Path) -> FilePattern:
    """Return the address of some files, relative to the folder of the declaration.

    Raises
    ------
    InvalidInputError
        If they have nothing in common that a pattern could say.
    """
    given = [_relative(file, folder) for file in files]
    for partition, key in _KEYS:
        replaced = {key.sub(PARTITION, each) for each in given}
        if len(replaced) == 1 and all(len(key.findall(each)) == 1 for each in given):
            source = replaced.pop()
            if PARTITION in source and len(given) > 1:
                return FilePattern(source, partition, _stem(source.replace(PARTITION, "")))
    if len(given) == 1:
        return FilePattern(given[0], None, _stem(given[0]))
    begin = _common(given)
    end = _common([each[len(begin) :][::-1] for each in given])[::-1]
    source = f"{begin}*{end}"
    if not fnmatch.fnmatch(given[0], source) or "/" in "".join(
        each[len(begin) : len(each) - len(end)] for each in given
    ):
        raise InvalidInputError(
            f"The files {', '.join(files[:3])}",
            "lie in different folders or have names without a common pattern",
            "Put them into one folder, with names such as table-2024-01.csv.",
        )
    return FilePattern(source, None, _stem(source.replace("*", "")))


def _common(texts: Sequence[str]) -> str:
    """Return the letters with which all texts begin."""
    first, last = min(texts), max(texts)
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in shared)


def _relative(file: str, folder: Path) -> str:
    """Return an address as it is, and a relative path from the folder of the declaration."""
    if "://" in file or Path(file).is_absolute():
        return file
    return Path(os.path.relpath(file, folder)).as_posix()


def _stem(source: str) -> str:
    name = source.rsplit("/", 1)[-1]
    while (bare := Path(name).stem) != name:
        name = bare
    return name.strip("-_. ")

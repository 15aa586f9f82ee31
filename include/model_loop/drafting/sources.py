"""The address of a dataset's files, from the names of the files that were given."""

from __future__ import annotations

import fnmatch
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_loop.datasets.addresses import (
    KEYS,
    PARTITION,
    common_ends,
    folder_pattern,
    key_of_folders,
)
from model_loop.datasets.declaration import DatabaseSource
from model_loop.errors import InvalidInputError

#: Partition of a finding about all rows.
WHOLE = "whole"


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
        Description of what the rows are a sample of; empty where they are all.
    """

    source: str | DatabaseSource
    partition: str | None
    stem: str
    sampled: str = ""


def partitions_of(files: Sequence[str], partition: str | None) -> dict[str, str]:
    """Return the partition of each file, for findings: its key, or the name of the file."""
    key = dict(KEYS).get(partition or "")
    found = {}
    for file in files:
        name = file.rsplit("/", 1)[-1]
        match = key.search(name) if key else None
        folders = key_of_folders(file, partition) if partition and key else None
        found[file] = folders or (match[0] if match else name if len(files) > 1 else WHOLE)
    return found


def hive_files(folder: str) -> list[str]:
    """Return all files below a folder of Hive, ``name=value``; nothing if it is none."""
    if "://" in folder or not any("=" in each.name for each in Path(folder).glob("*/")):
        return []
    below = (path for path in Path(folder).rglob("*") if path.is_file())
    # Folders of engines hold marks such as _SUCCESS, and files that are not whole yet.
    return sorted(path.as_posix() for path in below if not path.name.startswith(("_", ".")))


def file_pattern(files: Sequence[str], folder: Path) -> FilePattern:
    """Return the address of some files, relative to the folder of the declaration.

    Raises
    ------
    InvalidInputError
        If they have nothing in common that a pattern could say.
    """
    given = [_relative(file, folder) for file in files]
    if hive := folder_pattern(given):
        source, partition = hive
        before = itertools.takewhile(lambda folder: "=" not in folder, source.split("/"))
        return FilePattern(source, partition, _stem("/".join(before)))
    for partition, key in KEYS:
        replaced = {key.sub(PARTITION, each) for each in given}
        if len(replaced) == 1 and all(len(key.findall(each)) == 1 for each in given):
            source = replaced.pop()
            if PARTITION in source and len(given) > 1:
                return FilePattern(source, partition, _stem(source.replace(PARTITION, "")))
    if len(given) == 1:
        return FilePattern(given[0], None, _stem(given[0]))
    begin, end = common_ends(given)
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

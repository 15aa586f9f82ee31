"""Addresses of partitions: where the key of a partition stands in the pattern of a source.

It is ``{partition}``, or its parts as folders of Hive have them: ``year={year}/month={month}``.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

#: Place of the key of a partition in the address of its files.
PARTITION = "{partition}"
#: Parts of the keys of a kind of partition, in their order, and the text between two of them.
_PARTS: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "month": (("year", "month"), "-"),
        "week": (("year", "week"), "-W"),
        "day": (("year", "month", "day"), "-"),
    }
)
#: Keys of partitions as they stand in addresses, the longer ones first.
KEYS = (
    ("day", re.compile(r"\d{4}-\d{2}-\d{2}")),
    ("week", re.compile(r"\d{4}-W\d{2}")),
    ("month", re.compile(r"\d{4}-\d{2}(?!\d)")),
)
_NAMES = ("year", "month", "week", "day")
_DIGITS: Mapping[str, int] = MappingProxyType({"year": 4, "month": 2, "week": 2, "day": 2})
# Folders of the key of a partition say no value of a column.
_FOLDER_KEY = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?!\{)(?P<value>[^/=?]*)")


def holds_key(source: str) -> bool:
    """Return whether each partition has files of its own."""
    return PARTITION in source or bool(_named(source))


def mistake_of_key(source: str, kind: str) -> str:
    """Return what is wrong with the parts of a key in a source; empty if nothing is."""
    named = _named(source)
    wanted = _PARTS.get(kind, ((), ""))[0]
    if not named or set(named) == set(wanted):
        return ""
    if PARTITION in source or not wanted:
        return f"has {{{named[0]}}} besides {PARTITION}, or no partitions"
    return f"has other parts than {' and '.join(f'{{{name}}}' for name in wanted)} of a {kind}"


def folder_pattern(addresses: Sequence[str]) -> tuple[str, str | None] | None:
    """Return the source of files in folders of Hive, and the partition that each folder is.

    Folders that say the key of a partition, or its parts, become its place; others whose values
    differ become ``*``, and so do the differing names of files.

    Parameters
    ----------
    addresses
        Addresses of all files.

    Returns
    -------
    None if they lie in no such folders, or at different depths; the partition is None if no folder
    says one.
    """
    levels = [*zip(*(address.split("/")[:-1] for address in addresses), strict=False)]
    if len({address.count("/") for address in addresses}) > 1:
        return None
    keys = [[_FOLDER_KEY.fullmatch(folder) for folder in level] for level in levels]
    names = [{match["name"] if match else "" for match in level} for level in keys]
    named = [level.pop() if len(level) == 1 else "" for level in names]
    partition = next(
        (kind for kind, (parts, _) in reversed([*_PARTS.items()]) if {*parts} <= {*named}), None
    )
    parts = _PARTS[partition][0] if partition else ()
    pattern = []
    for name, level in zip(named, levels, strict=True):
        values = {folder.partition("=")[2] for folder in level}
        if name in parts:
            pattern.append(f"{name}={{{name}}}")
        elif name and partition is None and (kind := kind_of_keys(values)):
            partition = kind
            pattern.append(f"{name}={PARTITION}")
        elif len({*level}) == 1:
            pattern.append(level[0])
        elif name:
            pattern.append(f"{name}=*")
        else:
            return None
    if not any(named):
        return None
    files = {address.rpartition("/")[2] for address in addresses}
    pattern.append("*".join(common_ends([*files])) if len(files) > 1 else files.pop())
    return "/".join(pattern), partition


def kind_of_keys(values: Collection[str]) -> str | None:
    """Return the kind of partition of which all of these are keys; None if there is none."""
    return next((kind for kind, key in KEYS if all(key.fullmatch(it) for it in values)), None)


def key_of_folders(address: str, kind: str) -> str | None:
    """Return the key of a partition that the folders of a file say; None if they say none."""
    values = folder_values(address)
    names, between = _PARTS[kind]
    if {*names} <= {*values}:
        return between.join(values[name].zfill(_DIGITS[name]) for name in names)
    key = dict(KEYS)[kind]
    return next((value for value in values.values() if key.fullmatch(value)), None)


def common_ends(texts: Sequence[str]) -> tuple[str, str]:
    """Return the letters with which all texts begin, and with which what follows them ends."""
    begin = _common(texts)
    return begin, _common([each[len(begin) :][::-1] for each in texts])[::-1]


def _common(texts: Sequence[str]) -> str:
    pairs = zip(min(texts), max(texts), strict=False)
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    return "".join(letter for letter, _ in shared)


def glob_of(source: str, key: str | None = None) -> str:
    """Return the pattern of the files of a partition, or of all; see `key_in`.

    A number of a folder may be written with or without zeros, so that it is looked for.
    """
    for name in _NAMES:
        source = source.replace(f"{{{name}}}", "*")
    return source.replace(PARTITION, "*" if key is None else key)


def key_in(source: str, address: str, kind: str) -> str | None:
    """Return the key of the partition of a file; None if its address is not of the pattern."""
    found = _pattern(source).fullmatch(address)
    if found is None:
        return None
    if PARTITION in source:
        return found["partition"]
    names, between = _PARTS[kind]
    return between.join(found[name].zfill(_DIGITS[name]) for name in names)


def folder_keys(source: str) -> tuple[str, ...]:
    """Return the names of columns whose values are in the names of folders: ``region=*``."""
    return tuple(found["name"] for found in _FOLDER_KEY.finditer(source.partition("?")[0]))


def folder_values(address: str) -> dict[str, str]:
    """Return the values that the folders of a file say, by the names of their columns."""
    return {
        match["name"]: match["value"]
        for part in address.split("/")[:-1]
        if (match := _FOLDER_KEY.fullmatch(part))
    }


def _named(source: str) -> list[str]:
    return [name for name in _NAMES if f"{{{name}}}" in source]


@functools.lru_cache(maxsize=64)
def _pattern(source: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{partition\}|\{year\}|\{month\}|\{week\}|\{day\}|\*)", source)
    text, seen = "", set[str]()
    for piece in pieces:
        name = piece[1:-1]
        if piece == "*":
            text += "[^/]*"
        elif piece == PARTITION and name not in seen:
            text += "(?P<partition>.+)"
        elif name in _DIGITS and piece == f"{{{name}}}" and name not in seen:
            text += rf"(?P<{name}>\d{{1,{_DIGITS[name]}}})"
        else:
            text += rf"(?P={name})" if name in seen else re.escape(piece)
        if piece.startswith("{"):
            seen.add(name)
    return re.compile(f".*?{text}", re.DOTALL)

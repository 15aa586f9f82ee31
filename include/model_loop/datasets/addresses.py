"""Addresses of partitions: where the key of a partition stands in the pattern of a source.

It is ``{partition}``, or its parts as folders of Hive have them: ``year={year}/month={month}``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
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
_NAMES = ("year", "month", "week", "day")
_DIGITS: Mapping[str, int] = MappingProxyType({"year": 4, "month": 2, "week": 2, "day": 2})
_FOLDER_KEY = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>[^/=?]*)")


def holds_key(source: str) -> bool:
    """Return whether each partition has files of its own."""
    return PARTITION in source or bool(_named(source))


def mistake_of_key(source: str, part: str) -> str:
    """Return what is wrong with the parts of a key in a source; empty if nothing is."""
    named = _named(source)
    wanted = _PARTS.get(part, ((), ""))[0]
    if not named or set(named) == set(wanted):
        return ""
    if PARTITION in source or not wanted:
        return f"has {{{named[0]}}} besides {PARTITION}, or no partitions"
    return f"has other parts than {' and '.join(f'{{{name}}}' for name in wanted)} of a {part}"


def glob_of(source: str, key: str | None = None) -> str:
    """Return the pattern of the files of a partition, or of all; see `key_in`.

    A number of a folder may be written with or without zeros, so that it is looked for.
    """
    for name in _NAMES:
        source = source.replace(f"{{{name}}}", "*")
    return source.replace(PARTITION, "*" if key is None else key)


def key_in(source: str, address: str, part: str) -> str | None:
    """Return the key of the partition of a file; None if its address is not of the pattern."""
    found = _pattern(source).fullmatch(address)
    if found is None:
        return None
    if PARTITION in source:
        return found["partition"]
    names, between = _PARTS[part]
    return between.join(found[name].zfill(_DIGITS[name]) for name in names)


def folder_keys(source: str) -> tuple[str, ...]:
    """Return the names of columns whose values are in the names of folders: ``region=*``."""
    return tuple(found["name"] for found in _FOLDER_KEY.finditer(source.partition("?")[0]))


def folder_values(address: str) -> dict[str, str]:
    """Return the values that the folders of a file say, by the names of their columns."""
    return {
        found["name"]: found["value"]
        for part in address.split("/")[:-1]
        if (found := _FOLDER_KEY.fullmatch(part))
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

"""The text of a draft: TOML with the evidence as comments."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
#: Width from which a comment goes on in the next line.
_WIDTH = 98
#: Numbers from which thousands are set apart, and from which a fraction says nothing.
_GROUPED, _WHOLE = 10_000, 1_000_000

Value = str | int | float | bool | Sequence["Value"] | Mapping[str, "Value"]


@dataclass(frozen=True)
class DraftedColumn:
    """A column of the draft: its keys in their order, and evidence for a person."""

    name: str
    keys: Mapping[str, Value]
    comments: tuple[str, ...] = ()


@dataclass(frozen=True)
class DraftedText:
    """The parts of the file, in their order."""

    heading: tuple[str, ...]
    keys: Mapping[str, tuple[Value, str]]
    tables: Mapping[str, Mapping[str, tuple[Value, str]]] = field(default_factory=dict)
    columns: tuple[DraftedColumn, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        for paragraph in self.heading:
            yield from comment(paragraph)
        yield ""
        yield from _pairs(self.keys)
        for name, keys in self.tables.items():
            if keys:
                yield f"\n[{name}]"
                yield from _pairs(keys)
        for column in self.columns:
            yield ""
            for text in column.comments:
                yield from comment(text)
            yield f"[columns.{key(column.name)}]"
            yield from (f"{key(each)} = {literal(value)}" for each, value in column.keys.items())


def _pairs(keys: Mapping[str, tuple[Value, str]]) -> Iterator[str]:
    for name, (value, remark) in keys.items():
        text = f"{key(name)} = {literal(value)}"
        short = remark and len(text) + len(remark) + 4 <= _WIDTH
        if remark and not short:
            yield from comment(remark)
        yield f"{text:<32}  # {_line(remark)}" if short else text


def key(name: str) -> str:
    """Return a key as TOML has it: between quotes where it has to be."""
    return name if _BARE.fullmatch(name) else literal(name)


def literal(value: Value) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted_text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, Mapping):
        return (
            f"{{{', '.join(f'{key(each)} = {literal(inner)}' for each, inner in value.items())}}}"
        )
    return f"[{', '.join(literal(each) for each in value)}]"


def toml_of(content: Mapping[str, Any]) -> str:
    """Return the content of a declaration as TOML, without comments."""
    keys: dict[str, tuple[Value, str]] = {}
    tables: dict[str, dict[str, tuple[Value, str]]] = {}
    columns: Mapping[str, Mapping[str, Value]] = content.get("columns", {})
    for name, value in content.items():
        if not isinstance(value, Mapping):
            keys[name] = (value, "")
        elif name != "columns":
            tables[name] = {each: (inner, "") for each, inner in value.items()}
    drafted = (DraftedColumn(name, column) for name, column in columns.items())
    return str(DraftedText((), keys, tables, tuple(drafted))).lstrip()


def number_text(number: float) -> str:
    """Return a number for people: 2016, 12,500, 337,796,212 and 0.25."""
    if abs(number) < _GROUPED:
        return f"{number:.6g}"
    return f"{number:,.6g}" if abs(number) < _WHOLE else f"{number:,.0f}"


def quoted_text(text: str) -> str:
    """Return a text between quotes; JSON escapes as TOML does, but for DEL and lone surrogates."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")


def comment(text: str) -> Iterator[str]:
    """Yield the lines of a comment."""
    line = "#"
    for word in _line(text).split(" "):
        if len(line) + 1 + len(word) > _WIDTH and line != "#":
            yield line
            line = "#"
        line = f"{line} {word}" if word else line
    yield line


def _line(text: str) -> str:
    """Return a text without line ends and control characters, which TOML refuses in comments."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join(
        "".join(" " if unicodedata.category(each) == "Cc" else each for each in clean).split()
    )


def name_of(text: str, fallback: str, taken: Iterable[str] = ()) -> str:
    """Return a name of small letters, digits and ``_``, that is not taken: ``Größe (cm)``."""
    folded = text.casefold()
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        folded = folded.replace(umlaut, letters)
    ascii_only = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")[:40].rstrip("_")
    if not name or not name[0].isalpha():
        name = f"{fallback}_{name}".rstrip("_")[:40]
    chosen, number = name, 2
    while chosen in set(taken):
        chosen, number = f"{name[:36]}_{number}", number + 1
    return chosen

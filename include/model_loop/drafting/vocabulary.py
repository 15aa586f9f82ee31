"""Words of names and labels, in several languages, that say what values are."""

from __future__ import annotations

import functools
import importlib.resources
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from typing import Literal

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPLIT = re.compile(r"[\W_]+|(?<=\D)(?=\d)|(?<=\d)(?=\D)", re.UNICODE)
#: Words for the number or the name of an entity, joined to it.
_NUMBERED = re.compile(r"(?:nr|no|num|nummer|number|numero|id|code|kod|name|kennung|schluessel)$")
#: Letters of a word that other words end with: shorter ones are endings by chance.
_LEAST_LETTERS = 4

Meaning = Literal[
    "ids", "codes", "quantities", "totals", "births", "epochs", "parts", "entities", "sites",
    "positives", "negatives",
]  # fmt: skip


def tokens(name: str) -> tuple[str, ...]:
    """Return the words of a name in small letters and without accents: ``KundenNr`` is two."""
    parts = _SPLIT.split(_CAMEL.sub(" ", name))
    return tuple(plain(part) for part in parts if part)


def plain(text: str) -> str:
    """Return a text in small letters, without accents."""
    folded = text.casefold()
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        folded = folded.replace(umlaut, letters)
    decomposed = unicodedata.normalize("NFKD", folded)
    return "".join(each for each in decomposed if not unicodedata.combining(each))


def has_word(name: str, meaning: Meaning) -> bool:
    """Return whether a name is, or has, a word of a meaning."""
    parts, words = tokens(name), _words()[meaning]
    return any(part in words for part in (*parts, "".join(parts), "_".join(parts)))


def names(name: str, meaning: Meaning) -> bool:
    """Return whether a name, or one of its words, has a meaning; also as the end of a word."""
    if has_word(name, meaning):
        return True
    parts, words = tokens(name), _words()[meaning]
    # German and the Nordic languages join words: the last one says the kind.
    whole = "".join(parts)
    return any(len(word) >= _LEAST_LETTERS and whole.endswith(word) for word in words)


def names_entity(name: str, meaning: Literal["entities", "sites"]) -> bool:
    """Return whether a name means an entity, also with a word for its number behind it.

    ``Kunden`` are several, and a quantity; ``Kundennr`` is one of them.
    """
    whole = "".join(tokens(name))
    bare = _NUMBERED.sub("", whole)
    singular = () if bare == whole else (bare, bare.removesuffix("n"), bare.removesuffix("en"))
    return any(names(each, meaning) for each in (name, *singular))


def is_total(label: str) -> bool:
    """Return whether a label names a sum of other rows."""
    parts, words = tokens(label), _words()["totals"]
    return bool(parts) and not words.isdisjoint({parts[0], parts[-1], "".join(parts)})


@functools.cache
def _words() -> Mapping[str, frozenset[str]]:
    file = importlib.resources.files(__package__) / "vocabulary.toml"
    lists: Mapping[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))
    return {meaning: frozenset(map(plain, text.split())) for meaning, text in lists.items()}

"""Words that people and programs write for a missing value, and for yes and no."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

#: Words for a missing value.
MISSING_WORDS = frozenset(
    {
        *("", "NA", "N/A", "n/a", "na", "n.a.", "#N/A", "<NA>", "NaN", "nan", "NAN", "NaT"),
        *("null", "NULL", "Null", "None", "none", "nil", "?", "\\N", "-", "--", "."),
    }
)
#: Words for yes and no, in small letters.
YES_NO: tuple[tuple[str, str], ...] = (
    ("true", "false"),
    ("yes", "no"),
    ("1", "0"),
    ("y", "n"),
    ("t", "f"),
    ("on", "off"),
    ("ja", "nein"),
    ("oui", "non"),
    ("sí", "no"),
    ("si", "no"),
    ("sim", "não"),
    ("wahr", "falsch"),
    ("vrai", "faux"),
    ("verdadero", "falso"),
    ("verdadeiro", "falso"),
    ("vero", "falso"),
    ("sì", "no"),
    ("j", "n"),
    ("ja", "nee"),
    ("ja", "nej"),
    ("ja", "nei"),
    ("tak", "nie"),
    ("ano", "ne"),
    ("áno", "nie"),
    ("da", "ne"),
    ("da", "nu"),
    ("igen", "nem"),
    ("kyllä", "ei"),
    ("evet", "hayır"),  # noqa: RUF001 - Turkish
    ("да", "нет"),
    ("так", "ні"),
    ("ναι", "όχι"),  # noqa: RUF001 - Greek
    ("نعم", "لا"),
    ("כן", "לא"),
    ("是", "否"),
    ("はい", "いいえ"),
    ("예", "아니요"),
)
YES = frozenset(yes for yes, _ in YES_NO)
NO = frozenset(no for _, no in YES_NO)

_WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
#: Spaces and apostrophes between thousands are never a decimal sign.
GAPS = "\u0020\u00a0\u202f\u2009'\u2019"
MINUS = "\u2212"
_PLAIN = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


def missing_words(declared: Iterable[str | float] | None) -> frozenset[str]:
    """Return the words for a missing value.

    Parameters
    ----------
    declared
        Numbers are added to the usual words; a list with any text replaces them.
    """
    if declared is None:
        return MISSING_WORDS
    given = list(declared)
    words = {each if isinstance(each, str) else f"{each:g}" for each in given}
    numbers_alone = bool(given) and not any(isinstance(each, str) for each in given)
    return frozenset(words | {""} | (MISSING_WORDS if numbers_alone else set()))


def without_fraction(text: str) -> str:
    """Return the text of a code, in which a whole number has no fraction: ``74.0`` is ``74``."""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def number_pattern(decimal: str) -> str:
    """Return the regular expression of numbers, with or without signs between thousands."""
    other = "," if decimal == "." else "."
    sign, mark = "^[+-]?", re.escape(decimal)
    plain = _PLAIN.replace(r"\.", mark)
    grouped = "|".join(
        rf"[1-9]\d{{0,2}}(?:{between}\d{{3}})+(?:{mark}\d+)?"
        for between in (re.escape(other), "[ \u00a0\u202f\u2009]", "['\u2019]")
    )
    return f"{sign}(?:{plain}|{grouped})$"


@functools.cache
def doubtful_pattern(decimal: str) -> str:
    """Return the regular expression of numbers whose one sign may be decimal: 18.950, 1,234.

    By the declared decimal sign it stands between thousands.
    """
    mark = re.escape("," if decimal == "." else ".")
    return rf"^[^0-9.,]*[1-9][0-9]{{0,2}}{mark}[0-9]{{3}}[^0-9.,]*$"


def number_rewrites(unit: str) -> tuple[tuple[str, str], ...]:
    """Return patterns and replacements that make a number of its text in a table.

    Accounts write negative numbers between parentheses, or with the sign behind them; a unit
    stands before the number or behind it. Python and Arrow read these patterns in the same way.
    """
    between = "[ \t\u00a0\u202f\u2009]*"
    parentheses = rf"^\({between}([^()]*[^() \t]){between}\)$", r"-\1"
    behind = rf"^([^+-].*[^ \t]){between}-$", r"-\1"
    if not unit:
        return parentheses, behind
    mark = re.escape(unit)
    before = rf"^([+-]?){between}{mark}{between}", r"\1"
    return parentheses, behind, before, (f"{between}{mark}$", ""), parentheses, behind


def number_of(text: str, decimal: str = ".", unit: str = "") -> float | None:
    """Return the number that a text without spaces around it is; None for any other text.

    Parameters
    ----------
    unit
        Unit that may stand beside it.
    """
    given = text.replace(MINUS, "-")
    for pattern, replacement in number_rewrites(unit):
        given = re.sub(pattern, replacement, given)
    if not re.match(number_pattern(decimal), given, re.ASCII):
        return None
    other = "," if decimal == "." else "."
    return float(given.translate(dict.fromkeys(map(ord, other + GAPS))).replace(",", "."))

"""Units that stand beside the numbers of a column: ``$5``, ``5 €``, ``12.5%``, ``70 kg``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

#: Words for currencies that stand before a number, beside the signs of Unicode and their mixtures.
_CODES = (
    "AED ARS AUD BRL CAD CHF CLP CNY CZK DKK EGP EUR GBP HKD HUF IDR ILS INR JPY KRW MAD MXN MYR "
    "NGN NOK NZD PHP PLN QAR RON RSD RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR"
)
_SIGNS = "A$ C$ HK$ NT$ NZ$ R$ S$ US$ Fr Fr. Kč RM RMB Rp Rs Rs. kr kr. zł"
_CURRENCIES = frozenset([*_CODES.split(), *_SIGNS.split()])
_GAP = "[ \t\u00a0\u202f\u2009]*"
_TEXT = re.compile(
    rf"[+\-\u2212]?\(?{_GAP}(?P<before>[^\d\s+\-\u2212().,'\u2019]{{0,4}}\.?){_GAP}[+\-\u2212]?"
    rf"(?P<number>\d(?:[\d.,'\u2019 \u00a0\u202f\u2009]*\d)?|[.,]\d+)"
    rf"{_GAP}(?P<after>[^\d\s+\-().,'\u2019][^\d()]{{0,11}})?{_GAP}\)?-?",
    re.ASCII,
)
#: Share of some values that have to have the unit, and of those that have to be numbers at all.
_SHARE, _NUMBERS = 0.5, 0.9
#: Different values below which a unit may be the word of a category.
_LEAST_VALUES = 3


def unit_of(texts: Sequence[str]) -> str:
    """Return the unit that stands beside the numbers of some texts; empty if there is none.

    A currency stands before or behind its number, any other unit behind it. Numbers with several
    units have none: 5 g and 5 kg are no numbers of one column.
    """
    found = [match for text in texts if (match := _TEXT.fullmatch(text))]
    units = [_unit(match) for match in found]
    different = {unit for unit in units if unit}
    if (
        len(different) != 1
        or None in units
        or len(set(texts)) < _LEAST_VALUES
        or len(found) < _NUMBERS * len(texts)
        or sum(map(bool, units)) < _SHARE * len(units)
    ):
        return ""
    return str(different.pop())


def _unit(match: re.Match[str]) -> str | None:
    """Return the unit of a text, empty if it has none; None if it is no number with a unit."""
    before, after = match["before"], (match["after"] or "").strip()
    if before and after:
        return None
    return (before if _is_currency(before) else None) if before else after


def _is_currency(word: str) -> bool:
    signs = [unicodedata.category(letter) == "Sc" for letter in word]
    return word in _CURRENCIES or all(signs)

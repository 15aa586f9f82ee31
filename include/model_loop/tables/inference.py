"""The types of columns whose declaration names none: the same rules each time, and no sample.

Evidence is gathered block by block, so that a file of any size is judged by all of its values. A
format of times has to read every value; where the order of day and month stays open, no row decides
for itself: the column is undecided, and its declaration has to name the format.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model_loop.datasets.conditions import Mask
from model_loop.datasets.declaration_types import Kind
from model_loop.datasets.literals import YES_NO
from model_loop.datasets.times import ISO
from model_loop.tables.times import Micros, matches, python_pattern, read_times
from model_loop.tables.units import unit_of
from model_loop.tables.values import (
    ColumnFormat,
    bare_numbers,
    clock_minutes,
    is_text,
    read_numbers,
    stripped,
    without_fraction,
    written,
)

#: Different values of a column that are counted; more are many.
MOST_DISTINCT = 50_000
#: Values of which nearly each is another one, in columns of so many, may name rows.
_NEARLY_ALL, _FEWEST_IDS = 0.98, 20
#: Share of equal values in tables from so many rows on, and in smaller ones, from which words name
#: rows.
_MANY_ROWS, _MOSTLY, _MOSTLY_OF_FEW = 500, 0.5, 0.9
#: Collisions among so many random numbers that there is at least one, nearly surely.
_SURE_COLLISIONS = 7
#: Words without digits among numbers or times that may stand for missing ones, and their share.
_MOST_WORDS, _WORDS_SHARE = 5, 0.05
#: Share of a single word among many different numbers.
_WORD_SHARE, _MANY_NUMBERS = 0.5, 20
#: Different clock times from which whole numbers are taken for such.
_FEWEST_CLOCK_TIMES, _AFTERNOON = 60, 1_300
_EXACT = 2**53
#: Whole numbers between them are years rather than names of rows.
_FIRST_PLAIN_YEAR, _LAST_PLAIN_YEAR = 1000, 2200
_LONG_TEXT = 50
_WORDS_OF_TEXT = 4
_SAMPLE, _BEGINNING = 50, 5
_AGREE = 0.9
_ID_NAME = re.compile(r"(?:^|[_\W])(?:id|uuid|guid|key)$", re.IGNORECASE)
_CASED_ID_NAME = re.compile(r"[a-z0-9]I[dD]$")
_NUMBER_NAME = re.compile(r"(?:nr|no|num|number|nummer|numero|número|index)\.?$", re.IGNORECASE)
_CODE_NAME = re.compile(r"(?:^|[_\W])(?:code|zip|zipcode|postcode|plz|type|class)$", re.IGNORECASE)

_SPACED_WORDS = ("W", "KW", "CW", "KW ", "CW ", "Week ", "week ", "Wk ")
_DATES = (
    *(f"%d{s}%m{s}%Y" for s in "/.-"),
    *(f"%m{s}%d{s}%Y" for s in "/.-"),
    *(f"%d{s}%m{s}%y" for s in "/.-"),
    *(f"%m{s}%d{s}%y" for s in "/.-"),
    *(f"%Y{s}%m{s}%d" for s in "/.-"),
    "%y-%m-%d",
    *(f"%d{s}%b{s}%{year}" for s in "/. -" for year in "Yy"),
    *("%d. %b %Y", "%b %d, %Y", "%b %d %Y", "%a, %d %b %Y", "%a %b %d %Y", "%a, %b %d, %Y"),
    *("%a %d %b %Y", "%a, %d. %b %Y", "%a, %d.%m.%Y", "%a %d.%m.%Y", "%a %d/%m/%Y", "%a %m/%d/%Y"),
    *("%d de %b de %Y", "%d %b, %Y", "%Y-%b-%d", "%Y %b %d", "%b-%d-%Y", "%b/%d/%Y"),
    *("%Y年%m月%d日", "%Y년 %m월 %d일", "%Y. %m. %d.", "%Y-%j"),
)
#: Times of day; those come first that differ from numbers without a day beside them.
_HOURS = (
    *("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M Uhr", "%H.%M Uhr", "%Hh%M"),
    *("%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p", "%I %p", "%I%p"),
)
_CLOCKS = (
    "",
    *(
        f"{gap}{clock}"
        for gap in (" ", "T", ", ", " - ")
        for clock in (*_HOURS, "%H.%M", "%H.%M.%S")
    ),
)
_ZONED = (" %H:%M:%S %z", " %H:%M:%S%z", " %H:%M:%S %Z")
#: Formats without separators, or without a day: only where all values are of their length.
_WHOLE = ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S", "%Y%m%d %H%M%S")
_MONTHS = (
    *("%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y", "%m-%Y", "%b %Y", "%b-%Y", "%b-%y", "%b %y", "%b. %Y"),
    *("%b/%Y", "%b/%y", "%Y-%b", "%Y %b", "%Y年%m月", "%Y%m"),
)
_QUARTERS = (
    *(f"%Y{gap}{word}%q" for gap in ("-", " ", "/", "") for word in "QT"),
    *(f"{word}%q{gap}%Y" for gap in (" ", "-", "/", ".", "") for word in "QT"),
    *("%qQ%Y", "%qQ%y", "%qQ %Y", "Q%q %y", "Q%q'%y", "%q. Quartal %Y", "%Y年第%q四半期"),
)
_WEEKS = (
    *(f"%G{gap}{word}%V" for gap in ("-", "", " ", "/") for word in _SPACED_WORDS),
    *(f"{word}%V{gap}%G" for gap in ("/", " ", "-", ".", ", ") for word in _SPACED_WORDS),
    *("%G-W%V-%u", "%GW%V%u"),
)


def fitting_time_formats(sample: pa.Array) -> list[str]:
    """Return the formats of times that nearly all of some texts have, the most usual ones first."""
    words = sample[:_BEGINNING].to_pylist()
    if not any(re.search(r"[0-9]", text) for text in words):
        return []
    candidates = [ISO]
    for date in _DATES:
        if any(python_pattern(date).match(text) for text in words):
            candidates += [f"{date}{clock}" for clock in (*_CLOCKS, *_ZONED)]
    return [
        each
        for each in (*candidates, *_WHOLE, *_MONTHS, *_QUARTERS, *_WEEKS, *_HOURS)
        if any(python_pattern(each).fullmatch(text) for text in words)
        and matches(sample, each).mean() >= _AGREE
    ]


@dataclass(frozen=True)
class Inference:
    """The reading of a column, as its values say.

    Parameters
    ----------
    format
        Its type, and the way to read it.
    alternatives
        Further formats that read every value, to other values: the column is undecided until its
        declaration names one.
    sign
        Decimal sign, where the values leave no doubt; None where they do, or have none.
    """

    format: ColumnFormat
    alternatives: tuple[ColumnFormat, ...] = ()
    sign: str | None = None


def infer_kind(
    column: pa.ChunkedArray | pa.Array, *, name: str = "", given: ColumnFormat | None = None
) -> ColumnFormat:
    """Return how a column is read; see `infer`."""
    return infer(column, name=name, given=given).format


def infer(
    column: pa.ChunkedArray | pa.Array, *, name: str = "", given: ColumnFormat | None = None
) -> Inference:
    """Return how a column is read, and whether its values leave that open.

    Parameters
    ----------
    column
        All values of the column, as text or typed.
    name
        Its name: one that ends with ``id`` or ``code`` decides on whole numbers that are unclear.
    given
        Properties that are known beforehand: words for missing values, and time zones.
    """
    evidence = ColumnEvidence(name, given or ColumnFormat("text"))
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        evidence.add(chunk)
    return evidence.decide()


@dataclass
class _TimeCandidate:
    """A format of times, and what it makes of the values so far.

    Parameters
    ----------
    failures
        Number of values that it does not read, and some of them.
    last
        The last time that was read.
    rising, falling
        Whether no time was before, or after, the one above it.
    """

    time_format: str
    failures: int = 0
    stray: set[str] = field(default_factory=set)
    last: int | None = None
    rising: bool = True
    falling: bool = True

    def add(self, text: pa.Array) -> Micros:
        """Read some more values, without missing ones, and return their times."""
        times = read_times(text, self.time_format)
        if not times.readable.all():
            self.failures += int((~times.readable).sum())
            _note(self.stray, text, ~times.readable)
        micros = times.micros[times.readable]
        if self.last is not None:
            micros = np.concatenate([[self.last], micros])
        if len(micros):
            steps = np.diff(micros)
            self.rising &= bool((steps >= 0).all())
            self.falling &= bool((steps <= 0).all())
            self.last = int(micros[-1])
        return np.where(times.readable, times.micros, 0)

    @property
    def ordered(self) -> bool:
        """Row order: true if the rows are in the order of these times, or against it."""
        return self.rising != self.falling


@dataclass
class _NumberCandidate:
    """A decimal sign, and what it makes of the values so far.

    Parameters
    ----------
    failures
        Number of values that are no numbers with it.
    marks
        Whether the sign stands in any value.
    dropped
        Whether too many values were none for the rest to matter.
    """

    decimal: str
    failures: int = 0
    marks: bool = False
    dropped: bool = False

    def add(self, texts: pa.Array, counts: npt.NDArray[np.int64], filled: int) -> Mask:
        """Return which texts are no such numbers.

        Parameters
        ----------
        counts
            How often each is there.
        filled
            Number of values so far.
        """
        if self.dropped:
            return np.ones(len(texts), dtype=bool)
        wrong = np.isnan(read_numbers(texts, self.decimal))
        self.failures += int(counts[wrong].sum())
        self.dropped = self.failures > _WORD_SHARE * max(filled, _SAMPLE)
        if not self.marks:
            self.marks = bool(pc.any(pc.match_substring(texts, self.decimal)).as_py())
        return wrong


def _note(stray: set[str], text: pa.Array, wrong: Mask) -> None:
    """Remember some of the texts that are wrong."""
    if len(stray) <= _MOST_WORDS:
        stray |= set(text.filter(pa.array(wrong)).unique()[: _MOST_WORDS + 1].to_pylist())


def _are_words(stray: set[str]) -> bool:
    """Return whether strays may be words for a missing value: few, and without digits."""
    return len(stray) <= _MOST_WORDS and not any(re.search(r"\d", word) for word in stray)


@dataclass
class _WholeNumbers:
    """Properties of the numbers of a column.

    Parameters
    ----------
    whole
        Whether all numbers are.
    padded
        Whether one is written with a zero before it, as codes are.
    clock
        Whether all may be times of day on a clock, such as 517.
    """

    whole: bool = True
    padded: bool = False
    lowest: float = np.inf
    highest: float = -np.inf
    clock: bool = True

    def add(self, numbers: npt.NDArray[np.float64]) -> None:
        """Look at some more numbers; NaN is none."""
        numbers = numbers[~np.isnan(numbers)]
        if not self.whole or not len(numbers):
            return
        self.whole = bool((numbers == np.floor(numbers)).all())
        self.lowest = min(self.lowest, float(numbers.min()))
        self.highest = max(self.highest, float(numbers.max()))
        self.clock &= bool(np.isfinite(clock_minutes(numbers)).all())

    def add_texts(self, texts: pa.Array, decimal: str) -> None:
        """Look at how some more numbers are written."""
        # Three digits may be thousands: 12.000 is no whole number for sure.
        fraction = r"[.,](?:0{1,2}|0{4,})$"
        texts = pc.replace_substring_regex(texts, fraction, "")
        self.add(read_numbers(texts, decimal))
        if self.whole:
            self.whole = not pc.any(pc.match_substring_regex(texts, "[.,]")).as_py()
            padded = pc.match_substring_regex(texts, r"^[+-]?0\d")
            self.padded |= bool(pc.any(padded).as_py())


class ColumnEvidence:
    """Evidence of the type of one column, gathered block by block.

    Parameters
    ----------
    name
        Name of the column.
    given
        Properties that are known beforehand: words for missing values, and time zones.
    decimal
        Decimal sign that is declared, if one is.
    """

    def __init__(self, name: str, given: ColumnFormat, decimal: str | None = None) -> None:
        self._name, self._given, self._decimal = name, given, decimal
        self._type: pa.DataType | None = None
        self._filled = 0
        self._distinct: pa.Array | None = None
        # Values that were counted until there were too many different ones.
        self._counted, self._many = 0, False
        self._texts = self._characters = self._words = 0
        self._stray: set[str] = set()
        self._unit: str | None = None
        self._point, self._comma = _NumberCandidate("."), _NumberCandidate(",")
        self._numbers = _WholeNumbers()
        self._times: list[_TimeCandidate] | None = None
        self._different: set[tuple[str, str]] = set()

    def add(self, chunk: pa.Array) -> None:
        """Look at some more values."""
        if pa.types.is_dictionary(chunk.type):
            chunk = chunk.dictionary_decode()
        if self._type is None or pa.types.is_null(self._type):
            self._type = chunk.type
        is_words = is_text(chunk.type)
        if not is_words and _is_typed(chunk.type):
            self._filled += len(chunk) - chunk.null_count
            return
        text = chunk if is_words else written(chunk)
        text = stripped(text, self._given.missing).drop_null()
        if not len(text):
            return
        self._filled += len(text)
        self._add_times(text)
        if not is_words:
            self._count(text)
            self._numbers.add(read_numbers(text))
            return
        self._add_texts(*self._count(text))

    def _count(self, text: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
        """Return different texts and how often each is there; all texts where they are many."""
        if self._many:
            return text, np.ones(len(text), dtype=np.int64)
        self._counted += len(text)
        counted = text.value_counts()
        texts, counts = counted.field("values"), counted.field("counts")
        before = [] if self._distinct is None else [self._distinct]
        self._distinct = pa.concat_arrays([*before, texts]).unique()
        self._many = len(self._distinct) > MOST_DISTINCT
        return texts, counts.to_numpy(zero_copy_only=False)

    def _add_texts(self, texts: pa.Array, counts: npt.NDArray[np.int64]) -> None:
        if self._unit is None:
            self._unit = self._given.unit or unit_of(texts[:_SAMPLE].to_pylist())
        if not (self._point.dropped and self._comma.dropped):
            bare = bare_numbers(texts, self._unit) if self._unit else texts
            wrong = self._point.add(bare, counts, self._filled)
            if wrong.any() or pc.any(pc.match_substring_regex(bare, "[.,]")).as_py():
                wrong &= self._comma.add(bare, counts, self._filled)
            if wrong.any():
                _note(self._stray, texts, wrong)
            if self._numbers.whole:
                self._numbers.add_texts(bare, self._sign)
        if not self._times and self._point.failures and self._comma.failures:
            self._texts += int(counts.sum())
            self._characters += int((pc.utf8_length(texts).to_numpy() * counts).sum())
            words = pc.count_substring_regex(texts, r"\S+").to_numpy()
            self._words += int((words * counts).sum())

    @property
    def _sign(self) -> str:
        return "," if self._point.dropped else "."

    def _add_times(self, text: pa.Array) -> None:
        if self._times is None:
            self._times = [_TimeCandidate(each) for each in fitting_time_formats(text[:_SAMPLE])]
        read = {each.time_format: each.add(text) for each in self._times}
        for one, other in itertools.combinations(read, 2):
            if not np.array_equal(read[one], read[other]):
                self._different |= {(one, other)}
        most = _WORDS_SHARE * max(self._filled, _SAMPLE)
        self._times = [each for each in self._times if each.failures <= most]

    @property
    def decimal_sign(self) -> str | None:
        """The decimal sign, where the values leave no doubt; None where they do, or have none."""
        fitting = self._decimal_signs()
        return fitting[0] if len(fitting) == 1 and self._has_marks else None

    @property
    def _has_marks(self) -> bool:
        return self._point.marks or self._comma.marks

    def decide(self, kind: Kind | None = None, *, predicted: bool = False) -> Inference:
        """Return what all values say.

        Parameters
        ----------
        kind
            Declared type: only the way to read it is left to be found.
        predicted
            Whether the column is predicted: its numbers name no rows, however much they differ.
        """
        if predicted and kind is None and self._numbers.whole and self._numbers.lowest < np.inf:
            return self._as_yes_no() or self._as_numbers() or self._as_words()
        if kind == "time":
            return self._as_times(every=False) or self._as("time")
        if kind == "number":
            return self._as_numbers() or self._as("number")
        if kind is not None:
            return self._as(kind)
        if not self._filled:
            return self._as("ignored")
        return (
            self._by_type()
            or self._as_times(every=True)
            or self._as_yes_no()
            or self._as_codes()
            or self._as_numbers()
            or self._as_words()
        )

    def _as(self, kind: Kind, **changes: Any) -> Inference:  # noqa: ANN401 - fields of the format
        return Inference(replace(self._given, kind=kind, **changes))

    def _by_type(self) -> Inference | None:
        kind = self._type
        if pa.types.is_boolean(kind):
            return self._as("yes_no")
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return self._as("time")
        if pa.types.is_time(kind):
            return self._as("time", time_format="%H:%M:%S")
        return self._as("ignored") if _is_typed(kind) else None

    def _as_times(self, *, every: bool) -> Inference | None:
        """Return a time.

        Parameters
        ----------
        every
            Whether each value has to be read; words such as a total below the rows aside.
        """
        most = _WORDS_SHARE * self._filled
        fitting = [
            each
            for each in self._times or []
            if not every or not each.failures or (each.failures <= most and _are_words(each.stray))
        ]
        if not fitting:
            return None
        fewest = min(each.failures for each in fitting)
        fitting = [each for each in fitting if each.failures == fewest]
        # With points between them, days come first wherever dates are written so.
        by_day = [each for each in fitting if not each.time_format.startswith("%m.%d.")]
        fitting = by_day or fitting
        if len(ordered := [each for each in fitting if each.ordered]) == 1:
            fitting = ordered
        names: list[str] = []
        for each in fitting:
            if all((name, each.time_format) in self._different for name in names):
                names.append(each.time_format)
        first, *others = (replace(self._given, kind="time", time_format=each) for each in names)
        return Inference(first, tuple(others))

    def _as_yes_no(self) -> Inference | None:
        if self._distinct is None or self._many or len(self._distinct) > 2:  # noqa: PLR2004 - yes and no
            return None
        words = {word.lower() for word in without_fraction(self._distinct).to_pylist()}
        # One letter or number alone is as often a code.
        alone = words < {"true", "false"} or words < {"yes", "no"}
        return self._as("yes_no") if alone or any(words == set(pair) for pair in YES_NO) else None

    def _as_codes(self) -> Inference | None:
        """Return an id or a category of whole numbers; with a unit beside them, they are none."""
        numbers = self._numbers
        if not numbers.whole or self._unit or (self._is_of_words and not self._decimal_signs()):
            return None
        if self._names_rows or max(-numbers.lowest, numbers.highest) > _EXACT:
            return self._as("id")
        return self._as("category") if numbers.padded or self._is_called_code else None

    @property
    def _is_of_words(self) -> bool:
        return self._type is None or is_text(self._type)

    def _as_numbers(self) -> Inference | None:
        if not self._is_of_words:
            return self._as("number", clock_time=self._is_clock)
        signs = self._decimal_signs()
        if not signs:
            return None
        missing = self._given.missing | self._stray
        fitting = [
            replace(
                self._given,
                kind="number",
                decimal=sign,
                unit=self._unit or "",
                missing=missing,
                clock_time=self._is_clock and not self._unit,
            )
            for sign in signs
        ]
        others = tuple(fitting[1:]) if self._has_marks else ()
        return Inference(fitting[0], others, self.decimal_sign)

    def _decimal_signs(self) -> list[str]:
        """Return the decimal signs with which every value is a number, the likelier one first."""
        if self._stray and not _are_words(self._stray):
            return []
        words = min(self._point.failures, self._comma.failures) if self._stray else 0
        different = MOST_DISTINCT if self._distinct is None else len(self._distinct)
        alone = len(self._stray) == 1 and different > _MANY_NUMBERS
        share = _WORD_SHARE if alone else _WORDS_SHARE
        return [
            each.decimal
            for each in (self._point, self._comma)
            if not each.dropped
            and each.failures <= min(words, share * self._filled)
            and self._decimal in {None, each.decimal}
        ]

    @property
    def _is_clock(self) -> bool:
        numbers, different = self._numbers, 0 if self._distinct is None else len(self._distinct)
        many = self._many or different >= _FEWEST_CLOCK_TIMES
        return many and numbers.whole and numbers.clock and numbers.highest >= _AFTERNOON

    @property
    def _share_of_distinct(self) -> float:
        return 0.0 if self._distinct is None else len(self._distinct) / self._counted

    @property
    def _is_called_id(self) -> bool:
        return bool(_ID_NAME.search(self._name) or _CASED_ID_NAME.search(self._name))

    @property
    def _is_called_code(self) -> bool:
        return self._is_called_id or bool(_CODE_NAME.search(self._name))

    @property
    def _names_rows(self) -> bool:
        """Names of rows: true if nearly each number is another one, and they are no quantity."""
        share, numbers = self._share_of_distinct, self._numbers
        if self._is_called_id:
            return share >= _MOSTLY
        if self._filled < _FEWEST_IDS or share < _NEARLY_ALL or numbers.lowest < 0:
            return False
        if _NUMBER_NAME.search(self._name):
            return True
        if numbers.lowest >= _FIRST_PLAIN_YEAR and numbers.highest <= _LAST_PLAIN_YEAR:
            return False
        # Random numbers of this range would have met each other.
        collisions = self._counted**2 / 2 / (numbers.highest - numbers.lowest + 1)
        return share == 1 and collisions >= _SURE_COLLISIONS

    def _as_words(self) -> Inference:
        share, texts = self._share_of_distinct, max(self._texts, 1)
        words = self._words / texts
        mostly = _MOSTLY if self._filled >= _MANY_ROWS else _MOSTLY_OF_FEW
        if self._filled >= _FEWEST_IDS and share >= mostly:
            return self._as("text" if words >= 2 else "id")  # noqa: PLR2004 - more than a word
        long = self._characters / texts > _LONG_TEXT and words > _WORDS_OF_TEXT
        return self._as("text" if long else "category")


def _is_typed(kind: pa.DataType | None) -> bool:
    """Return whether a type of Arrow says by itself what the values are."""
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return not (
        kind is None
        or pa.types.is_null(kind)
        or is_text(kind)
        or any(is_type(kind) for is_type in numbers)
    )

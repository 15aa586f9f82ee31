"""One reading of a row, for every entrance: server, forms, lists and files.

A value has one meaning wherever it comes in: a number may be text, as in CSV, a code may be given
by its name, a time in several forms. All errors of a row are reported at once. Nothing
here needs NumPy or pandas: servers read every request with it.

A value of a row is a number, or the text of a category. Times are seconds since 1970 on the table's
clocks, yes and no are 1 and 0, and NaN is unknown, also where the column holds text.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

from model_loop.datasets.columns import Column, Columns
from model_loop.datasets.literals import NO, YES, doubtful_pattern, number_of, without_fraction
from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import ErrorFields, InvalidInputError

#: A value of a row that was read: a number (float), or the text of a category.
Value = Any

#: A number as text, in files and lists.
NUMBER = r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*"

_NUMBER = re.compile(NUMBER, re.ASCII)
_NAN = math.nan
#: Stands for a value that is a word for a missing one.
_MISSING = object()
#: Characters of a value that a message shows; problems of a request that are reported, and those
#: for which similar names are looked for: that takes milliseconds each.
_SHOWN, _TOLD, _SUGGESTED = 60, 20, 3
#: Whole numbers beyond it are out of any bounds, and some of them no float can hold.
_LARGE = 10**300
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()
#: Length of ``2024-01-15T08:30:00``.
_PLAIN_TIME = 19


@dataclass(frozen=True)
class Problem:
    """A rule that a value of a row breaks.

    Parameters
    ----------
    given
        The value as a message shows it: ``name = value``, or the name alone.
    rule
        The rule that it breaks, as it continues what was given.
    remedy
        Remedy, as a sentence.
    row
        Number of the row in a list; None where there is one row.
    suggest
        Returns a better remedy, such as similar names: looking for them takes so long that it is
        done for the first problems alone.
    """

    given: str
    rule: str
    remedy: str
    row: int | None = None
    suggest: Callable[[], str] | None = field(default=None, compare=False)

    @property
    def subject(self) -> str:
        """The value that was given, with the place of its row in the list."""
        return self.given if self.row is None else f"inputs[{self.row}].{self.given}"

    def __str__(self) -> str:
        return f"{self.given} {self.rule}"

    def advice(self) -> str:
        """Return what to do, with suggestions."""
        return self.suggest() if self.suggest else self.remedy


class Row(NamedTuple):
    """A row that was read.

    Parameters
    ----------
    cells
        Values in the order of the columns.
    assumed
        Fields whose values were left out, and for which another one was taken.
    doubtful
        Places of numbers whose text may have been meant as a thousandth of them, each with the
        number; see `words.doubtful_pattern`.
    """

    cells: list[Value]
    assumed: tuple[str, ...]
    doubtful: tuple[tuple[int, float], ...] = ()


class RefusedRowsError(InvalidInputError):
    """Rows break rules.

    Parameters
    ----------
    problems
        Everything that is wrong, at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        first, more = problems[0], len(problems) - 1
        further = f" (and {more} more: see `problems`)" if more else ""
        super().__init__(first.subject, f"{first.rule}{further}", first.advice())
        self.problems = problems

    def fields(self) -> ErrorFields:
        """Return its parts as JSON, with the first twenty problems."""
        problems: list[ErrorFields] = [
            InvalidInputError(
                one.subject, one.rule, one.advice() if place < _SUGGESTED else one.remedy
            ).fields()
            for place, one in enumerate(self.problems[:_TOLD])
        ]
        return {**super().fields(), "problems": problems}


@dataclass(frozen=True)
class RowReader:
    """Reads rows of one table.

    Parameters
    ----------
    columns
        Columns of the table.
    ignored
        Names that may stand beside them and are not read; any other name is refused.
    read_time
        Returns a time on the clocks of the table from text or another value that is a time; raises
        `ValueError` with the rule that is broken.
    codes
        Returns the code of a name, by names of columns; raises `InvalidInputError` for a name that
        stands for none, or for several.
    suggest
        Returns the remedy for such a name, with similar ones.
    missing
        Words for a missing value, by names of columns; None stands for one in any column.
    decimals
        Decimal signs of numbers that are text, by names of columns, where it is not a point.
    units
        Units that may stand beside numbers that are text, by names of columns.
    times
        Readers of times, by names of columns, where it is not `read_time`.
    first_moment
        The moment at which a required column has to be given; that of the first column by default.
        A model of that moment does without values that are only known later.
    """

    columns: Columns
    ignored: frozenset[str]
    read_time: Callable[[object], dt.datetime]
    codes: Mapping[str, Callable[[str], int]]
    suggest: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    missing: Mapping[str, frozenset[str]] = field(default_factory=dict)
    decimals: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, Callable[[object], dt.datetime]] = field(default_factory=dict)
    first_moment: str = ""

    def read_rows(self, records: Sequence[object], now: Callable[[], dt.datetime]) -> list[Row]:
        """Read a list of rows; see `read`.

        Raises
        ------
        RefusedRowsError
            If something is wrong with any of them.
        """
        problems: list[Problem] = []
        rows = []
        for number, record in enumerate(records):
            known = len(problems)
            rows.append(self.read(record, now, problems))
            if len(problems) > known:
                problems[known:] = [replace(problem, row=number) for problem in problems[known:]]
        if problems:
            raise RefusedRowsError(problems)
        return rows

    def read_row(self, record: object, now: Callable[[], dt.datetime]) -> Row:
        """Read one row; see `read`.

        Raises
        ------
        RefusedRowsError
            If something is wrong with it.
        """
        problems: list[Problem] = []
        row = self.read(record, now, problems)
        if problems:
            raise RefusedRowsError(problems)
        return row

    def read(self, record: object, now: Callable[[], dt.datetime], problems: list[Problem]) -> Row:
        """Read a row.

        Parameters
        ----------
        record
            Values by any of their names; None stands for a value that is not given.
        now
            Returns the present moment on the clocks of the table, for a time that is left out.
        problems
            Everything that is wrong is appended to it.
        """
        table, numbers = self._table, self._doubtful
        values: list[Value] = [_NAN] * len(self.columns)
        if type(record) is not dict and not isinstance(record, Mapping):
            remedy = f"Give an object with {', '.join(self.columns.fields)}."
            problems.append(Problem(shown(record), "is not a row", remedy))
            return Row(values, ())
        seen = 0
        assumed: tuple[str, ...] = ()
        doubtful: tuple[tuple[int, float], ...] = ()
        for name, value in record.items():
            entry = table.get(name)
            if entry is None:
                if name not in self.ignored:
                    problems.append(self._unknown(name))
                continue
            if value is None:
                continue
            place, bit, whole, low, high = entry
            if seen & bit:
                problems.append(_twice(name, self.columns[place], record))
                continue
            given = type(value)
            # Nearly all values are plain numbers within their bounds.
            if (
                (given is float or given is int)
                and low <= value <= high
                and (not whole or value % 1 == 0)
            ):
                values[place] = float(value)
            else:
                read = self._value(name, value, self.columns[place], problems)
                if read is _MISSING:
                    continue
                values[place] = read
                doubtful += self._read_twice(place, value, read) if place in numbers else ()
            seen |= bit
        if self._needed & ~seen:
            assumed = self._complete(record, values, seen, now, problems)
        return Row(values, assumed, doubtful)

    @functools.cached_property
    def _table(self) -> Mapping[str, tuple[int, int, bool, float, float]]:
        """Place, bit, wholeness and bounds of plain numbers, by every name that is taken.

        No number is within the bounds of a column whose numbers have to be looked at.
        """
        table = {}
        for place, column in enumerate(self.columns):
            is_plain = column.kind == "number" or (column.kind == "category" and not column.text)
            is_plain &= not self._missing_numbers.get(column.name)
            low = max(column.lowest, -sys.float_info.max) if is_plain else math.inf
            high = min(column.highest, sys.float_info.max)
            for name in column.names:
                table[name] = (place, 1 << place, column.kind == "category", low, high)
        return table

    @functools.cached_property
    def _missing_numbers(self) -> Mapping[str, frozenset[float]]:
        """Numbers that stand for a missing value, by names of columns."""
        return {
            name: frozenset(number for word in words if (number := number_of(word)) is not None)
            for name, words in self.missing.items()
        }

    @functools.cached_property
    def _needed(self) -> int:
        """Bits of the columns without a value of which something has to be done."""
        first = self.first_moment or self.columns[0].known
        return sum(
            1 << place
            for place, column in enumerate(self.columns)
            # Models of an earlier moment do without values that are only known later.
            if column.required and column.default != "computed" and column.known == first
        )

    def _value(
        self,
        name: str,
        value: Any,  # noqa: ANN401 - any JSON
        column: Column,
        problems: list[Problem],
    ) -> Value | object:
        """Return the value of what was given; NaN where there is a problem."""
        words = self.missing.get(column.name)
        if words is not None:
            if isinstance(value, str):
                value = value.strip()
            if self._is_missing(value, column, words):
                return _MISSING
        if column.kind == "time":
            return self._time(name, value, column, problems)
        if column.kind == "yes_no":
            return _yes_no(name, value, problems)
        return (
            _text(name, value, problems)
            if column.text
            else self._within(name, value, column, problems)
        )

    def _within(self, name: str, value: Any, column: Column, problems: list[Problem]) -> float:  # noqa: ANN401 - any JSON
        """Return the number of a value, if it is within the bounds of its column."""
        kind = type(value)
        if kind is float or (kind is int and -_LARGE < value < _LARGE):
            number: float | None = float(value)
        else:
            number = self._number(name, value, column, problems)
        if number is None:
            return _NAN
        if (
            column.lowest <= number <= column.highest
            and math.isfinite(number)
            and (column.kind == "number" or number.is_integer())
        ):
            return number
        problems.append(_outside(name, value, column))
        return _NAN

    def _is_missing(self, value: object, column: Column, words: frozenset[str]) -> bool:
        if isinstance(value, str):
            if value in words:
                return True
            if column.kind == "number":
                number = self._number_of(value, column)
                return number in self._missing_numbers[column.name]
            return without_fraction(value) in words
        if isinstance(value, bool) or not isinstance(value, Real | Decimal):
            return False
        # NaN is how frames and some programs write a missing value.
        return value != value or value in self._missing_numbers[column.name]  # noqa: PLR0124 - only NaN differs from itself

    @functools.cached_property
    def _doubtful(self) -> Mapping[int, re.Pattern[str]]:
        """Patterns of texts that can be read in two ways, by the places of numbers."""
        return {
            place: re.compile(doubtful_pattern(self.decimals[column.name]))
            for place, column in enumerate(self.columns)
            if column.kind == "number" and column.name in self.decimals
        }

    def _read_twice(self, place: int, given: object, read: Value) -> tuple[tuple[int, float], ...]:
        """Return place and number of a text that can be read in two ways; nothing of others."""
        doubtful = isinstance(given, str) and self._doubtful[place].match(given)
        return ((place, read),) if doubtful else ()

    def _number_of(self, text: str, column: Column) -> float | None:
        name = column.name
        return number_of(text, self.decimals.get(name, "."), self.units.get(name, ""))

    def _number(
        self, name: str, value: object, column: Column, problems: list[Problem]
    ) -> float | None:
        """Return the number of a value that JSON does not have as such; None if there is none."""
        if isinstance(value, str):
            if column.name in self.missing:
                read = self._number_of(value, column)
                if read is not None:
                    return read
            elif _NUMBER.fullmatch(value):
                return float(value)
            read_code = self.codes.get(column.name)
            if read_code is not None:
                try:
                    return float(read_code(value))
                except InvalidInputError as error:
                    given, suggest = f"{name} = {shown(value)}", self.suggest.get(column.name)
                    similar = functools.partial(suggest, value) if suggest else None
                    problems.append(Problem(given, error.rule, error.remedy, suggest=similar))
                    return None
        elif isinstance(value, Real | Decimal) and not isinstance(value, bool):
            number: Any = value
            # Whole numbers that no float can hold are out of any bounds all the same.
            return float(number) if abs(number) < _LARGE else math.inf if number > 0 else -math.inf
        kinds = "a number or a name" if column.name in self.codes else "a number"
        bounds = column.bounds
        remedy = f"Give {kinds}{f', from {bounds}' if ' to ' in bounds else f' {bounds}'.rstrip()}."
        problems.append(Problem(f"{name} = {shown(value)}", "is not a number", remedy))
        return None

    def _time(self, name: str, value: object, column: Column, problems: list[Problem]) -> float:
        reader = self.times.get(column.name)
        if (
            reader is None
            and type(value) is str
            and len(value) == _PLAIN_TIME
            and value[4] == value[7] == "-"
        ):
            # The form that nearly all requests have, without the way through all the others.
            try:
                at = dt.datetime.fromisoformat(value)
            except ValueError:
                at = None
            if at is not None and column.lowest <= at.year <= column.highest:
                return seconds_of(at)
        try:
            return seconds_of((reader or self.read_time)(value))
        except ValueError as error:
            remedy = f"Give a time such as {column.example}."
            problems.append(Problem(f"{name} = {shown(value)}", str(error), remedy))
            return _NAN

    def _complete(
        self,
        record: Mapping[str, Any],
        values: list[Value],
        seen: int,
        now: Callable[[], dt.datetime],
        problems: list[Problem],
    ) -> tuple[str, ...]:
        """Fill in what is assumed, and refuse what is missing; return the fields assumed."""
        assumed: tuple[str, ...] = ()
        for place, column in enumerate(self.columns):
            if not self._needed & ~seen & 1 << place:
                continue
            if column.default == "now":
                values[place] = seconds_of(now())
                assumed = (*assumed, column.field)
            else:
                name = next((one for one in column.names if one in record), column.field)
                remedy = f"Give {column.wanted}."
                problems.append(Problem(name, "is missing", remedy))
        return assumed

    def _unknown(self, name: object) -> Problem:
        remedy = f"A row has: {', '.join(self.columns.fields)}."

        def suggest() -> str:
            close = difflib.get_close_matches(str(name)[:_SHOWN], self.columns.by_any_name, n=1)
            return f"Did you mean {close[0]}?" if close else remedy

        return Problem(shown(name), "is not a column of this table", remedy, suggest=suggest)


def seconds_of(at: dt.datetime) -> float:
    """Return seconds since 1970 on the clocks that a time is of."""
    seconds = at.hour * 3_600 + at.minute * 60 + at.second + at.microsecond / 1_000_000
    return (at.toordinal() - _EPOCH_DAY) * SECONDS_PER_DAY + float(seconds)


def shown(value: Any) -> str:  # noqa: ANN401 - a cell of any kind
    """Return a value for people, on one line: what is written is counted in lines."""
    far = isinstance(value, dt.datetime) and not dt.MINYEAR <= value.year <= dt.MAXYEAR
    if far and hasattr(value, "asm8"):
        # Python writes no such year of pandas' times; NumPy does.
        value = value.asm8
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        # Python writes none of more than 4,300 digits.
        return f"a whole number of more than {_SHOWN} digits"
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _yes_no(name: str, value: object, problems: list[Problem]) -> float:
    is_small = isinstance(value, int | float) and abs(value) <= 1
    word = str(value).strip().lower() if is_small or isinstance(value, str) else ""
    word = without_fraction(word)
    if word in YES or word in NO:
        return float(word in YES)
    problems.append(
        Problem(f"{name} = {shown(value)}", "is neither yes nor no", "Give true or false.")
    )
    return _NAN


def _text(name: str, value: Any, problems: list[Problem]) -> Value:  # noqa: ANN401 - any JSON
    """Return the text of a category as a file has it, also where it was given as a number."""
    if isinstance(value, str):
        return without_fraction(value.strip())
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal) and -_LARGE < value < _LARGE:
        return without_fraction(str(value))
    problems.append(
        Problem(f"{name} = {shown(value)}", "is not a category", "Give its text or its number.")
    )
    return _NAN


def _twice(name: str, column: Column, record: Mapping[str, Any]) -> Problem:
    first = next(one for one in record if one in column.names and record[one] is not None)
    return Problem(name, f"is the same column as {first}, and both are given", "Give one of them.")


def _outside(name: str, value: object, column: Column) -> Problem:
    given = f"{name} = {shown(value)}"
    rule = f"is not {column.wanted}"
    return Problem(given, rule, f"Give {column.wanted}.")

"""Calendar months, the unit in which trips are published, and their split by time."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from model_loop.errors import InvalidInputError
from model_loop.options import options, setting_option

#: Pattern of a month; the trigger forms check it as well.
MONTH_PATTERN = r"^20[0-9]{2}-(0[1-9]|1[0-2])$"

_MONTH_REMEDY = "Give months as YYYY-MM, for example 2024-01."


@dataclass(frozen=True, order=True)
class Month:
    """One calendar month."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``2024-01``.

        Raises
        ------
        InvalidInputError
            If *text* is not a month.
        """
        if not re.match(MONTH_PATTERN, text.strip()):
            raise InvalidInputError(f"Month {text!r}", "is not a month", _MONTH_REMEDY)
        year, number = text.strip().split("-")
        return cls(int(year), int(number))

    @property
    def start(self) -> dt.datetime:
        """The first moment of the month (local time of New York, without a zone, as published)."""
        return dt.datetime(self.year, self.number, 1)  # noqa: DTZ001 - TLC times carry no zone

    def next(self) -> Month:
        """The month after this one."""
        years, months = divmod(self.number, 12)
        return Month(self.year + years, months + 1)

    def previous(self) -> Month:
        """The month before this one."""
        return Month(self.year, self.number - 1) if self.number > 1 else Month(self.year - 1, 12)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


def parse_months(given: str | Iterable[str | Month] | None) -> tuple[Month, ...]:
    """Read a list of months, from ``"2024-01,2024-02"``, ``"2023-11..2024-02"`` or a sequence.

    Nothing, as of an empty field of a form, is no month.

    Returns
    -------
    tuple of Month
        Sorted and without repetitions.

    Raises
    ------
    InvalidInputError
        If one of them is not a month, or a range runs backwards.
    """
    parts = given.split(",") if isinstance(given, str) else [*map(str, given or ())]
    months = {month for part in parts if part.strip() for month in _parse_range(part)}
    return tuple(sorted(months))


def _parse_range(text: str) -> list[Month]:
    first_text, separator, last_text = text.partition("..")
    first = Month.parse(first_text)
    last = Month.parse(last_text) if separator else first
    if last < first:
        raise InvalidInputError(
            f"Range {text.strip()!r}", "runs backwards", "Put the earlier month first."
        )
    months = [first]
    while months[-1] < last:
        months.append(months[-1].next())
    return months


_LIST = {"type": "array", "items": {"type": "string", "pattern": MONTH_PATTERN}}
#: Months that a caller names: at least one, and as many as there are.
Months = Annotated[
    tuple[Month, ...], BeforeValidator(parse_months), WithJsonSchema({**_LIST, "minItems": 1})
]
OptionalMonths = Annotated[tuple[Month, ...], BeforeValidator(parse_months), WithJsonSchema(_LIST)]


@options
class MonthSplit:
    """Train, validation and test months: strictly one after the other.

    Raises
    ------
    InvalidInputError
        If train or validation is empty, a month has not begun, or the three are not in order.
    """

    train: Months = setting_option("train_months", name="train_months")
    validation: Months = setting_option("validation_months", name="validation_months")
    test: OptionalMonths = setting_option("test_months", name="test_months", default=())

    def __post_init__(self) -> None:
        """Check the rules of the class."""
        for name, months in (("train", self.train), ("validation", self.validation)):
            if not months:
                raise InvalidInputError(
                    f"The list of {name} months", "is empty", "Name at least one month, as YYYY-MM."
                )
        for month in self.all:
            _refuse_future(month)
        _require_order("validation", self.validation, "train", self.train)
        _require_order("test", self.test, "validation", self.validation)

    @classmethod
    def parse(
        cls,
        train: str | Iterable[str],
        validation: str | Iterable[str],
        test: str | Iterable[str] = (),
    ) -> MonthSplit:
        """Read the three lists of months; see `parse_months`."""
        return cls(parse_months(train), parse_months(validation), parse_months(test))

    @classmethod
    def ending_at(cls, newest: Month, train_months: int) -> MonthSplit:
        """The newest month to judge by, the one before to tune on, and some before to learn from.

        Raises
        ------
        InvalidInputError
            If there is no train month, or *newest* has not begun.
        """
        validation = newest.previous()
        train = [validation.previous()]
        while len(train) < train_months:
            train.append(train[-1].previous())
        return cls(tuple(reversed(train[:train_months])), (validation,), (newest,))

    @property
    def all(self) -> tuple[Month, ...]:
        """Every month, in order."""
        return self.train + self.validation + self.test


def _refuse_future(month: Month) -> None:
    today = dt.datetime.now(tz=dt.UTC)
    if month >= Month(today.year, today.month):
        raise InvalidInputError(
            f"Month {month}",
            "has not ended yet, so its trips are not published",
            f"Choose a month before {today:%Y-%m}; TLC publishes with about two months' delay.",
        )


def _require_order(
    later_name: str, later: tuple[Month, ...], earlier_name: str, earlier: tuple[Month, ...]
) -> None:
    if later and min(later) <= max(earlier):
        raise InvalidInputError(
            f"The {later_name} month {min(later)}",
            f"is not after the {earlier_name} month {max(earlier)}",
            f"Time decides: choose {later_name} months that follow all {earlier_name} months.",
        )

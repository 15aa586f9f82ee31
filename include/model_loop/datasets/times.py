"""Times of requests and files, on the clocks of a dataset's place.

A format is ``ISO8601`` (a day, or a day and a time with ``T`` or a space between them, with or
without seconds, fractions and an offset, ``Z`` or ``UTC``), one of `datetime.strptime`, an epoch
(``epoch_s``, ``epoch_ms``, ``epoch_us``: numbers since 1970 in UTC), or ``excel`` (days as
spreadsheets count them, on the clocks of the place). Beyond `strptime`, ``%q`` is a quarter, and a
week needs no day: it is its Monday. A format of a time of day alone, such as ``%H:%M``, is read as
that time on the first day of 1970, on any clock.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import InvalidInputError

#: Years that are read: those of pandas' nanoseconds, without the first and the last.
FIRST_YEAR, LAST_YEAR = 1678, 2261

ISO = "ISO8601"
#: Days of spreadsheets, which count from the end of 1899.
EXCEL = "excel"
#: Microseconds of a unit of numbers that count times, and days from 1970 to their zero.
EPOCHS: Mapping[str, int] = {
    "epoch_s": 1_000_000,
    "epoch_ms": 1_000,
    "epoch_us": 1,
    EXCEL: 86_400_000_000,
}
EPOCH_DAYS: Mapping[str, int] = {EXCEL: -25_569}
#: Formats of a time of day that are read beside the declared one.
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")

_ISO = (
    r"^(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    r"(?:[Tt ](?P<H>[0-9]{2})(?::(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]{1,12}))?)?)?"
    r" ?(?P<z>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)
#: A word in any alphabet, as Python writes it.
WORD = r"[^\W\d_]+"
_DIRECTIVES = {
    "Y": r"(?P<Y>[0-9]{4})",
    "y": r"(?P<y>[0-9]{2})",
    "m": r"(?P<m>[0-9]{1,2})",
    "d": r"(?P<d>[0-9]{1,2})",
    "H": r"(?P<H>[0-9]{1,2})",
    "I": r"(?P<I>[0-9]{1,2})",
    "M": r"(?P<M>[0-9]{2})",
    "S": r"(?P<S>[0-9]{2})",
    "f": r"(?P<f>[0-9]{1,12})",
    "G": r"(?P<G>[0-9]{4})",
    "V": r"(?P<V>[0-9]{1,2})",
    "u": r"(?P<u>[1-7])",
    "j": r"(?P<j>[0-9]{3})",
    "q": r"(?P<q>[1-4])",
    "p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "b": rf"(?P<b>{WORD})\.?",
    "B": rf"(?P<b>{WORD})\.?",
    "a": rf"{WORD}\.?",
    "A": rf"{WORD}\.?",
    "z": r"(?P<z>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "Z": r"(?P<z>Z|UTC|GMT)",
    "%": "%",
}
#: Beginnings of months' names, in the languages of Europe and in Arabic.
_MONTHS = tuple(
    tuple(begins.split())
    for begins in (
        "jan jän ene gen ian sty led oca tammi янв січ ιαν يناير",  # noqa: RUF001 - Cyrillic, Greek
        "feb fév fév fev lut úno úno şub helmi фев лют φεβ فبراير",
        "mar mär mär mrz mrt bře maalis мар бер μαρ مارس",  # noqa: RUF001 - Cyrillic, Greek
        "apr avr abr ápr kwi dub nis huhti апр кві απρ أبريل ابريل",
        "may mai mag maj mei máj kvě touko май мая тра μαΐ μάι مايو",
        "jun juin giu iun jún cze čer haz kesä июн чер ιουν ιούν يونيو",  # noqa: RUF001 - Cyrillic, Greek
        "jul juil lug iul júl lip červenec července tem heinä июл лип ιουλ ιούλ يوليو",
        "aug aoû aoû ago sie srp ağu elo авг сер αυγ αύγ أغسطس اغسطس",  # noqa: RUF001 - Cyrillic, Greek
        "sep set sze wrz zář eyl syys сен вер σεπ سبتمبر",
        "oct okt ott out paź říj eki loka окт жов οκτ أكتوبر اكتوبر",
        "nov noi lis kas marras ноя лис νοε νοέ نوفمبر",
        "dec dez déc dic gru pro ara joulu дек гру δεκ ديسمبر",  # noqa: RUF001 - Cyrillic, Greek
    )
)
#: Letters of other tools' formats; minutes are behind hours, or in small letters.
_LETTERS = (
    (r"[Yy]{4}", "%Y"),
    (r"[Yy]{2}", "%y"),
    (r"[Dd]{2}", "%d"),
    (r"(?<=[Hh]:)[Mm]{2}|(?<=[Hh])[Mm]{2}", "%M"),
    (r"[Hh]{2}", "%H"),
    (r"(?<!%)[Ss]{2}", "%S"),
    (r"MM", "%m"),
    (r"mm", "%m"),
)
#: Two digits from here on are years of the last century, as POSIX has it.
LAST_CENTURY = 69
_HOURS_OF_HALF_A_DAY, _MICRO_DIGITS = 12, 6
#: Directives whose text is digits.
_DIGITS = frozenset("YymdHIMSGVujq")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NOT_A_TIME = "is not a time"


@dataclass(frozen=True)
class TimeReader:
    """Reads times of one column.

    Parameters
    ----------
    stored_in
        Time zone of values that carry none. Of two moments that its clocks show as the same time,
        the first is meant; a time that they skip is the first moment after.
    time_zone
        Time zone of the place, on whose clocks times are returned. A day without a time of day is
        the same day there.
    time_format
        Format of texts. Times in ISO 8601 are read in any case.
    """

    stored_in: str
    time_zone: str
    time_format: str = ISO

    def __call__(self, value: object) -> dt.datetime:
        """Return a time on the clocks of the place.

        Raises
        ------
        ValueError
            If it is none, or out of bounds; the message continues "<name> = <value> …".
        """
        is_day = False
        if isinstance(value, str):
            moment, is_day = self._read(value.strip())
        elif isinstance(value, dt.datetime):
            moment, is_day = self._on_clock(value, is_day=False)
        elif isinstance(value, int | float) and self.time_format in EPOCHS:
            moment, is_day = self._of_epoch(value), self.time_format == EXCEL
        else:
            raise ValueError(_NOT_A_TIME)
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValueError(f"is out of bounds: times are from {FIRST_YEAR} to {LAST_YEAR}")
        if is_day:
            return moment
        if moment.tzinfo is None:
            if self.stored_in == self.time_zone:
                return moment
            moment = _first_moment(moment, ZoneInfo(self.stored_in))
        return moment.astimezone(ZoneInfo(self.time_zone)).replace(tzinfo=None)

    def _read(self, text: str) -> tuple[dt.datetime, bool]:
        """Return a time, and whether it is a day without a time of day."""
        if self.time_format in EPOCHS and _NUMBER.fullmatch(text):
            return self._of_epoch(float(text)), self.time_format == EXCEL
        for one in formats_read(self.time_format):
            if one not in EPOCHS and (fields := re.match(pattern(one), text)):
                try:
                    return self._on_clock(*_composed(fields.groupdict()))
                except ValueError:
                    break
        raise ValueError(f"{_NOT_A_TIME} such as {self.example}")

    def _on_clock(self, moment: dt.datetime, is_day: bool) -> tuple[dt.datetime, bool]:  # noqa: FBT001 - private
        """Return a moment as it is, or the time of the day where the format says no day."""
        if not is_clock(self.time_format):
            return moment, is_day
        return moment.replace(year=1970, month=1, day=1, tzinfo=None), True

    def _of_epoch(self, number: float) -> dt.datetime:
        days = dt.timedelta(days=EPOCH_DAYS.get(self.time_format, 0))
        try:
            micros = dt.timedelta(microseconds=round(number * EPOCHS[self.time_format]))
            moment = _EPOCH + micros + days
        except (OverflowError, ValueError):
            raise ValueError(_NOT_A_TIME) from None
        return moment.replace(tzinfo=None) if self.time_format == EXCEL else moment

    @property
    def example(self) -> str:
        """A time as texts have it."""
        example = dt.datetime(2024, 1, 15, 8, 30)  # noqa: DTZ001 - of no place
        if self.time_format in EPOCHS:
            seconds = int(example.replace(tzinfo=dt.UTC).timestamp())
            seconds -= EPOCH_DAYS.get(self.time_format, 0) * SECONDS_PER_DAY
            return str(seconds * EPOCHS["epoch_s"] // EPOCHS[self.time_format])
        if self.time_format == ISO:
            return f"{example}"
        return example.strftime(self.time_format.replace("%q", "1"))


@functools.cache
def is_clock(time_format: str) -> bool:
    """Return whether a format is of a time of day, without a day."""
    return time_format != ISO and time_format not in EPOCHS and not _directives(time_format) & _DAYS


@functools.cache
def is_period(time_format: str) -> bool:
    """Return whether a format is of weeks, months or quarters, without a day in them."""
    days = {"d", "j", "u"} & _directives(time_format)
    return not days and time_format != ISO and time_format not in EPOCHS


@functools.cache
def formats_read(time_format: str) -> tuple[str, ...]:
    """Return the formats in which a column's times are read: its own, and what requests may have.

    Those are times in ISO 8601, in any column.
    """
    clocks = _CLOCKS if is_clock(time_format) else ()
    return tuple(dict.fromkeys((time_format, *clocks, ISO)))


#: Directives that say a day, or a part of one.
_DAYS = frozenset("YymdbBGVujq")


def _directives(time_format: str) -> set[str]:
    return {token[1:] for token in re.findall(r"%.", time_format)}


@functools.cache
def pattern(time_format: str) -> str:
    """Return the regular expression of a format, with a group for each directive.

    Raises
    ------
    InvalidInputError
        If the format has a directive that is unknown, or says neither a year and a part of it nor
        a time of day alone.
    """
    if time_format == ISO:
        return _ISO
    tokens = re.findall(r"%.?|[^%]+", time_format)
    pieces, names = list[str](), _directives(time_format)
    for place, token in enumerate(tokens):
        if not token.startswith("%"):
            pieces.append(re.sub(r"(?:\\ )+", r"\\s+", re.escape(token)))
            continue
        piece = _DIRECTIVES.get(token[1:])
        if piece is None:
            raise _refused(time_format, f"has {token!r}, which is not read")
        beside = tokens[max(0, place - 1) : place] + tokens[place + 1 : place + 2]
        if any(other.startswith("%") for other in beside):
            piece = piece.replace("{1,2}", "{2}")
        pieces.append(piece)
    in_year = names & {"Y", "y"} and names & set("mbBjq")
    if not in_year and not {"G", "V"} <= names and (names & _DAYS or not names & {"H", "I"}):
        raise _refused(time_format, "says no year and month, and no time of day alone")
    found = f"^{''.join(pieces)}$"
    groups = re.findall(r"\?P<(\w)>", found)
    if len(groups) != len(set(groups)):
        raise _refused(time_format, "says the same twice")
    return found


def _refused(time_format: str, rule: str) -> InvalidInputError:
    if "%" not in time_format and (meant := _of_letters(time_format)) != time_format:
        return InvalidInputError(
            f"The format of times {time_format!r}", rule, f"Write it as {meant}."
        )
    known = ", ".join(f"%{name}" for name in _DIRECTIVES if name != "%")
    return InvalidInputError(
        f"The format of times {time_format!r}",
        rule,
        f"Combine {known}, or give {ISO}, {', '.join(EPOCHS)}.",
    )


def _of_letters(time_format: str) -> str:
    """Return a format such as ``DD.MM.YYYY HH:mm`` as `datetime.strptime` has it."""
    for letters, directive in _LETTERS:
        time_format = re.sub(letters, directive, time_format)
    return time_format


def month_of(name: str) -> int:
    """Return the number of a month by its name, 0 if it is none; the longest beginning counts."""
    fitting = [
        (len(begin), number)
        for number, begins in enumerate(_MONTHS, 1)
        for begin in begins
        if name.lower().startswith(begin)
    ]
    return max(fitting, default=(0, 0))[1]


def _composed(fields: Mapping[str, str | None]) -> tuple[dt.datetime, bool]:
    """Return the time of the digits of a format, and whether it is a day without a time of day."""
    digits = {name: int(text) for name, text in fields.items() if text and name in _DIGITS}
    day = _day(digits, fields.get("b"))
    hour = digits.get("H", 0)
    if "I" in digits:
        if not 1 <= digits["I"] <= _HOURS_OF_HALF_A_DAY:
            raise ValueError(_NOT_A_TIME)
        after_noon = (fields.get("p") or "").lower() == "p"
        hour = digits["I"] % _HOURS_OF_HALF_A_DAY + _HOURS_OF_HALF_A_DAY * after_noon
    micro = int((fields.get("f") or "0").ljust(_MICRO_DIGITS, "0")[:_MICRO_DIGITS])
    clock = (hour, digits.get("M", 0), digits.get("S", 0), micro)
    time_zone = _offset(fields["z"] or "") if fields.get("z") else None
    moment = dt.datetime.combine(day, dt.time(*clock), time_zone)
    return moment, not digits.keys() & {"H", "I"}


def _day(digits: Mapping[str, int], month_name: str | None) -> dt.date:
    """Return the day of the digits of a format; the first one of 1970 where they say none."""
    if "G" in digits:
        return dt.date.fromisocalendar(digits["G"], digits["V"], digits.get("u", 1))
    if not digits.keys() & {"Y", "y"}:
        return dt.date(1970, 1, 1)
    short = digits.get("y", 0)
    year = digits["Y"] if "Y" in digits else short + (1900 if short >= LAST_CENTURY else 2000)
    if "j" in digits:
        day = dt.date(year, 1, 1) + dt.timedelta(days=digits["j"] - 1)
        if day.year != year:
            raise ValueError(_NOT_A_TIME)
        return day
    if "q" in digits:
        return dt.date(year, 3 * digits["q"] - 2, 1)
    month = digits["m"] if "m" in digits else month_of(month_name or "")
    return dt.date(year, month, digits.get("d", 1))


def _offset(text: str) -> dt.timezone:
    if text[0] not in "+-":
        return dt.UTC
    minutes = int(text[1:3]) * 60 + (int(text[-2:]) if len(text) > len("+05") else 0)
    return dt.timezone(dt.timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _first_moment(local: dt.datetime, time_zone: ZoneInfo) -> dt.datetime:
    """Return the moment of a time on the clocks of a time zone, see `TimeReader.stored_in`."""
    late = local.replace(tzinfo=time_zone).astimezone(dt.UTC)
    early = local.replace(tzinfo=time_zone, fold=1).astimezone(dt.UTC)
    if early >= late:
        return late
    # The clocks skip it: look for the second at which they do.
    before = early.astimezone(time_zone).utcoffset()
    while late - early > dt.timedelta(seconds=1):
        middle = early + (late - early) // 2
        if middle.astimezone(time_zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)

"""Times of requests and files, on the clocks of a dataset's place.

A format is ``ISO8601`` (a day, or a day and a time with ``T`` or a space between them, with or
without seconds, fractions and an offset, ``Z`` or ``UTC``), one of `datetime.strptime`, or an epoch
(``epoch_s``, ``epoch_ms``, ``epoch_us``: numbers since 1970 in UTC).
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from model_loop.errors import InvalidInputError

#: Years that are read: those of pandas' nanoseconds, without the first and the last.
FIRST_YEAR, LAST_YEAR = 1678, 2261

ISO = "ISO8601"
#: Microseconds of a unit of numbers that count from 1970.
EPOCHS: Mapping[str, int] = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}

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
    "p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "b": rf"(?P<b>{WORD})\.?",
    "B": rf"(?P<b>{WORD})\.?",
    "a": rf"{WORD}\.?",
    "A": rf"{WORD}\.?",
    "z": r"(?P<z>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "Z": r"(?P<z>Z|UTC|GMT)",
    "%": "%",
}
#: Beginnings of months' names, in English, German, French, Spanish, Italian and Portuguese.
_MONTHS = (
    ("jan", "jän", "ene", "gen"),
    ("feb", "fév", "fev"),
    ("mar", "mär", "mrz"),
    ("apr", "avr", "abr"),
    ("may", "mai", "mag"),
    ("jun", "juin", "giu"),
    ("jul", "juil", "lug"),
    ("aug", "aoû", "ago"),
    ("sep", "set"),
    ("oct", "okt", "ott", "out"),
    ("nov",),
    ("dec", "dez", "déc", "dic"),
)
#: Two digits from here on are years of the last century, as POSIX has it.
LAST_CENTURY = 69
_HOURS_OF_HALF_A_DAY, _MICRO_DIGITS = 12, 6
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
            moment = value
        elif isinstance(value, int | float) and self.time_format in EPOCHS:
            moment = self._of_epoch(value)
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
            return self._of_epoch(float(text)), False
        for one in dict.fromkeys((self.time_format, ISO)):
            if one not in EPOCHS and (fields := re.match(pattern(one), text)):
                try:
                    return _composed(fields.groupdict())
                except ValueError:
                    break
        raise ValueError(f"{_NOT_A_TIME} such as {self.example}")

    def _of_epoch(self, number: float) -> dt.datetime:
        try:
            return _EPOCH + dt.timedelta(microseconds=round(number * EPOCHS[self.time_format]))
        except (OverflowError, ValueError):
            raise ValueError(_NOT_A_TIME) from None

    @property
    def example(self) -> str:
        """A time as texts have it."""
        example = dt.datetime(2024, 1, 15, 8, 30)  # noqa: DTZ001 - of no place
        if self.time_format in EPOCHS:
            seconds = int(example.replace(tzinfo=dt.UTC).timestamp())
            return str(seconds * EPOCHS["epoch_s"] // EPOCHS[self.time_format])
        if self.time_format == ISO:
            return f"{example}"
        return example.strftime(self.time_format)


@functools.cache
def pattern(time_format: str) -> str:
    """Return the regular expression of a format, with a group for each directive.

    Raises
    ------
    InvalidInputError
        If the format has a directive that is unknown, or says no year and month.
    """
    if time_format == ISO:
        return _ISO
    tokens = re.findall(r"%.?|[^%]+", time_format)
    pieces, names = list[str](), set[str]()
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
        names |= {token[1:]}
        pieces.append(piece)
    if not names & {"Y", "y"} or not names & {"m", "b", "B"}:
        raise _refused(time_format, "says no year and month")
    found = f"^{''.join(pieces)}$"
    groups = re.findall(r"\?P<(\w)>", found)
    if len(groups) != len(set(groups)):
        raise _refused(time_format, "says the same twice")
    return found


def _refused(time_format: str, rule: str) -> InvalidInputError:
    known = ", ".join(f"%{name}" for name in _DIRECTIVES if name != "%")
    return InvalidInputError(
        f"The format of times {time_format!r}",
        rule,
        f"Combine {known}, or give {ISO}, {', '.join(EPOCHS)}.",
    )


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
    digits = {name: int(text) for name, text in fields.items() if text and name in "YymdHIMS"}
    short = digits.get("y", 0)
    year = digits["Y"] if "Y" in digits else short + (1900 if short >= LAST_CENTURY else 2000)
    month = digits["m"] if "m" in digits else month_of(fields.get("b") or "")
    hour = digits.get("H", 0)
    if "I" in digits:
        if not 1 <= digits["I"] <= _HOURS_OF_HALF_A_DAY:
            raise ValueError(_NOT_A_TIME)
        after_noon = (fields.get("p") or "").lower() == "p"
        hour = digits["I"] % _HOURS_OF_HALF_A_DAY + _HOURS_OF_HALF_A_DAY * after_noon
    micro = int((fields.get("f") or "0").ljust(_MICRO_DIGITS, "0")[:_MICRO_DIGITS])
    clock = (hour, digits.get("M", 0), digits.get("S", 0), micro)
    zone = _offset(fields["z"] or "") if fields.get("z") else None
    moment = dt.datetime(year, month, digits.get("d", 1), *clock, tzinfo=zone)
    return moment, not digits.keys() & {"H", "I"}


def _offset(text: str) -> dt.timezone:
    if text[0] not in "+-":
        return dt.UTC
    minutes = int(text[1:3]) * 60 + (int(text[-2:]) if len(text) > len("+05") else 0)
    return dt.timezone(dt.timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _first_moment(local: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return the moment of a time on the clocks of a zone, see `TimeReader.stored_in`."""
    late = local.replace(tzinfo=zone).astimezone(dt.UTC)
    early = local.replace(tzinfo=zone, fold=1).astimezone(dt.UTC)
    if early >= late:
        return late
    # The clocks skip it: look for the second at which they do.
    before = early.astimezone(zone).utcoffset()
    while late - early > dt.timedelta(seconds=1):
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)

"""Times of requests and files, on the clocks of a dataset's place."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

#: Years that are read: those of pandas' nanoseconds, without the first and the last.
FIRST_YEAR, LAST_YEAR = 1678, 2261

_OFFSET = re.compile(r"\s*(?:UTC|Z)$", re.IGNORECASE)
_SHORT_OFFSET = re.compile(r"(?<=\d)([+-]\d{2})$")


@dataclass(frozen=True)
class TimeReader:
    """Reads times of one table.

    Parameters
    ----------
    stored_in
        Time zone of values that carry none.
    time_zone
        Time zone of the place, on whose clocks times are returned.
    """

    stored_in: str
    time_zone: str

    def __call__(self, value: object) -> dt.datetime:
        """Return a time on the clocks of the place.

        Raises
        ------
        ValueError
            If it is none, or out of bounds; the message continues "<name> = <value> …".
        """
        if isinstance(value, str):
            moment = _read(value)
        elif isinstance(value, dt.datetime):
            moment = value
        else:
            raise ValueError("is not a time")  # noqa: TRY004 - one error for all
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValueError(f"is out of bounds: times are from {FIRST_YEAR} to {LAST_YEAR}")
        if moment.tzinfo is None:
            if self.stored_in == self.time_zone:
                return moment
            moment = moment.replace(tzinfo=ZoneInfo(self.stored_in))
        return moment.astimezone(ZoneInfo(self.time_zone)).replace(tzinfo=None)


def _read(text: str) -> dt.datetime:
    given = _OFFSET.sub("+00:00", text.strip())
    if ":" in given:
        given = _SHORT_OFFSET.sub(r"\1:00", given)
    try:
        return dt.datetime.fromisoformat(given)
    except ValueError:
        raise ValueError("is not a time such as 2024-01-15 08:30:00") from None

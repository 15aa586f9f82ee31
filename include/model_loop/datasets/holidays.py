"""Public holidays of countries, from the package `holidays`."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import warnings

from model_loop.datasets.declaration import Declaration, Time
from model_loop.datasets.declaration_file import nearest
from model_loop.datasets.times import ISO, is_clock, is_period
from model_loop.errors import InvalidInputError

#: Years whose holidays a model knows, as far as the package does. None is known before or after.
FIRST_YEAR, LAST_YEAR = 1900, 2100

_EPOCH = dt.date(1970, 1, 1)

logger = logging.getLogger(__name__)


def holidays_of(time: Time | None) -> tuple[int, ...]:
    """Return the public holidays of the country of a table, in days since 1970, ascending.

    Empty if the table has no time, or names no country.

    Raises
    ------
    InvalidInputError
        If the country or the subdivision is unknown.
    """
    if time is None or time.country is None:
        return ()
    return _holidays(time.country, time.subdivision)


def dated_columns(declaration: Declaration) -> list[str]:
    """Return the columns of times that say a day, and not a time of day or a month alone."""
    formats = {
        name: column.format or ISO
        for name, column in declaration.columns.items()
        if column.type == "time"
    }
    return [name for name, each in formats.items() if not is_clock(each) and not is_period(each)]


@functools.cache
def _holidays(country: str, subdivision: str | None) -> tuple[int, ...]:
    import holidays  # noqa: PLC0415 - a tenth of a second, for tables of a country alone

    key = "time.country"
    try:
        kind = holidays.country_holidays(country)
        key, given = "time.subdivision", subdivision
        options = (*kind.subdivisions, *kind.subdivisions_aliases)
    except NotImplementedError:
        given, options = country, tuple(holidays.list_supported_countries())
    if given not in {None, *options}:
        raise InvalidInputError(f"{key} = {given!r}", "is unknown", nearest(str(given), options))
    years = range(FIRST_YEAR, LAST_YEAR + 1)
    with warnings.catch_warnings(record=True) as limits:
        warnings.simplefilter("always")
        days = holidays.country_holidays(country, subdiv=subdivision, years=years)
    for limit in limits:
        logger.info("Holidays of %s: %s", country, limit.message)
    return tuple(sorted((day - _EPOCH).days for day in days))

"""Looking which months a source has published."""

from __future__ import annotations

import datetime as dt

from trip_duration.months import Month
from trip_duration.publications import Publication, Publications
from trip_duration.services import Service
from trip_duration.source.fetching import look_up_month

#: Months that are looked at again, because TLC now and then publishes one anew.
LOOK_BACK_MONTHS = 12


def look_at_source(
    source: str, service: Service, known: Publications, since: Month, *, timeout_seconds: float
) -> Publications:
    """Look up the months that a source has now: the known ones, and those that follow.

    Months that follow are looked for one by one, up to the first that is not published.

    Parameters
    ----------
    known
        Publications of the last look.
    since
        Month before the first one that is looked for while none is known.

    Raises
    ------
    InvalidInputError
        If *source* is no source.
    SourceError
        If it refuses an answer.
    TransientSourceError
        If it does not answer as it should.
    """
    found = {}
    for month in sorted(known.known)[-LOOK_BACK_MONTHS:]:
        one = look_up_publication(source, service, month, timeout_seconds=timeout_seconds)
        if one is not None:
            found[month] = one
    month = (known.newest or since).next()
    today = dt.datetime.now(tz=dt.UTC)
    while month < Month(today.year, today.month):
        one = look_up_publication(source, service, month, timeout_seconds=timeout_seconds)
        if one is None:
            break
        found[month] = one
        month = month.next()
    return Publications(found)


def look_up_publication(
    source: str, service: Service, month: Month, *, timeout_seconds: float
) -> Publication | None:
    """One month as its source has it; None where it has not.

    Raises
    ------
    InvalidInputError, SourceError, TransientSourceError
        As `look_at_source`.
    """
    version = look_up_month(source, service, month, timeout_seconds=timeout_seconds)
    return None if version is None else Publication(month, version)

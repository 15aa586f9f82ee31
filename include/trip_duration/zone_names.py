"""The names of the taxi zones, for people; light enough for forms, which Airflow reads often."""

from __future__ import annotations

import csv
import difflib
import functools
import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

from model_loop.errors import InvalidInputError
from trip_duration.services import DROPOFF_ZONE, PICKUP_ZONE

_DASH = "\N{EN DASH}"
#: Signs between a borough and a zone: a comma, a colon, or a dash of any length.
_BETWEEN = re.compile(r"\s*[,:\-\u2010-\u2015]\s*")
_NUMBER_AT_END = re.compile(r"\((\d+)\)\s*$")
_NUMBER = re.compile(r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_SUGGESTIONS = 3
#: Characters of a name for which similar ones are looked for; no zone has as many.
_LONGEST = 100
_HOW = 'Give a number, or "Borough - Zone" as the form shows it.'


@functools.cache
def zone_labels() -> Mapping[int, str]:
    """Return the labels of the zones, such as "Manhattan - Upper West Side South (239)"."""
    labels = {
        int(row["LocationID"]): f"{row['borough']} {_DASH} {row['zone']} ({row['LocationID']})"
        for row in _rows()
    }
    return MappingProxyType(labels)


def zone_choices(column: str) -> Mapping[int, str]:
    """Return the zones with their labels, as a person looks for them; nothing for other columns."""
    if column not in {PICKUP_ZONE, DROPOFF_ZONE}:
        return MappingProxyType({})
    return MappingProxyType(dict(sorted(zone_labels().items(), key=lambda zone: zone[1])))


def find_zone(given: object) -> int:
    """Return the number of a zone that is named; `suggest_zone` names similar ones.

    Parameters
    ----------
    given
        Its number, as a number or as text; its label; ``Borough - Zone``; or the zone alone. Case
        and the kind of dash do not matter.

    Raises
    ------
    InvalidInputError
        If there is no such zone, or several of that name.
    """
    if (known := known_zone(given)) is not None:
        return known
    if _number(given) is not None:
        raise InvalidInputError(
            f"Zone {given}", "is unknown", f"TLC numbers its zones from 1 to {max(zone_labels())}."
        )
    if found := _by_name().get(_plain(str(given)), ()):
        raise InvalidInputError(
            f"Zone {given!r}",
            f"is the name of {len(found)} zones",
            f"Give the number of one of them: {', '.join(map(str, found))}.",
        )
    raise InvalidInputError(f"Zone {given!r}", "is unknown", _HOW)


def known_zone(given: object) -> int | None:
    """Return the number of a zone as `find_zone` does; None if there is none, or several."""
    number = _number(given)
    if number is not None:
        return number if number in zone_labels() else None
    found = _by_name().get(_plain(str(given)), ())
    return found[0] if len(found) == 1 else None


def _number(given: object) -> int | None:
    """A whole number, however it is given."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    if isinstance(given, str):
        labelled = _NUMBER_AT_END.search(given)
        text = labelled[1] if labelled else given.strip()
        # Programs that know one kind of number write 74.0, or 7.4e1.
        given = float(text) if _NUMBER.fullmatch(text) else float("nan")
    return int(given) if isinstance(given, int) or given.is_integer() else None


def _plain(name: str) -> str:
    return _BETWEEN.sub(" ", name).casefold().strip()


@functools.cache
def _by_name() -> Mapping[str, tuple[int, ...]]:
    """Numbers of the zones by plain names, with and without the borough."""
    numbers: dict[str, tuple[int, ...]] = {}
    for row in _rows():
        number = int(row["LocationID"])
        for name in {_plain(row["zone"]), _plain(f"{row['borough']} - {row['zone']}")}:
            numbers[name] = (*numbers.get(name, ()), number)
    return MappingProxyType(numbers)


def suggest_zone(given: object) -> str:
    """Return the remedy for a name that no zone has, with similar names."""
    if (several := _by_name().get(_plain(str(given)), ())) and len(several) > 1:
        return f"Give the number of one of them: {', '.join(map(str, several))}."
    plain = _plain(str(given))[:_LONGEST]
    close = difflib.get_close_matches(plain, _by_name(), n=_SUGGESTIONS, cutoff=0.5)
    labels = dict.fromkeys(zone_labels()[number] for name in close for number in _by_name()[name])
    similar = f" Similar: {'; '.join(labels)}." if labels else ""
    return f"{_HOW}{similar}"


@functools.cache
def _rows() -> tuple[Mapping[str, str], ...]:
    with resources.files("trip_duration").joinpath("zones.csv").open() as file:
        return tuple(csv.DictReader(file))

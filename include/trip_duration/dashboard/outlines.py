"""Outlines of the zones, where the operator has a file of them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from model_loop.errors import InvalidInputError

#: Degrees, about ten metres: points that lie nearer are left out.
_FINE = 0.0006
_CORNERS = 4

Ring = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Outlines:
    """Outlines of a zone file.

    Parameters
    ----------
    rings
        Longitudes and latitudes (degrees) of all outlines.
    zones
        The same by the zone's number, where the file names it (property ``LocationID``).
    """

    rings: tuple[Ring, ...] = ()
    zones: Mapping[int, tuple[Ring, ...]] = field(default_factory=dict)


@functools.lru_cache(maxsize=2)
def outlines_of(file: str) -> Outlines:
    """The outlines in a GeoJSON file; none without a file.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or holds no polygons in degrees.
    """
    if not file:
        return Outlines()
    rings: list[Ring] = []
    zones: dict[int, tuple[Ring, ...]] = {}
    try:
        for one in json.loads(Path(file).read_text(encoding="utf-8"))["features"]:
            found = tuple(ring for ring in map(_thinned, _rings(one["geometry"])) if _is_area(ring))
            rings += found
            if (zone := _zone(one.get("properties") or {})) is not None:
                zones[zone] = (*zones.get(zone, ()), *found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _unusable(file, f"cannot be read ({type(error).__name__})") from error
    if not all(abs(x) <= 180 and abs(y) <= 90 for ring in rings for x, y in ring):  # noqa: PLR2004 - degrees
        raise _unusable(file, "is not in degrees")
    return Outlines(tuple(rings), MappingProxyType(zones))


def outlines_or_why(file: str) -> tuple[Outlines, list[str]]:
    """Read a zone file for pages: empty outlines and a reason if it cannot be used."""
    try:
        return outlines_of(file), []
    except InvalidInputError as error:
        return Outlines(), [str(error)]


def _zone(properties: Mapping[str, Any]) -> int | None:
    """The number of a zone: ``LocationID``, which TLC's files write in several ways."""
    named = {name.replace("_", "").lower(): value for name, value in properties.items()}
    number = str(named.get("locationid", ""))
    return int(number) if number.isdecimal() else None


def _is_area(ring: Ring) -> bool:
    return len(ring) >= _CORNERS


def _rings(geometry: dict[str, Any] | None) -> Iterator[Sequence[Sequence[float]]]:
    if geometry is None:
        # A place without a place, which GeoJSON allows.
        return
    coordinates = geometry["coordinates"]
    for polygon in coordinates if geometry["type"] == "MultiPolygon" else [coordinates]:
        yield polygon[0]


def _thinned(ring: Sequence[Sequence[float]]) -> Ring:
    """The ring without points that nobody could tell apart."""
    kept = [(round(ring[0][0], 4), round(ring[0][1], 4))]
    for x, y, *_ in ring[1:]:
        if max(abs(x - kept[-1][0]), abs(y - kept[-1][1])) >= _FINE:
            kept.append((round(x, 4), round(y, 4)))
    return [*kept, kept[0]]


def _unusable(file: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"Zone file {file}",
        why,
        "Name GeoJSON of the zones in degrees (EPSG:4326) in MODEL_LOOP_DASHBOARD_ZONE_FILE.",
    )

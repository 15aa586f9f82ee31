"""Outlines of the zones, where the operator has a file of them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trip_duration.errors import InvalidInputError

#: Degrees, about ten metres: points that lie nearer are left out.
_FINE = 0.0006
_CORNERS = 4

Ring = Sequence[tuple[float, float]]


@functools.lru_cache(maxsize=2)
def outlines_of(file: str) -> tuple[Ring, ...]:
    """Rings of longitudes and latitudes (degrees) of a GeoJSON file; none without a file.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or holds no polygons in degrees.
    """
    if not file:
        return ()
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        rings = tuple(
            _thinned(ring) for one in content["features"] for ring in _rings(one["geometry"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(file, f"cannot be read ({type(error).__name__})") from error
    if not all(abs(x) <= 180 and abs(y) <= 90 for ring in rings for x, y in ring):  # noqa: PLR2004 - degrees
        raise _unusable(file, "is not in degrees")
    return tuple(ring for ring in rings if len(ring) >= _CORNERS)


def _rings(geometry: dict[str, Any]) -> Iterator[Sequence[Sequence[float]]]:
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
        "Name GeoJSON of the zones in degrees (EPSG:4326) in TRIP_DURATION_DASHBOARD_ZONE_FILE.",
    )

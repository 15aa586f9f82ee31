"""The map of the zones: what it can show, also how far off the champion is in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.charts.chart import Chart, Empty
from model_loop.dashboard.page_data import LoadedParts
from model_loop.tracking.names import NUMBERS
from trip_duration.charts.zones import (
    DURATION,
    LEAST_TRIPS,
    NO_PROFILE,
    rows_of_month,
    zone_rows,
    zones_chart,
)
from trip_duration.dashboard.outlines import Outlines

_ERROR = "error"


def measures_of(parts: LoadedParts) -> dict[str, str]:
    """Return what the map can show, by its name in the address: also each champion's error."""
    of = {f"{_ERROR}_{moment}": f" ({moment})" for moment in parts.registry.led} or {_ERROR: ""}
    return {
        "pickups": "pick-ups",
        "duration": DURATION,
        **{name: f"mean absolute error of the champion{which} (min)" for name, which in of.items()},
    }


def map_chart(
    parts: LoadedParts, profile: Mapping[str, Any] | None, measure: str, outlines: Outlines
) -> Chart:
    """Return a map of a month.

    Parameters
    ----------
    measure
        One of `measures_of`.
    outlines
        Of the zones; those that have one are filled.
    """
    title, empty = measures_of(parts)[measure], NO_PROFILE
    if measure.startswith(_ERROR):
        rows = zone_rows(profile, _errors_by_zone(parts, measure))
        if (profile or {}).get("zones"):
            empty = Empty("The champion was not judged by zone: train a model.", "xgboost_training")
    else:
        rows = rows_of_month(profile, measure)
    return zones_chart(rows, title, empty, outlines.zones, outlines.rings)


def _errors_by_zone(parts: LoadedParts, measure: str) -> dict[int, float]:
    led = {f"{_ERROR}_{moment}": one.champion for moment, one in parts.registry.led.items()}
    champion = parts.registry.version(led.get(measure))
    numbers = parts.numbers(champion.run_id, NUMBERS) if champion else None
    test = (numbers or {}).get("test") or {}
    return {
        int(row["zone"]): row["mae"] for row in test.get("zones", ()) if row["trips"] >= LEAST_TRIPS
    }

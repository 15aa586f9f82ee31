"""Charts of the zones of a month: where trips begin, and what they come to there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from model_loop.charts.chart import Chart, ChartTable, Empty
from trip_duration.charts import maps
from trip_duration.charts.coordinates import coordinates_of
from trip_duration.charts.maps import Ring
from trip_duration.zone_names import zone_labels

NO_PROFILE = Empty("This month has no profile on the tracking server.", "green_months")
DURATION = "mean duration (min)"
#: Zones of fewer trips tell nothing of a mean.
LEAST_TRIPS = 5

ZoneRow = tuple[int, str, int, float]
"""Number, name, trips and value of a zone."""


def rows_of_month(profile: Mapping[str, Any] | None, measure: str) -> list[ZoneRow]:
    """Return the zones of a profile by their ``pickups`` or ``duration``, the highest first."""
    column = {"pickups": "trips", "duration": "mean_duration"}[measure]
    zones = (profile or {}).get("zones", ())
    values = {
        zone["zone"]: zone[column]
        for zone in zones
        if measure == "pickups" or zone["trips"] >= LEAST_TRIPS
    }
    return zone_rows(profile, values)


def zone_rows(profile: Mapping[str, Any] | None, values: Mapping[int, float]) -> list[ZoneRow]:
    """Return the zones of a profile that have a value, the highest first."""
    labels = zone_labels()
    rows = [
        (number, labels.get(number, str(number)), zone["trips"], round(values[number], 3))
        for zone in (profile or {}).get("zones", ())
        if (number := zone["zone"]) in values
    ]
    return sorted(rows, key=lambda row: -row[3])


def zones_chart(
    rows: Iterable[ZoneRow],
    title: str,
    empty: Empty = NO_PROFILE,
    areas: Mapping[int, Sequence[Ring]] = MappingProxyType({}),
    outlines: Sequence[Ring] = (),
) -> Chart:
    """Return a map of the values of zones, and their table.

    Parameters
    ----------
    title
        Name and unit of the value.
    areas
        Outlines by zone; those are filled.
    outlines
        Lines that are drawn below.
    """
    rows = list(rows)
    how = "the area of a circle is the number of trips"
    if areas:
        how = "a zone without an outline is a circle"
    return Chart(
        "zones",
        f"Zones: {title}",
        "",
        f"Where trips begin; {how}. Highest: {rows[0][1]}." if rows else "",
        ChartTable(("zone", "name", "trips", title), rows),
        empty,
        maps.city(
            [
                maps.Spot(name, *place, size=trips, value=value, area=areas.get(zone, ()))
                for zone, name, trips, value in rows
                if (place := coordinates_of(zone)) is not None
            ],
            bar=title,
            outlines=outlines,
        ),
        height=520,
    )


def pairs_chart(profile: Mapping[str, Any] | None) -> Chart:
    """List from where to where most trips of a month go."""
    labels = zone_labels()
    rows = [
        (labels.get(pair["pickup"], ""), labels.get(pair["dropoff"], ""), pair["trips"])
        for pair in (profile or {}).get("pairs", ())
    ]
    return Chart(
        "pairs",
        "Most frequent pairs of zones",
        "trips",
        "From where to where most trips go.",
        ChartTable(("from", "to", "trips"), rows),
        NO_PROFILE,
    )

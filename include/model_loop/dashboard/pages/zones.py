"""The zones of a month: where trips begin, how long they take, how far off the champion is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.dashboard import figures
from model_loop.dashboard.known import Known
from model_loop.dashboard.outlines import Outlines
from model_loop.dashboard.page import Chart, Empty, Table
from model_loop.dashboard.pages.columns import NO_PROFILE
from model_loop.dashboard.places import place_of
from model_loop.tracking.names import NUMBERS
from model_loop.trips.zone_names import zone_labels

#: Zones of fewer trips tell nothing of a mean.
_LEAST_TRIPS = 5

_ERROR = "error"


def measures_of(known: Known) -> dict[str, str]:
    """Return what the map can show, by its name in the address: also each champion's error."""
    of = {f"{_ERROR}_{moment}": f" ({moment})" for moment in known.registry.led} or {_ERROR: ""}
    return {
        "pickups": "pick-ups",
        "duration": "mean duration (min)",
        **{name: f"mean absolute error of the champion{which} (min)" for name, which in of.items()},
    }


def zones_chart(
    known: Known, profile: Mapping[str, Any] | None, measure: str, outlines: Outlines
) -> Chart:
    """A map of what the zones of a month come to.

    Parameters
    ----------
    measure
        One of `measures_of`.
    outlines
        Of the zones; those that have one are filled.
    """
    rows, title = _rows(known, profile, measure), measures_of(known)[measure]
    empty = (
        Empty("The champion was not judged by zone: train a model.", "xgboost_training")
        if measure.startswith(_ERROR) and (profile or {}).get("zones")
        else NO_PROFILE
    )
    how = "the area of a circle is the number of trips"
    if outlines.zones:
        how = "a zone without an outline is a circle"
    return Chart(
        "zones",
        f"Zones: {title}",
        "",
        f"Where trips begin; {how}. Highest: {rows[0][1]}." if rows else "",
        Table(("zone", "name", "trips", title), rows),
        empty,
        figures.city(
            [
                figures.Spot(
                    name, *place, size=trips, value=value, area=outlines.zones.get(zone, ())
                )
                for zone, name, trips, value in rows
                if (place := place_of(zone)) is not None
            ],
            bar=title,
            outlines=outlines.rings,
        ),
        height=520,
    )


def _rows(
    known: Known, profile: Mapping[str, Any] | None, measure: str
) -> list[tuple[int, str, int, float]]:
    """Number, name, trips and value of each zone, the highest first."""
    errors = _errors_by_zone(known, measure) if measure.startswith(_ERROR) else {}
    rows = []
    for zone in (profile or {}).get("zones", ()):
        of_month = {"pickups": zone["trips"], "duration": zone["mean_duration"]}
        value = of_month.get(measure, errors.get(zone["zone"]))
        if value is not None and (measure == "pickups" or zone["trips"] >= _LEAST_TRIPS):
            label = zone_labels().get(zone["zone"], str(zone["zone"]))
            rows.append((zone["zone"], label, zone["trips"], round(value, 3)))
    return sorted(rows, key=lambda row: -row[3])


def _errors_by_zone(known: Known, measure: str) -> dict[int, float]:
    led = {f"{_ERROR}_{moment}": one.champion for moment, one in known.registry.led.items()}
    champion = known.registry.version(led.get(measure))
    numbers = known.numbers(champion.run_id, NUMBERS) if champion else None
    test = (numbers or {}).get("test") or {}
    return {
        int(row["zone"]): row["mae"]
        for row in test.get("zones", ())
        if row["trips"] >= _LEAST_TRIPS
    }


def pairs_chart(profile: Mapping[str, Any] | None) -> Chart:
    """From where to where most trips of a month go."""
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
        Table(("from", "to", "trips"), rows),
        NO_PROFILE,
    )

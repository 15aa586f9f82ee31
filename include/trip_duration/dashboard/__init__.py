"""Additions of the trips to the dashboard: charts of a month, and a map to choose zones on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from markupsafe import Markup

from model_loop.charts import figures
from model_loop.charts.document import templates
from model_loop.dashboard.additions import Panel, PartitionCharts
from model_loop.dashboard.page import ChartGroup, PageField
from model_loop.dashboard.page_data import LoadedParts
from model_loop.settings import Settings
from trip_duration.charts import maps
from trip_duration.charts.coordinates import zone_coordinates
from trip_duration.charts.months import trips_charts
from trip_duration.charts.zones import pairs_chart
from trip_duration.columns import TRIP_COLUMNS
from trip_duration.contract.breaches import BROKEN_WHEN
from trip_duration.dashboard.outlines import outlines_or_why
from trip_duration.dashboard.zones import map_chart, measures_of
from trip_duration.services import DROPOFF_ZONE, PICKUP_TIME, PICKUP_ZONE
from trip_duration.settings import TripSettings
from trip_duration.zone_names import zone_labels

_FROM, _TO = 74, 166
_BIG = 9


class TripPages:
    """Charts and map of the trips.

    Parameters
    ----------
    settings
        Name the file with the outlines of the zones.
    """

    def __init__(self, settings: Settings) -> None:
        self._outlines, self._unusable = outlines_or_why(
            cast("TripSettings", settings).dashboard_zone_file
        )

    def partition(
        self,
        parts: LoadedParts,
        profile: Mapping[str, Any] | None,
        name: str,
        query: Mapping[str, str],
    ) -> PartitionCharts:
        """Draw the trips of a month, and a map of its zones."""
        measures, measure = measures_of(parts), query.get("map", "")
        measure = measure if measure in measures else "pickups"
        zones = [map_chart(parts, profile, measure, self._outlines), pairs_chart(profile)]
        return PartitionCharts(
            sections=[
                ChartGroup(f"Trips of {name}".removesuffix(" of "), trips_charts(profile, name)),
                ChartGroup("Zones", zones),
            ],
            choices=[PageField("map", "Map shows", measure, list(measures.items()))],
            notes=self._unusable,
            broken_when=BROKEN_WHEN,
        )

    def panel(self) -> Panel:
        """Return the map of the zones; a click on it chooses the one of a field."""
        labels, found = zone_labels(), zone_coordinates()
        figure = maps.city(
            [maps.Spot(labels[zone], *place) for zone, place in found.items()],
            bar="",
            outlines=self._outlines.rings,
        )
        circles = dict(figure["data"][-1])
        circles |= {
            "customdata": list(found),
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "size": _BIG,
                "color": figures.SKY,
                "opacity": 0.75,
                "line": {"width": 0.7, "color": "@ground"},
            },
        }
        template = templates("trip_duration.dashboard").get_template("map.html")
        html = template.render(map={**figure, "data": [*figure["data"][:-1], circles]})
        day = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
        return Panel(
            Markup(html),  # noqa: S704 - a template that escapes what it is given
            "map.js",
            MappingProxyType(
                {_FIELDS[PICKUP_ZONE]: _FROM, _FIELDS[DROPOFF_ZONE]: _TO}
                | {_FIELDS[PICKUP_TIME]: f"{day}T08:30", "passenger_count": 1}
            ),
            self._unusable,
        )


_FIELDS = {column.name: column.field for column in TRIP_COLUMNS}

"""Ask the models for a trip."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from model_loop.charts import figures
from model_loop.dashboard.known import PageSources
from model_loop.dashboard.outlines import outlines_or_why
from model_loop.dashboard.page import Page
from trip_duration.charts import maps
from trip_duration.charts.places import places
from trip_duration.zone_names import zone_labels

_FROM, _TO = 74, 166
_BIG = 9


def playground_page(sources: PageSources, _query: Mapping[str, str]) -> Page:
    """The page of the playground."""
    known = sources.look("registry")
    standings = known.registry.standings.values()
    labels, found = zone_labels(), places()
    outlines, problems = outlines_or_why(sources.zone_file)
    figure = maps.city(
        [maps.Spot(labels[zone], *place) for zone, place in found.items()],
        bar="",
        outlines=outlines.rings,
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
    return Page(
        name="playground",
        title="Playground",
        lead="Ask for a trip: what the champion says, how sure it is, why, and what the challenger "
        "would say.",
        notes=[*known.problems, *problems],
        extra={
            "zones": sorted(labels.items(), key=lambda item: item[1]),
            "pickup": _FROM,
            "dropoff": _TO,
            "at": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT08:30"),
            "map": {**figure, "data": [*figure["data"][:-1], circles]},
            "champion": any(one.champion is not None for one in standings),
            "ready": any(one.champion is not None and one.enabled for one in standings),
            "looked": "registry" not in known.missing,
        },
        waiting=known.waiting,
    )

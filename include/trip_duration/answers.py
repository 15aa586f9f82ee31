"""An answer in words, for people."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from model_loop.datasets.reading import Row
from model_loop.scoring.limits import limits_in_words
from trip_duration.columns import TRIP_COLUMNS
from trip_duration.zone_names import zone_labels


def in_words(row: Row, found: Mapping[str, Any]) -> str:
    """Return an answer in one sentence: minutes, zones, distance and time.

    Parameters
    ----------
    row
        Values that the model was asked with.
    found
        The answer, with ``prediction`` and ``model_version``.
    """
    names, trip = zone_labels(), dict(zip(TRIP_COLUMNS.fields, row.cells, strict=True))
    start, end, miles = trip["pickup_zone"], trip["dropoff_zone"], trip["trip_distance"]
    distance = ""
    if not math.isnan(miles):
        kind = ", the typical distance" if "trip_distance" in row.assumed else ""
        distance = f" ({miles:g} miles{kind})"
    at = dt.datetime.fromtimestamp(trip["pickup_at"], tz=dt.UTC)
    return (
        f"About {found['prediction']:.1f} minutes from {names[int(start)]} to {names[int(end)]}"
        f"{distance} on {at:%Y-%m-%d at %H:%M}{limits_in_words(found)}, says version "
        f"{found['model_version']}."
    )

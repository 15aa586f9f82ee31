"""From encoded columns back to what they are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from model_loop.days import HOUR, WEEKDAY
from trip_duration.services import DISTANCE, DROPOFF_ZONE, PICKUP_ZONE

_PAIR = (PICKUP_ZONE, DROPOFF_ZONE)
_CATEGORIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pickup": (PICKUP_ZONE,),
        "dropoff": (DROPOFF_ZONE,),
        "pair": _PAIR,
        "pickup_hour": (PICKUP_ZONE, HOUR),
        "dropoff_hour": (DROPOFF_ZONE, HOUR),
        "weekday_hour": (WEEKDAY, HOUR),
    }
)
_LEARNED = re.compile(r"(?P<what>mean_duration|log_pace|minutes_at_pace)_(?P<category>\w+)")
_OTHERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "centroid_distance": _PAIR,
        "grid_distance": _PAIR,
        "direction": _PAIR,
        "detour": (DISTANCE, *_PAIR),
        "is_holiday": (WEEKDAY,),
        "PU_DO": _PAIR,
    }
)
_SIDES = {"pickup_": (PICKUP_ZONE,), "dropoff_": (DROPOFF_ZONE,)}


def sources(column: str) -> tuple[str, ...]:
    """Return the features of a trip that an encoded column is computed from; itself, if it is one.

    Features are the raw columns, with ``hour`` and ``weekday`` in the place of the pick-up time.
    """
    name = column.partition("=")[0]
    learned = _LEARNED.fullmatch(name)
    if learned is not None and learned["category"] in _CATEGORIES:
        distance = (DISTANCE,) if learned["what"] == "minutes_at_pace" else ()
        return (*_CATEGORIES[learned["category"]], *distance)
    for beginning, found in _SIDES.items():
        if name.startswith(beginning):
            return found
    return _OTHERS.get(name, (name,))

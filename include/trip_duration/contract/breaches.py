"""Descriptions of rows that break a rule of the contract, for people; read without Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from trip_duration.services import LAST_ZONE

#: Raised whenever the same file would be judged differently: it is part of every product's key.
CONTRACT_VERSION = 2

#: Miles. No trip within the city is longer; the meter was wrong.
LONGEST_DISTANCE = 100.0

#: Breaches by the name of the rule.
BROKEN_WHEN: Mapping[str, str] = MappingProxyType(
    {
        "missing_value": "a time, a zone or the distance is missing",
        "infinite_distance": "the distance is infinite",
        "negative_distance": "the distance is negative",
        "unknown_zone": f"a zone is not one of 1 to {LAST_ZONE}",
        "ends_before_it_begins": "the drop-off is before the pick-up",
        "lasts_over_a_day": "the trip lasts for more than 24 hours",
        "stray_pickup": "the pick-up is outside of the month",
        "implausible_distance": (
            f"the distance is more than {LONGEST_DISTANCE:g} miles; encoders clip it"
        ),
        "repeated": "times, zones, distance and amount repeat an earlier row",
    }
)

"""Options of a generated month: its size, its seed, its drift and its dirt."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from model_loop.errors import InvalidInputError, require_within
from model_loop.options import options, setting_option

#: Raised whenever the same options would give other trips.
GENERATOR_VERSION = 3

#: Zones without trips: a strip of Corona Park and two islands, which have next to none in reality.
QUIET_ZONES = (57, 104, 105)


@dataclass(frozen=True)
class Drift:
    """Differences from the usual world.

    Parameters
    ----------
    distance_factor, speed_factor
        Multiply every distance, and every speed.
    zone_shift
        Share of pick-ups that move to zones which are otherwise quiet.
    rush_hour_shift
        Hours by which the day's demand moves, -23 to 23.
    new_zone
        A zone where five in a hundred trips begin from now on; none of `QUIET_ZONES`.
    missing_share
        Share of the trips, besides the usual six in a hundred, that lack passenger count and trip
        type.
    """

    distance_factor: float = 1.0
    speed_factor: float = 1.0
    zone_shift: float = 0.0
    rush_hour_shift: int = 0
    new_zone: int | None = None
    missing_share: float = 0.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name in ("distance_factor", "speed_factor"):
            require_within(name, getattr(self, name), above=0.0)
        for name in ("zone_shift", "missing_share"):
            require_within(name, getattr(self, name), least=0.0, most=1.0)
        require_within("rush_hour_shift", self.rush_hour_shift, least=-23, most=23)
        if self.new_zone is not None:
            require_within("new_zone", self.new_zone, least=1, most=263)
        if self.new_zone in QUIET_ZONES:
            raise InvalidInputError(
                f"new_zone = {self.new_zone}", "is a zone without trips", "Choose another zone."
            )


@dataclass(frozen=True)
class Corruption:
    """Faults of the file: each a share of its rows.

    Parameters
    ----------
    null_share
        Rows without a distance.
    stray_share
        Rows picked up in another year.
    negative_duration_share, long_duration_share
        Rows that end before they begin, and rows that last for days.
    absurd_distance_share
        Rows of a hundred thousand miles and more.
    duplicate_share
        Rows that are there twice.
    """

    null_share: float = 0.0
    stray_share: float = 0.0
    negative_duration_share: float = 0.0
    long_duration_share: float = 0.0
    absurd_distance_share: float = 0.0
    duplicate_share: float = 0.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for field in dataclasses.fields(self):
            require_within(field.name, getattr(self, field.name), least=0.0, most=1.0)


@options
class SampleOptions:
    """Options of generated months, and their differences from a usual and clean one."""

    trips: int = setting_option("sample_trips_per_month", offered=False)
    seed: int = setting_option("sample_seed", offered=False)
    drift: Drift = Drift()
    dirt: Corruption = Corruption()

    @property
    def label(self) -> str:
        """A name for files made with these options, which no others share."""
        label = f"generator={GENERATOR_VERSION},trips={self.trips},seed={self.seed}"
        if (self.drift, self.dirt) == (Drift(), Corruption()):
            return label
        return f"{label},options={hashlib.sha256(self.to_json().encode()).hexdigest()[:12]}"

    def to_json(self) -> str:
        """The options as a JSON object."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

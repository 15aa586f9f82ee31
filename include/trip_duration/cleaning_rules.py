"""Rules for the trips to learn from, as options."""

from __future__ import annotations

from model_loop.errors import InvalidInputError
from model_loop.options import options, setting_option

#: Raised whenever the same file would be cleaned differently: it is part of every product's key.
CLEANING_VERSION = 2


@options
class CleaningRules:
    """Durations that are kept, in minutes; both bounds are included.

    Raises
    ------
    InvalidInputError
        If the bounds are negative or leave nothing between them.
    """

    minimum_duration: float = setting_option("minimum_duration")
    maximum_duration: float = setting_option("maximum_duration")

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 0 <= self.minimum_duration < self.maximum_duration:
            raise InvalidInputError(
                f"Durations from {self.minimum_duration:g} to {self.maximum_duration:g} minutes",
                "are not a range",
                "Give a shortest trip of 0 or more and a longest trip above it.",
            )

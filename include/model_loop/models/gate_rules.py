"""What a challenger has to show, as settings."""

from __future__ import annotations

from dataclasses import dataclass

from model_loop.errors import require_within


@dataclass(frozen=True)
class GateRules:
    """What a challenger has to show.

    Parameters
    ----------
    margin_share
        Its RMSE is lower than the champion's by at least this share of it.
    confidence
        … which holds for so large a share of resampled test months.
    slice_share
        In no slice is its RMSE higher than the champion's by more than this share.
    slice_trips
        Slices, and test months, of fewer trips say nothing.
    latency_milliseconds
        Longest time for one trip (median).
    size_megabytes
        Largest size as stored.

    Raises
    ------
    InvalidInputError
        If a value is out of bounds.
    """

    margin_share: float = 0.0
    confidence: float = 0.95
    slice_share: float = 0.1
    slice_trips: int = 200
    latency_milliseconds: float = 100.0
    size_megabytes: float = 200.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        require_within("margin_share", self.margin_share, least=0.0, most=1.0)
        require_within("confidence", self.confidence, least=0.5, most=0.999)
        require_within("slice_share", self.slice_share, least=0.0)
        require_within("slice_trips", self.slice_trips, least=1)
        require_within("latency_milliseconds", self.latency_milliseconds, above=0.0)
        require_within("size_megabytes", self.size_megabytes, above=0.0)

"""Limits that a challenger is held to, as options."""

from __future__ import annotations

from model_loop.options import option, options


@options
class GateRules:
    """Limits that a challenger is held to."""

    margin_share: float = option(
        0.0,
        "Margin",
        "How much lower the RMSE has to be, as a share of the champion's.",
        ge=0,
        le=1,
    )
    confidence: float = option(
        0.95,
        "Confidence",
        "Share of resampled test months in which it has to be.",
        ge=0.5,
        le=0.999,
    )
    slice_share: float = option(
        0.1,
        "Worst slice",
        "How much higher the RMSE of a slice may be, as a share of the champion's.",
        ge=0,
    )
    slice_trips: int = option(
        200,
        "Least trips of a slice",
        "Slices, and test months, of fewer trips say nothing.",
        offered=False,
        ge=1,
    )
    latency_milliseconds: float = option(
        100.0, "Latency (milliseconds)", "Longest time for one trip (median).", gt=0
    )
    size_megabytes: float = option(200.0, "Size (megabytes)", "Largest size as stored.", gt=0)

"""Limits that a challenger is held to, as options."""

from __future__ import annotations

from model_loop.options import option, options

#: Highest confidence: with fewer resamplings beyond it, chance decides.
MOST_CONFIDENCE = 0.999


@options
class GateRules:
    """Limits that a challenger is held to."""

    margin_share: float = option(
        0.0,
        "Margin",
        "Required decrease of the RMSE, as a share of the champion's.",
        ge=0,
        le=1,
    )
    confidence: float = option(
        0.95,
        "Confidence",
        "Share of resampled test parts in which the gain has to hold.",
        ge=0.5,
        le=MOST_CONFIDENCE,
    )
    slice_share: float = option(
        0.1,
        "Worst slice",
        "Allowed increase of a slice's RMSE, as a share of the champion's.",
        ge=0,
    )
    slice_rows: int = option(
        200,
        "Least rows of a slice",
        "Slices with fewer rows are not checked.",
        offered=False,
        ge=1,
    )
    least_rows: int = option(
        30,
        "Least test rows",
        "With fewer test rows, or groups of rows, no model passes.",
        offered=False,
        ge=2,
    )
    latency_milliseconds: float = option(
        100.0, "Latency (milliseconds)", "Longest time for one row (median).", gt=0
    )
    size_megabytes: float = option(200.0, "Size (megabytes)", "Largest size as stored.", gt=0)

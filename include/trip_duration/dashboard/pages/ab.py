"""Versions side by side, on predicted trips whose actual duration is known."""

from __future__ import annotations

from trip_duration.dashboard import figures
from trip_duration.dashboard.page import Chart, Empty, Table
from trip_duration.serving.ab_report import AbReport

_NO_FEEDBACK = Empty(
    "No predicted trip has feedback: send actual durations to /trip-duration/feedback."
)


def ab_charts(live: AbReport) -> list[Chart]:
    """How far off each version is, and which is nearer to the truth."""
    return [_errors(live), _comparison(live)]


def _errors(live: AbReport) -> Chart:
    versions = live.versions
    rows = [
        (
            one.version,
            one.trips,
            one.mae,
            *(one.mae_interval or (None, None)),
            one.rmse,
            *(one.rmse_interval or (None, None)),
            one.bias,
        )
        for one in versions
    ]
    drawn = {
        name: [
            (
                f"version {one.version}",
                getattr(one, name.lower()),
                *getattr(one, f"{name.lower()}_interval"),
            )
            for one in versions
            if getattr(one, f"{name.lower()}_interval")
        ]
        for name in ("MAE", "RMSE")
    }
    return Chart(
        "ab_errors",
        "Errors of the versions that answer",
        "minutes",
        "On predicted trips whose actual duration is known, with intervals of 95 %.",
        Table(
            (
                "version",
                "trips",
                "MAE (min)",
                "from",
                "to",
                "RMSE (min)",
                "from (min)",
                "to (min)",
                "bias (min)",
            ),
            rows,
        ),
        _NO_FEEDBACK,
        figures.points(drawn, title="minutes"),
    )


def _comparison(live: AbReport) -> Chart:
    rows = [
        (
            f"{one.version} against {one.against}",
            round(one.difference, 3),
            f"{one.interval[0]:.3f} to {one.interval[1]:.3f}",
            "yes" if one.decided else "no",
            one.trips_needed,
        )
        for one in live.comparisons
    ]
    return Chart(
        "ab_comparison",
        "Which version is nearer to the truth",
        "",
        "Difference of the mean absolute errors (Welch); decided where the interval leaves out 0.",
        Table(
            ("versions", "difference (min)", "95 % interval (min)", "decided", "trips needed"), rows
        ),
        Empty(
            "One version answers: start a canary on the page Models to compare two.", "promotion"
        ),
    )

"""Versions side by side, on predicted trips whose actual duration is known."""

from __future__ import annotations

from collections.abc import Sequence

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import percent
from model_loop.dashboard.types import RegistryState
from model_loop.serving.comparison.report import AbReport, VersionComparison

_NO_FEEDBACK = Empty(
    "No predicted trip has feedback: send actual durations to /model-loop/feedback."
)


def ab_charts(live: AbReport, registry: RegistryState) -> list[Chart]:
    """Show the errors of each version, and the better one of each moment."""
    return [_errors(live), _comparison(live, registry), *([_shadows(live)] if live.paired else [])]


def _errors(live: AbReport) -> Chart:
    versions = live.versions
    rows = [
        (
            one.version,
            one.moment or "not known",
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
        ChartTable(
            (
                "version",
                "moment",
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


def _comparison(live: AbReport, registry: RegistryState) -> Chart:
    return Chart(
        "ab_comparison",
        "Which version is nearer to the truth",
        "",
        "Difference of the mean absolute errors (Welch) of versions of a moment. It is decided "
        "once, when both versions have the trips that are needed.",
        _table(live.comparisons),
        _nothing_to_compare(registry),
    )


def _nothing_to_compare(registry: RegistryState) -> Empty:
    canaries = (one for one in registry.led.values() if one.challenger is not None)
    standing = next(canaries, None)
    if standing is None:
        if len(registry.led) > 1:
            return Empty(
                "One version answers at each moment, and those of two moments are not compared: "
                "start a canary on the page Models.",
                "promotion",
            )
        return Empty(
            "One version answers: start a canary on the page Models to compare two.", "promotion"
        )
    return Empty(
        f"Version {standing.champion} and version {standing.challenger} (canary, "
        f"{percent(standing.share)} of the requests) answer; feedback on trips of both is needed: "
        "send actual durations to /model-loop/feedback."
    )


def _shadows(live: AbReport) -> Chart:
    return Chart(
        "ab_shadow",
        "The shadow on the same trips",
        "",
        "Mean absolute error of the shadow less that of the version that answered, on the trips "
        "that both have predicted. It is decided once, when there are the trips that are needed.",
        _table(live.paired),
        _NO_FEEDBACK,
    )


def _table(pairs: Sequence[VersionComparison]) -> ChartTable:
    rows = [
        (
            f"{one.version} against {one.against}",
            round(one.difference, 3),
            f"{one.interval[0]:.3f} to {one.interval[1]:.3f}",
            one.verdict,
            one.trips,
            one.trips_needed,
        )
        for one in pairs
    ]
    heads = ("versions", "difference (min)", "95 % interval (min)", "verdict", "trips")
    return ChartTable((*heads, "trips needed"), rows)

"""Versions side by side, on predictions whose true value is known."""

from __future__ import annotations

from collections.abc import Sequence

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import percent
from model_loop.charts.wording import Wording
from model_loop.dashboard.page_data import PageSources
from model_loop.dashboard.types import RegistryState
from model_loop.models.intervals import CONFIDENCE, Interval
from model_loop.serving.comparison.report import AbReport, VersionComparison

#: Meaning of a cost.
_COST = "; the cost is that of an answer, by what the dataset says that mistakes cost"

_FEEDBACK = "send true values to /model-loop/{}feedback."


def ab_charts(live: AbReport, registry: RegistryState, sources: PageSources) -> list[Chart]:
    """Show the errors of each version, and the better one of each moment."""
    words = sources.words
    feedback = _FEEDBACK.format(sources.predict.removesuffix("predict"))
    none = Empty(f"No prediction has feedback: {feedback}")
    return [
        _log_losses(live, words, none) if words.is_classified else _errors(live, words, none),
        _comparison(live, words, _nothing_to_compare(registry, feedback)),
        *([_shadows(live, words, none)] if live.paired else []),
    ]


def _errors(live: AbReport, words: Wording, none: Empty) -> Chart:
    in_unit, several = words.axis, words.rows
    versions = live.versions
    rows = [
        (
            one.version,
            one.moment or "not known",
            one.rows,
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
        words.unit,
        f"On predicted {several} whose true value is known, with intervals of 95 %.",
        ChartTable(
            (
                "version",
                "moment",
                several,
                in_unit("MAE"),
                "from",
                "to",
                *map(in_unit, ("RMSE", "from", "to", "bias")),
            ),
            rows,
        ),
        none,
        figures.points(drawn, title=words.unit),
    )


def _log_losses(live: AbReport, words: Wording, none: Empty) -> Chart:
    measured: dict[str, list[tuple[float | None, Interval | None]]] = {
        "log loss": [(one.mae, one.mae_interval) for one in live.versions]
    }
    if any(one.cost is not None for one in live.versions):
        measured["cost"] = [(one.cost, one.cost_interval) for one in live.versions]
    rows = [
        (
            one.version,
            one.moment or "not known",
            one.rows,
            *(
                cell
                for mean, interval in (values[place] for values in measured.values())
                for cell in (mean, *(interval or (None, None)))
            ),
        )
        for place, one in enumerate(live.versions)
    ]
    drawn = {
        name: [
            (f"version {one.version}", mean, *interval)
            for one, (mean, interval) in zip(live.versions, values, strict=True)
            if mean is not None and interval
        ]
        for name, values in measured.items()
    }
    several = "Log losses and costs" if len(measured) > 1 else "Log losses"
    heads = (head for name in measured for head in (name, "from", "to"))
    return Chart(
        "ab_errors",
        f"{several} of the versions that answer",
        "",
        f"On predicted {words.rows} whose true class is known, with intervals of 95 %"
        f"{_COST if len(measured) > 1 else ''}.",
        ChartTable(("version", "moment", words.rows, *heads), rows),
        none,
        figures.points(drawn, title=" and ".join(measured)),
    )


def _comparison(live: AbReport, words: Wording, none: Empty) -> Chart:
    losses = "log losses" if words.is_classified else "mean absolute errors"
    text = (
        f"Difference of the {losses}{_and_costs(live.comparisons)} of "
        "versions of a moment, by day. It may be read every day: of two equal versions, at most "
        "one comparison in twenty is ever decided."
    )
    if live.warnings:
        text = f"Do not compare these versions: {'; '.join(live.warnings)}."
    return Chart(
        "ab_comparison",
        "Which version is nearer to the truth",
        "",
        text,
        _table(live.comparisons, words),
        none,
    )


def _nothing_to_compare(registry: RegistryState, feedback: str) -> Empty:
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
        f"{percent(standing.share)} of the requests) answer; feedback on both is needed: {feedback}"
    )


def _shadows(live: AbReport, words: Wording, none: Empty) -> Chart:
    return Chart(
        "ab_shadow",
        f"The shadow on the same {words.rows}",
        "",
        f"{'Log loss' if words.is_classified else 'Mean absolute error'}"
        f"{_and_costs(live.paired)} of the shadow less that "
        "of the version that answered, by day, on the rows that both have predicted. It may be "
        "read every day.",
        _table(live.paired, words),
        none,
    )


def _and_costs(pairs: Sequence[VersionComparison]) -> str:
    return " and the costs" if any(one.measure == "cost" for one in pairs) else ""


def _table(pairs: Sequence[VersionComparison], words: Wording) -> ChartTable:
    rows = [
        (
            f"{one.version} against {one.against}{one.by_measure}",
            None if one.difference is None else round(one.difference, 3),
            "" if one.interval is None else "{:.3f} to {:.3f}".format(*one.interval),
            one.verdict,
            one.decided or "",
            one.days,
            one.rows,
        )
        for one in pairs
    ]
    # With a cost, each of the two measures has half the probability of an error.
    confidence = f"{(pairs[0].confidence if pairs else CONFIDENCE) * 100:g}"
    of_errors = map(words.axis, ("difference", f"confidence sequence of {confidence} %"))
    heads = ("versions", *of_errors, "verdict", "decided", "days", words.rows)
    return ChartTable(heads, rows)

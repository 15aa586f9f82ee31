"""Charts of the rates of a classifier by group; see `models.groups`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty, Figure
from model_loop.charts.formatting import percent
from model_loop.charts.wording import Wording

#: Sentences that stand beside every report by group, and the same beside a single figure.
DISCLAIMER = (
    "This describes the answers of the model for each group; it is no verdict on whether they are "
    "fair. Groups may differ in what they need and in how they were recorded, and equal rates of "
    "one kind often exclude those of another."
)
_SHORT = "This is a description, not a verdict."
#: Rows that a rate is of, at least: of fewer, it is said to rest on few.
FEW = 30
_TITLES = {
    "selection": "selection rate",
    "recall": "recall",
    "false_positive": "false-positive rate",
}
#: Name of the line of all rows.
ALL = "all rows"
_NO_GROUPS = Empty("No group has test rows.")
#: Pixels of a group, and of the axis.
_LINE, _AXIS = 30, 110

_Rates = Sequence[Mapping[str, Any]]


def group_charts(reports: Sequence[Mapping[str, Any]], words: Wording) -> list[Chart]:
    """Draw the rates by group of each column, and of several classes for each class.

    Parameters
    ----------
    reports
        ``column``, ``class`` and ``rates``; the first of the rates is that of all rows.
    """
    charts = []
    for report in reports:
        label = f"{words.target} = {report['class']}"
        charts += [_rate(report, measure, label, words) for measure in _TITLES]
        charts.append(_calibration(report, label, words))
    return charts


def _rate(report: Mapping[str, Any], measure: str, label: str, words: Wording) -> Chart:
    column, rates, title = report["column"], report["rates"], _TITLES[measure]
    about = {
        "selection": f"Share of the {words.rows} that are called {label}",
        "recall": f"Share of the {words.rows} with {label} that are called so",
        "false_positive": f"Share of the other {words.rows} that are called {label}",
    }[measure]
    rows = [
        (
            _name(each),
            each[measure]["rows"],
            *_rounded(*(each[measure][key] for key in ("value", "low", "high"))),
            *_rounded(each["differences"][measure]),
            _remark(each[measure]["rows"]),
        )
        for each in rates
    ]
    return Chart(
        f"{measure}_by_{column}_{report['class']}",
        f"{title[:1].upper()}{title[1:]} by {column}",
        label,
        f"{about}, with 95 % intervals; the line is the rate of all. {_SHORT}"
        f"{_few(rates, measure)}",
        ChartTable(
            (column, "rows", title, "low (95 %)", "high (95 %)", "less that of all", "remark"),
            rows,
        ),
        _NO_GROUPS,
        _points(rates, measure, title),
        height=_LINE * len(rates) + _AXIS,
    )


def _calibration(report: Mapping[str, Any], label: str, words: Wording) -> Chart:
    column, rates = report["column"], report["rates"]
    rows = [
        (
            _name(each),
            each["rows"],
            *_rounded(
                each["probability"],
                *(each["observed"][key] for key in ("value", "low", "high")),
                each["gap"],
            ),
            _remark(each["rows"]),
        )
        for each in rates
    ]
    figure = _points(rates, "observed", "observed share")
    predicted = {
        "type": "scatter",
        "mode": "markers",
        "name": "mean probability",
        "x": [each["probability"] for each in rates],
        "y": [_name(each) for each in rates],
        "marker": {"size": 10, "symbol": "diamond-open", "color": figures.ORANGE},
    }
    drawn = {
        "data": [*figure["data"], predicted],
        "layout": {
            **figure["layout"],
            "showlegend": True,
            "legend": {"y": 1.03, "yanchor": "bottom"},
            "margin": {"t": 40},
            "shapes": [],
        },
    }
    return Chart(
        f"calibration_by_{column}_{report['class']}",
        f"Calibration by {column}",
        label,
        f"Mean probability of {label} against the share of the {words.rows} with it, with 95 % "
        "intervals: where the diamond lies outside, probabilities do not hold for the group."
        f" {_SHORT}{_few(rates, 'observed')}",
        ChartTable(
            (
                *(column, "rows", "mean probability", "observed share", "low (95 %)"),
                *("high (95 %)", "probability less share", "remark"),
            ),
            rows,
        ),
        _NO_GROUPS,
        drawn,
        height=_LINE * len(rates) + _AXIS + 30,
    )


def _points(rates: _Rates, measure: str, title: str) -> Figure:
    """Draw a rate of each group, those of few rows in grey, and a line at that of all."""
    figure = figures.points(
        {
            name: [
                (_name(each), *(each[measure][key] for key in ("value", "low", "high")))
                for each in rates
                if each[measure]["value"] is not None and (each[measure]["rows"] < FEW) == few
            ]
            for name, few in ((title, False), (f"of fewer than {FEW} rows", True))
        },
        title=title,
        colors=(figures.BLUE, figures.GREY),
    )
    everything = rates[0][measure]["value"]
    line = {
        "type": "line",
        "yref": "paper",
        "x0": everything,
        "x1": everything,
        "y0": 0,
        "y1": 1,
        "line": {"color": figures.GREY, "dash": "dot", "width": 1.5},
    }
    layout = figure["layout"]
    return {
        "data": [trace for trace in figure["data"] if trace["x"]],
        "layout": {
            **layout,
            "showlegend": False,
            "xaxis": {**layout["xaxis"], "range": [-0.02, 1.02], "tickformat": ".0%"},
            # Groups stand in their order, whichever trace has them.
            "yaxis": {
                **layout["yaxis"],
                "categoryorder": "array",
                "categoryarray": [_name(each) for each in rates],
            },
            "shapes": [] if everything is None else [line],
        },
    }


def _name(rates: Mapping[str, Any]) -> str:
    return rates["group"] or ALL


def _remark(rows: int) -> str:
    return f"few: below {FEW}" if rows < FEW else ""


def _few(rates: _Rates, measure: str) -> str:
    few = [_name(each) for each in rates if each[measure]["rows"] < FEW]
    if not few:
        return ""
    return f" In grey, of fewer than {FEW} rows, which say little: {', '.join(few)}."


def _rounded(*values: float | None) -> list[float | None]:
    return [None if value is None else round(value, 4) for value in values]


def group_table(report: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the rates by group as texts: the columns, and a row for each group, all rows first."""
    columns = (
        *(report["column"], "rows", "selection rate", "recall", "false-positive rate"),
        *("mean probability", "observed share"),
    )
    rows = [
        (
            _name(each) if each["rows"] >= FEW else f"{_name(each)} (few)",
            f"{each['rows']:,}",
            *(
                _rate_text(each[name], each["differences"][name], first=not number)
                for name in _TITLES
            ),
            "" if each["probability"] is None else percent(each["probability"]),
            _rate_text(each["observed"], each["differences"]["observed"], first=not number),
        )
        for number, each in enumerate(report["rates"])
    ]
    return columns, rows


def _rate_text(rate: Mapping[str, Any], difference: float | None, *, first: bool) -> str:
    """Return a rate in words: ``41.0 % (35.2 to 47.1), -3.0`` points less than that of all."""
    if rate["value"] is None:
        return "no rows"
    less = "" if first or difference is None else f", {100 * difference:+.1f}"
    few = " few" if rate["rows"] < FEW else ""
    interval = f"({100 * rate['low']:.1f} to {100 * rate['high']:.1f})"
    return f"{percent(rate['value'])} {interval}{less}{few}"

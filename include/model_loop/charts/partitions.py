"""Charts of a partition, by its profile: how its rows lie in values and in time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import percent
from model_loop.charts.wording import Wording
from model_loop.datasets.dataset import Dataset

#: Histograms that are drawn.
_DRAWN = 6
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def partition_charts(
    profile: Mapping[str, Any] | None, dataset: Dataset, empty: Empty
) -> list[Chart]:
    """Return the charts of the rows of a partition.

    Parameters
    ----------
    profile
        Its profile, with ``histograms`` by column, the target first, and where the table has a time
        ``per_day`` and ``per_weekday_and_hour``; None where there is none.
    empty
        Reason why there is none.
    """
    profile, words, target = profile or {}, Wording.of(dataset), dataset.target
    titles = {column.name: column.title for column in dataset.columns} | {target.name: words.target}
    units = {column.name: column.unit for column in dataset.columns} | {target.name: target.unit}
    charts = [
        histogram_chart(
            f"histogram_of_{name}",
            f"{titles[name][:1].upper()}{titles[name][1:]}",
            units[name],
            found,
            words,
            empty,
        )
        for name, found in _histograms(profile, titles)
    ]
    charts = charts or [histogram_chart("histogram", words.target, target.unit, None, words, empty)]
    if dataset.time is not None:
        charts.append(days_chart(profile.get("per_day") or (), words, empty))
        hours = profile.get("per_weekday_and_hour") or ()
        # Times that are days alone are all at midnight.
        if not hours or any(any(day[1:]) for day in hours):
            charts.append(hours_chart(hours, words, empty))
    return charts


def _histograms(
    profile: Mapping[str, Any], columns: Collection[str]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return those of columns with several values."""
    found = ((each["column"], each) for each in profile.get("histograms", ()))
    drawn = [
        (name, each)
        for name, each in found
        if name in columns and sum(map(bool, each["counts"])) > 1
    ]
    return drawn[:_DRAWN]


def histogram_chart(
    name: str,
    title: str,
    unit: str,
    histogram: Mapping[str, Any] | None,
    words: Wording,
    empty: Empty,
) -> Chart:
    """Draw counts of rows between edges; the last bar takes everything beyond.

    Parameters
    ----------
    histogram
        With as many ``edges`` and ``counts``; None where there are none.
    """
    edges, counts = (histogram["edges"], histogram["counts"]) if histogram else ([], [])
    total = sum(counts) or 1
    largest = max(range(len(counts)), key=lambda place: counts[place], default=0)
    width = edges[1] - edges[0] if len(edges) > 1 else 1
    said = ""
    if counts:
        end = f"{edges[largest] + width:.4g} {unit}".rstrip()
        said = (
            f"Most {words.rows} have {edges[largest]:.4g} to {end}; {percent(counts[-1] / total)} "
            f"are beyond {edges[-1]:.4g} and counted in the last bar."
        )
    return Chart(
        name,
        title,
        f"{words.rows} by {unit}" if unit else words.rows,
        said,
        ChartTable(
            (f"from ({unit})" if unit else "from", words.rows),
            list(zip(edges, counts, strict=True)),
        ),
        empty,
        figures.histogram(edges, counts, title=unit or title, values=words.rows)
        if histogram
        else None,
    )


def days_chart(days: Sequence[tuple[str, int]], words: Wording, empty: Empty) -> Chart:
    """Draw the number of rows of each day."""
    counts = [count for _, count in days]
    return Chart(
        f"{words.rows}_by_day".replace(" ", "_"),
        f"{words.rows.capitalize()} by day",
        words.rows,
        f"{min(counts):,} to {max(counts):,} {words.rows} begin on a day." if days else "",
        ChartTable(("day", words.rows), days),
        empty,
        figures.lines({words.rows: days}, title=words.rows, dates=True, zero=True),
    )


def hours_chart(
    table: Sequence[Sequence[int]], words: Wording, empty: Empty, hour: str = "hour"
) -> Chart:
    """Draw the number of rows by weekday, Monday first, and hour of the day.

    Parameters
    ----------
    hour
        Hour of what, for people.
    """
    rows = [(weekday, *hours) for weekday, hours in zip(_WEEKDAYS, table, strict=bool(table))]
    busiest = max(
        ((count, weekday, hour) for weekday, *hours in rows for hour, count in enumerate(hours)),
        default=(0, "", 0),
    )
    return Chart(
        f"{words.rows}_by_hour".replace(" ", "_"),
        f"{words.rows.capitalize()} by weekday and hour",
        words.rows,
        f"Most {words.rows} begin on {busiest[1]} at {busiest[2]}:00: {busiest[0]:,}."
        if rows
        else "",
        ChartTable(("weekday", *(f"{number}:00" for number in range(24))), rows),
        empty,
        figures.heatmap(
            [f"{number}" for number in range(24)],
            _WEEKDAYS,
            table,
            bar=words.rows,
            xaxis={"title": {"text": hour}, "dtick": 3},
            yaxis={"autorange": "reversed"},
        )
        if rows
        else None,
    )

"""The months: what there is, what it is like, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import date_of, percent, plain
from model_loop.dashboard.known import PageSources
from model_loop.dashboard.outlines import outlines_or_why
from model_loop.dashboard.page import Card, ChartGroup, Page, PageField
from model_loop.dashboard.pages.zones import map_chart, measures_of
from model_loop.dashboard.types import MonthRun
from trip_duration.charts.columns import NO_PROFILE, column_charts
from trip_duration.charts.months import trips_charts
from trip_duration.charts.zones import pairs_chart
from trip_duration.contract.breaches import BROKEN_WHEN

_NO_CARD = Card("Months", "0", "Run the DAG data_preparation.", "warn")
_NO_MONTHS = Empty("No month was prepared yet.", "data_preparation")


def data_page(sources: PageSources, query: Mapping[str, str]) -> Page:
    """The page of the months."""
    known = sources.look("months", "registry")
    services = sorted({month.service for month in known.months} | {sources.service})
    service = query.get("service", "")
    service = service if service in services else sources.service
    months = [month for month in known.months if month.service == service]
    names, sound = [month.month for month in months], [one for one in months if not one.refused]
    wanted = query.get("month", "")
    chosen = months[names.index(wanted)] if wanted in names else (months[-1] if months else None)
    measures, measure = measures_of(known), query.get("map", "")
    measure = measure if measure in measures else "pickups"
    profile = known.numbers(chosen.run_id, "profile.json") if chosen else None
    report = known.numbers(chosen.run_id, "report.json") if chosen else None
    found = known.numbers(chosen.run_id, chosen.findings) if chosen else None
    outlines, unusable = outlines_or_why(sources.zone_file)
    title = chosen.month if chosen else ""
    return Page(
        name="data",
        title="Data",
        lead="The months that the models learn from: how many trips, what they are like, what was "
        "set aside.",
        cards=_cards(chosen, months)
        if chosen
        else [known.card("Months", ["months"], lambda _: _NO_CARD)],
        choices=[
            PageField("service", "Service", service, [(one, one) for one in services]),
            PageField("month", "Month", title, [(one, one) for one in reversed(names)]),
            PageField("map", "Map shows", measure, list(measures.items())),
        ],
        sections=[
            ChartGroup(
                "All months",
                known.charts(
                    ["months"],
                    [_trips_by_month(sound), _durations_by_month(sound), _months(months)],
                ),
            ),
            ChartGroup(
                f"Findings about {title}".strip(), known.charts(["months"], [_findings(found)])
            ),
            ChartGroup(
                f"Trips of {title}".strip(), known.charts(["months"], trips_charts(profile, title))
            ),
            ChartGroup(
                "Zones",
                known.charts(
                    ["months"],
                    [map_chart(known, profile, measure, outlines), pairs_chart(profile)],
                ),
            ),
            ChartGroup("Columns", known.charts(["months"], column_charts(profile))),
            ChartGroup("Quarantine", known.charts(["months"], [_quarantine(report, chosen)])),
        ],
        notes=[*known.problems, *unusable],
        waiting=known.waiting,
    )


def _cards(chosen: MonthRun, months: Sequence[MonthRun]) -> list[Card]:
    metrics = chosen.metrics
    sound = [month for month in months if not month.refused]
    refused = [month.month for month in months if month.refused]
    cards = [Card("Months", str(len(sound)), f"{months[0].month} to {months[-1].month}")]
    if refused:
        cards.append(Card("Refused", str(len(refused)), ", ".join(refused), "act"))
    if not metrics:
        return cards
    return [
        *cards,
        Card("Rows", plain(metrics.get("rows")), f"{chosen.month}, from {chosen.source}"),
        Card("Sound trips", plain(metrics.get("trips")), "any duration up to a day"),
        Card(
            "Quarantine",
            percent(metrics.get("quarantine_share", 0.0)),
            f"{metrics.get('rows_quarantined', 0):,.0f} rows",
        ),
        Card(
            "Duration",
            f"{metrics.get('median_duration', 0):.1f} min",
            f"median; mean {metrics.get('mean_duration', 0):.1f} min",
        ),
    ]


def _trips_by_month(months: Sequence[MonthRun]) -> Chart:
    rows = [
        (
            month.month,
            int(month.metrics.get("trips", 0)),
            int(month.metrics.get("rows_quarantined", 0)),
        )
        for month in months
    ]
    return Chart(
        "trips_by_month",
        "Trips by month",
        "trips",
        f"{len(rows)} months were ingested; sound trips, and rows in quarantine.",
        ChartTable(("month", "trips", "rows in quarantine"), rows),
        _NO_MONTHS,
        figures.stacked(
            [row[0] for row in rows],
            {"trips": [row[1] for row in rows], "in quarantine": [row[2] for row in rows]},
            title="trips",
            # Years may lie between two months.
            spaced=False,
        ),
    )


def _durations_by_month(months: Sequence[MonthRun]) -> Chart:
    found = [
        (month.month, month.metrics["median_duration"], month.metrics["mean_duration"])
        for month in months
        if "median_duration" in month.metrics
    ]
    return Chart(
        "durations_by_month",
        "Duration by month",
        "minutes",
        "Median and mean of the durations of all sound trips of each month.",
        ChartTable(("month", "median (min)", "mean (min)"), found),
        _NO_MONTHS,
        figures.lines(
            {
                "median": [(row[0], row[1]) for row in found],
                "mean": [(row[0], row[2]) for row in found],
            },
            title="minutes",
            zero=True,
        ),
    )


def _months(months: Sequence[MonthRun]) -> Chart:
    rows = [
        (
            month.month,
            month.source,
            # Of a month that breaks its contract, nothing was counted.
            *(_counted(month.metrics) if month.metrics else ("", "", "", "")),
            date_of(month.logged),
            "refused" if month.refused else "",
        )
        for month in reversed(months)
    ]
    return Chart(
        "months",
        "The months we have",
        "",
        "A line for each month, the newest first. Nobody learns from one that is refused.",
        ChartTable(
            (
                *("month", "source", "rows", "trips", "quarantine", "median (min)"),
                *("compared (UTC)", "state"),
            ),
            rows,
        ),
        _NO_MONTHS,
        wide=True,
    )


def _counted(metrics: Mapping[str, float]) -> tuple[int, int, str, float]:
    return (
        int(metrics.get("rows", 0)),
        int(metrics.get("trips", 0)),
        percent(metrics.get("quarantine_share", 0.0)),
        round(metrics.get("median_duration", 0.0), 2),
    )


def _findings(found: Mapping[str, Any] | None) -> Chart:
    """Return what the comparison with the months before has found, as a table."""
    rows = [
        (one["level"], one["code"], one["column"] or "", one["message"], one["remedy"])
        for one in (found or {}).get("findings", ())
    ]
    empty = (
        NO_PROFILE
        if found is None
        else Empty("Nothing about this month is unusual, compared with the months before it.")
    )
    return Chart(
        "findings",
        "Compared with the months before",
        "",
        f"{len(rows)} findings: what is unusual about the month, and what it may come from."
        if rows
        else "",
        ChartTable(("level", "finding", "column", "what was found", "what to do"), rows),
        empty,
        wide=True,
    )


def _quarantine(report: Mapping[str, Any] | None, chosen: MonthRun | None) -> Chart:
    rows = sorted(
        (
            (rule["rule"], rule["rows"], BROKEN_WHEN.get(rule["rule"], ""))
            for rule in (report or {}).get("rules", ())
            if rule["rows"]
        ),
        key=lambda row: -row[1],
    )
    empty = Empty("No row of this month breaks a rule.") if report else NO_PROFILE
    rows_all = chosen.metrics.get("rows", 0) if chosen else 0
    return Chart(
        "quarantine",
        "Why rows are in quarantine",
        "rows",
        f"Rules that rows break, of {rows_all:,.0f} rows; a row may break several. Some rules only "
        "note, see the page of broken months.",
        ChartTable(("rule", "rows", "broken when"), rows),
        empty,
        figures.bars(
            [row[0] for row in rows],
            [row[1] for row in rows],
            title="rows",
            horizontal=True,
            labels=[f"{row[1]:,}" for row in rows],
        ),
        wide=True,
        height=max(30 * len(rows) + 80, 160),
    )

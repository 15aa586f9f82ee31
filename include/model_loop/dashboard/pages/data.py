"""The partitions: what there is, what it is like, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.columns import column_charts
from model_loop.charts.formatting import date_of, percent, plain
from model_loop.charts.partitions import partition_charts
from model_loop.dashboard.additions import PartitionCharts
from model_loop.dashboard.page import Card, ChartGroup, Page, PageField
from model_loop.dashboard.page_data import LoadedParts, PageSources
from model_loop.dashboard.types import LoggedPartition
from model_loop.datasets.classes import text_of_label
from model_loop.tracking.names import metric_of


def data_page(sources: PageSources, query: Mapping[str, str]) -> Page:
    """Return the page of the partitions."""
    parts = sources.look("partitions", "registry")
    one = sources.dataset.partitions[1]
    own = [each for each in parts.partitions if each.service == sources.service]
    names, sound = [each.partition for each in own], [each for each in own if not each.refused]
    # Bookmarks of versions before 0.3 name a month.
    wanted = query.get("partition") or query.get(one, "")
    chosen = own[names.index(wanted)] if wanted in names else (own[-1] if own else None)
    profile, report, found = (
        parts.numbers(chosen.run_id, path) if chosen else None
        for path in ("profile.json", "report.json", chosen.findings if chosen else "")
    )
    title = chosen.partition if chosen else ""
    words, charts = _Words(sources, own), PartitionCharts([])
    many = words.partitions
    sections = [ChartGroup(f"All {many}", parts.charts(["partitions"], _all(own, sound, words)))]
    if chosen:
        charts = _charts(parts, profile, chosen.partition, query, words)
        sections += [
            ChartGroup(
                f"Findings about {title}",
                [_findings(found, words)],
            ),
            *charts.sections,
            ChartGroup("Columns", column_charts(profile, sources.dataset, words.no_profile)),
            ChartGroup("Quarantine", [_quarantine(report, chosen, charts.broken_when, words)]),
        ]
    return Page(
        name="data",
        title="Data",
        lead=f"The {many} that the models learn from: how many {sources.words.rows}, what they "
        "are like, what was set aside.",
        cards=_cards(chosen, own, words)
        if chosen
        else [parts.card(words.many, ["partitions"], lambda _: words.no_card)],
        choices=[
            PageField("partition", words.one, title, [(each, each) for each in reversed(names)]),
            *charts.choices,
        ],
        sections=sections,
        notes=[*parts.problems, *charts.notes],
        waiting=parts.waiting,
    )


def _all(
    own: Sequence[LoggedPartition], sound: Sequence[LoggedPartition], words: _Words
) -> list[Chart]:
    """Return the charts of all partitions; the list alone where there is none."""
    listed = _listed(own, words)
    shown = (_classes if words.target.is_classified else _target)(sound, words)
    return [_rows(sound, words), shown, listed] if own else [listed]


#: Key of a table that is read as one.
_WHOLE = "whole"


class _Words:
    """Words of the page for one variant."""

    def __init__(self, sources: PageSources, own: Sequence[LoggedPartition]) -> None:
        self.sources, self.target = sources, sources.dataset.target
        many, one = sources.dataset.partitions
        if own and all(each.partition == _WHOLE for each in own):
            # A file of many partitions is read as one table.
            many, one = "tables", "table"
        self.rows, self.row = sources.dataset.rows
        self.counted = (
            f"a {self.row} may break several. Some rules only note."
            if sources.dataset.declaration is None
            else f"each {self.row} counts for the first that it breaks."
        )
        self.many, self.one = many.capitalize(), one.capitalize()
        self.partitions, self.partition = many, one
        # A single table is prepared by the job that makes training sets.
        whole = sources.dataset.partition == "whole"
        job = "data_preparation" if whole else sources.partitions_job
        self.no_profile = Empty(f"This {one} has no profile on the tracking server.", job)
        self.none = Empty(f"No {one} was prepared yet.", "data_preparation")
        self.no_card = Card(
            self.many, "0", f"Run the DAG {sources.dag_id('data_preparation')}.", "warn"
        )

    @property
    def middle(self) -> str:
        """Title of the column that says how the target lies."""
        if self.positive is not None:
            return f"share with {self.sources.words.target} = {self.positive}"
        if self.target.is_classified:
            return "most frequent class"
        return self.sources.words.axis("median")

    def median(self, metrics: Mapping[str, float]) -> float | None:
        """Return the median of the target."""
        return metrics.get(metric_of("median", self.target.name))

    def mean(self, metrics: Mapping[str, float]) -> float | None:
        """Return the mean of the target."""
        return metrics.get(metric_of("mean", self.target.name))

    @staticmethod
    def shares(metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the share of each class."""
        prefix = metric_of("share", "")
        return {
            name.removeprefix(prefix): value
            for name, value in sorted(metrics.items())
            if name.startswith(prefix)
        }

    @property
    def positive(self) -> str | None:
        """Class that is predicted of two; None of several, or of numbers."""
        declaration = self.sources.dataset.declaration
        positive = declaration.task.positive_class if declaration else None
        return None if positive is None else text_of_label(positive)


def _sound(metrics: Mapping[str, float]) -> int:
    """Return the number of rows that keep the contract."""
    return int(metrics.get("rows", 0) - metrics.get("rows_quarantined", 0))


def _charts(
    parts: LoadedParts,
    profile: Mapping[str, Any] | None,
    title: str,
    query: Mapping[str, str],
    words: _Words,
) -> PartitionCharts:
    """Draw the rows of a partition: as the dataset does, or in general."""
    sources = words.sources
    if sources.pages:
        return sources.pages.partition(parts, profile, title, query)
    charts = partition_charts(profile, sources.dataset, words.no_profile)
    return PartitionCharts([ChartGroup(f"{words.rows.capitalize()} of {title}", charts)])


def _cards(chosen: LoggedPartition, own: Sequence[LoggedPartition], words: _Words) -> list[Card]:
    metrics = chosen.metrics
    sound = [each for each in own if not each.refused]
    refused = [each.partition for each in own if each.refused]
    first, last = own[0].partition, own[-1].partition
    cards = [
        Card(words.many, str(len(sound)), f"{first} to {last}" if first != last else first),
    ]
    if refused:
        cards.append(Card("Refused", str(len(refused)), ", ".join(refused), "act"))
    if not metrics:
        return cards
    cards += [
        Card("Rows", plain(metrics.get("rows")), f"{chosen.partition}, from {chosen.source}"),
        Card(f"Sound {words.rows}", plain(_sound(metrics)), "that keep the contract"),
        Card(
            "Quarantine",
            percent(metrics.get("quarantine_share", 0.0)),
            f"{metrics.get('rows_quarantined', 0):,.0f} rows",
        ),
    ]
    if words.positive is not None and (shares := words.shares(metrics)):
        name = f"{words.sources.words.target} = {words.positive}"
        cards.append(Card(name, percent(shares.get(words.positive, 0.0)), f"of the {words.rows}"))
    if (median := words.median(metrics)) is not None:
        amount, mean = words.sources.words.amount, words.mean(metrics) or 0.0
        name = words.sources.words.target.capitalize()
        cards.append(Card(name, amount(median), f"median; mean {amount(mean)}"))
    return cards


def _rows(own: Sequence[LoggedPartition], words: _Words) -> Chart:
    rows = [
        (each.partition, _sound(each.metrics), int(each.metrics.get("rows_quarantined", 0)))
        for each in own
    ]
    return Chart(
        "rows_by_partition",
        f"{words.rows.capitalize()} by {words.partition}",
        words.rows,
        f"{len(rows)} {words.partitions if len(rows) != 1 else words.partition} "
        f"{'were' if len(rows) != 1 else 'was'} ingested; sound {words.rows}, and rows in "
        "quarantine.",
        ChartTable((words.partition, words.rows, "rows in quarantine"), rows),
        words.none,
        figures.stacked(
            [row[0] for row in rows],
            {words.rows: [row[1] for row in rows], "in quarantine": [row[2] for row in rows]},
            title=words.rows,
            # Years may lie between two partitions.
            spaced=False,
        ),
    )


def _target(own: Sequence[LoggedPartition], words: _Words) -> Chart:
    said, axis = words.sources.words.target, words.sources.words.axis
    found = [
        (each.partition, median, words.mean(each.metrics))
        for each in own
        if (median := words.median(each.metrics)) is not None
    ]
    empty = words.none if not own else Empty(f"The {said} of no {words.partition} was logged.")
    return Chart(
        "target_by_partition",
        f"{said.capitalize()} by {words.partition}",
        words.sources.words.unit,
        f"Median and mean of the {said} of all sound {words.rows} of each {words.partition}.",
        ChartTable((words.partition, axis("median"), axis("mean")), found),
        empty,
        figures.lines(
            {
                "median": [(row[0], row[1]) for row in found],
                "mean": [(row[0], row[2]) for row in found],
            },
            title=axis(said),
            zero=True,
        ),
    )


def _classes(own: Sequence[LoggedPartition], words: _Words) -> Chart:
    """Return the shares of the classes of each partition; of two, that of the positive one."""
    shares = [(each.partition, words.shares(each.metrics)) for each in own]
    labels = sorted({label for _, classes in shares for label in classes})
    positive, target = words.positive, words.sources.words.target
    shown = [positive] if positive is not None else labels
    parted = [(partition, classes) for partition, classes in shares if classes]
    series = {
        f"{target} = {label}": [classes.get(label, 0.0) for _, classes in parted] for label in shown
    }
    names = [partition for partition, _ in parted]
    title = f"share of the {words.rows}"
    return Chart(
        "classes_by_partition",
        f"Classes by {words.partition}",
        title,
        f"Share of the sound {words.rows} of each {words.partition} "
        f"{'with' if positive is not None else 'by'} {target}"
        f"{f' = {positive}' if positive is not None else ''}.",
        ChartTable((words.partition, *series), list(zip(names, *series.values(), strict=True))),
        words.none if not own else Empty(f"The classes of no {words.partition} were logged."),
        figures.grouped(names, series, title=title, form=".0%"),
    )


def _listed(own: Sequence[LoggedPartition], words: _Words) -> Chart:
    rows = [
        (
            each.partition,
            each.source,
            # A partition that breaks its contract has no counts.
            *(_counted(each.metrics, words) if each.metrics else ("", "", "", "")),
            date_of(each.logged),
            "refused" if each.refused else "",
        )
        for each in reversed(own)
    ]
    return Chart(
        "partitions",
        f"The {words.partitions} we have",
        "",
        f"A line for each {words.partition}, the newest first. Nobody learns from one that is "
        "refused.",
        ChartTable(
            (
                *(words.partition, "source", "rows", f"sound {words.rows}", "quarantine"),
                *(words.middle, "compared (UTC)", "state"),
            ),
            rows,
        ),
        words.none,
        wide=True,
    )


def _counted(
    metrics: Mapping[str, float], words: _Words
) -> tuple[int, int, str, float | str | None]:
    middle: float | str | None = words.median(metrics)
    shares = words.shares(metrics)
    if words.positive is not None:
        middle = shares.get(words.positive)
    elif words.target.is_classified:
        middle = max(shares, key=lambda label: shares[label], default=None)
    return (
        int(metrics.get("rows", 0)),
        _sound(metrics),
        percent(metrics.get("quarantine_share", 0.0)),
        round(middle, 2 if words.positive is None else 4) if isinstance(middle, float) else middle,
    )


def _findings(found: Mapping[str, Any] | None, words: _Words) -> Chart:
    """Return what the comparison with the partitions before has found, as a table."""
    rows = [
        (each["level"], each["code"], each["column"] or "", each["message"], each["remedy"])
        for each in (found or {}).get("findings", ())
    ]
    empty = (
        words.no_profile
        if found is None
        else Empty(
            f"Nothing about this {words.partition} is unusual, compared with the "
            f"{words.partitions} before it."
        )
    )
    return Chart(
        "findings",
        f"Compared with the {words.partitions} before",
        "",
        f"{len(rows)} findings: what is unusual about the {words.partition}, and what it may come "
        "from."
        if rows
        else "",
        ChartTable(("level", "finding", "column", "what was found", "what to do"), rows),
        empty,
        wide=True,
    )


def _quarantine(
    report: Mapping[str, Any] | None,
    chosen: LoggedPartition,
    broken_when: Mapping[str, str],
    words: _Words,
) -> Chart:
    rows = sorted(
        (
            (rule["rule"], rule["rows"], broken_when.get(rule["rule"], ""))
            for rule in (report or {}).get("rules", ())
            if rule["rows"]
        ),
        key=lambda row: -row[1],
    )
    empty = Empty(f"No row of this {words.partition} breaks a rule.") if report else None
    rows_all = chosen.metrics.get("rows", 0)
    return Chart(
        "quarantine",
        "Why rows are in quarantine",
        "rows",
        f"Rules that rows break, of {rows_all:,.0f} {words.rows}; {words.counted}",
        ChartTable(("rule", "rows", "broken when"), rows),
        empty or words.no_profile,
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

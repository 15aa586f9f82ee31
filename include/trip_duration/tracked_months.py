"""A month on the tracking server: what was found in it, and what its trips are like."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from model_loop.charts.document import document
from model_loop.errors import optional
from model_loop.findings import Finding
from model_loop.tracking.names import FIGURES
from model_loop.tracking.partitions import PartitionRun, log_contents, log_refused
from model_loop.tracking.runs import Tracker
from trip_duration.charts.months import month_charts
from trip_duration.contract.checked import CheckedMonth
from trip_duration.history import HistoryVerdict
from trip_duration.profile import MonthProfile
from trip_duration.services import DURATION
from trip_duration.source.types import RawMonth


def log_partition(
    tracker: Tracker, partition: RawMonth | HistoryVerdict, findings: Sequence[Finding]
) -> str:
    """Log a month and its findings; of one that breaks its contract, the findings alone.

    Parameters
    ----------
    partition
        The month as it was fetched, where its contract is broken, or as it was compared.

    Returns
    -------
    str
        The run's id.
    """
    if isinstance(partition, HistoryVerdict):
        return log_month(tracker, partition.month, findings)
    return log_refused(tracker, _run_of(partition), findings)


def log_month(tracker: Tracker, month: CheckedMonth, findings: Sequence[Finding] = ()) -> str:
    """Log a checked month, once for each content; return the run's id."""

    def write(folder: Path) -> Mapping[str, float]:
        profile = month.load_profile()
        write_month(folder, month, profile)
        return _metrics(month, profile)

    return log_contents(tracker, _run_of(month.raw), findings, write)


def _run_of(raw: RawMonth) -> PartitionRun:
    return PartitionRun(
        identity=f"months/{raw.service}/{raw.month}/{raw.digest[:16]}",
        name=f"month {raw.service} {raw.month}",
        tags={
            "pipeline": "months",
            "partition": f"{raw.service}|{raw.month}",
            "service": raw.service,
            "month": raw.month,
            "data_source": raw.data_source,
            "source_url": raw.url,
            "etag": raw.etag or "",
        },
        dataset=f"{raw.service}_{raw.month}",
        digest=raw.digest,
        data_source=raw.data_source,
        url=raw.url,
    )


def write_month(folder: Path, month: CheckedMonth, profile: MonthProfile) -> None:
    """Write a month's report, quarantine, profile and charts into a folder."""
    (folder / "report.txt").write_text(f"{month.report}\n", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(month.report.to_json(), indent=1))
    content = profile.to_json()
    (folder / "profile.json").write_text(json.dumps(content, indent=1))
    month.load_quarantine().to_parquet(folder / "quarantine.parquet", index=False)
    tables = folder / "tables"
    tables.mkdir()
    for name, table in _tables(profile).items():
        table.to_csv(tables / f"{name}.csv", index=False)
    with optional("The charts"):
        charts = document(f"{profile.service} {profile.month}", month_charts(content))
        (folder / FIGURES).write_text(charts, encoding="utf-8")


def _tables(profile: MonthProfile) -> dict[str, pd.DataFrame]:
    """The profile as tables, for spreadsheets."""
    content = profile.to_json()
    columns = pd.json_normalize(content["columns"]).drop(columns="most_frequent")
    frequent = [
        {"column": column.name, "value": value, "trips": count}
        for column in profile.columns
        for value, count in column.most_frequent
    ]
    days = pd.DataFrame({"day": range(1, len(profile.per_day) + 1), "trips": profile.per_day})
    hours = pd.DataFrame(profile.per_weekday_and_hour).rename_axis("weekday").reset_index()
    return {
        "columns": columns,
        "most_frequent": pd.DataFrame(frequent, columns=["column", "value", "trips"]),
        "durations": pd.DataFrame(content["durations"]),
        "distances": pd.DataFrame(content["distances"]),
        "trips_per_day": days,
        "trips_per_weekday_and_hour": hours,
        "pickup_zones": pd.DataFrame(content["zones"]),
        "pairs": pd.DataFrame(content["pairs"]),
    }


def _metrics(month: CheckedMonth, profile: MonthProfile) -> dict[str, float]:
    report = month.report
    duration = profile.column(DURATION)
    return {
        "rows": report.rows,
        "rows_quarantined": report.quarantined,
        "quarantine_share": report.quarantine_share,
        **{f"broken_{count.rule}": count.rows for count in report.rules},
        **{f"missing_{column.name}": column.missing_share for column in profile.columns},
        "trips": profile.trips,
        "median_duration": duration.quantiles.get("0.5", 0.0),
        "mean_duration": duration.mean or 0.0,
    }

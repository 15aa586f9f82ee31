"""A month on the tracking server: what was found in it, and what its trips are like."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag

from model_loop.charts.document import document
from model_loop.errors import optional
from model_loop.findings import Finding
from model_loop.tracking.names import FIGURES
from model_loop.tracking.runs import (
    FINDINGS,
    FINDINGS_TAG,
    JUDGED_TAG,
    REFUSED_TAG,
    Tracker,
)
from trip_duration.charts.months import month_charts
from trip_duration.contract.checked import CheckedMonth
from trip_duration.profile import MonthProfile
from trip_duration.services import DURATION
from trip_duration.source.types import RawMonth


def log_month(tracker: Tracker, month: CheckedMonth, findings: Sequence[Finding] = ()) -> str:
    """Log a month, once for each content: later calls return the run that is there.

    Findings depend on the months before as well, and are logged by every call.

    Returns
    -------
    str
        The run's id.
    """
    raw = month.raw
    identity = _identity(raw)
    run = tracker.find_run(identity)
    if run is not None and run.info.status == "FINISHED":
        known: str = run.info.run_id
        _log_findings(tracker, known, findings)
        return known
    profile = month.load_profile()
    run_id = tracker.open_run(identity, f"month {raw.service} {raw.month}", _tags(raw))
    tracker.client.log_inputs(run_id, datasets=[_dataset_input(month)])
    tracker.log(run_id, metrics=_metrics(month, profile))
    _log_findings(tracker, run_id, findings)
    with tempfile.TemporaryDirectory() as folder:
        write_month(Path(folder), month, profile)
        tracker.client.log_artifacts(run_id, folder)
    tracker.close_run(run_id)
    return run_id


def log_refused(tracker: Tracker, raw: RawMonth, findings: Sequence[Finding]) -> str:
    """Log a month that breaks its contract: the findings alone, as there is no profile of it.

    Returns
    -------
    str
        The run's id.
    """
    name = f"month {raw.service} {raw.month} (refused)"
    run_id = tracker.open_run(f"{_identity(raw)}/refused", name, _tags(raw))
    _log_findings(tracker, run_id, findings)
    tracker.close_run(run_id)
    return run_id


def _identity(raw: RawMonth) -> str:
    return f"months/{raw.service}/{raw.month}/{raw.digest[:16]}"


def _tags(raw: RawMonth) -> dict[str, str]:
    return {
        "pipeline": "months",
        "partition": f"{raw.service}|{raw.month}",
        "service": raw.service,
        "month": raw.month,
        "data_source": raw.data_source,
        "source_url": raw.url,
        "etag": raw.etag or "",
    }


def _log_findings(tracker: Tracker, run_id: str, findings: Sequence[Finding]) -> None:
    """Log findings under a new name each time: readers keep the documents that they have read."""
    now = time.time()
    content = {"findings": [finding.to_json() for finding in findings]}
    path = f"findings/{now:.3f}.json"
    for name in (FINDINGS, path):
        tracker.client.log_dict(run_id, content, name)
    refused = any(finding.level == "refused" for finding in findings)
    tags = {REFUSED_TAG: str(refused), JUDGED_TAG: f"{now:.3f}", FINDINGS_TAG: path}
    tracker.log(run_id, tags=tags)


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


def _dataset_input(month: CheckedMonth) -> DatasetInput:
    raw = month.raw
    return DatasetInput(
        Dataset(
            name=f"{raw.service}_{raw.month}",
            # MLflow holds 36 characters of a digest.
            digest=raw.digest[:36],
            source_type=raw.data_source,
            source=raw.url,
        ),
        tags=[InputTag("mlflow.data.context", "profile")],
    )

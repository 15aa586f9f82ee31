"""Partitions on the tracking server: what was read, what is wrong with it, what it is like."""

from __future__ import annotations

import functools
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from mlflow.entities import Dataset as LoggedDataset
from mlflow.entities import DatasetInput, InputTag

from model_loop.datasets.dataset import Dataset
from model_loop.findings import Finding
from model_loop.history.tables import PartitionVerdict, Read
from model_loop.objects import read_object
from model_loop.partitions.checked import FetchedTable
from model_loop.partitions.contract import RULE
from model_loop.partitions.labels import label_texts
from model_loop.partitions.profile import profile_of
from model_loop.partitions.types import PartitionReport
from model_loop.tracking.names import metric_of
from model_loop.tracking.runs import (
    FINDINGS,
    FINDINGS_TAG,
    JUDGED_TAG,
    REFUSED_TAG,
    Tracker,
)

#: Classes whose shares are logged, the most frequent ones.
_MOST_CLASSES = 20
#: Logs a partition, fetched or compared, and its findings; returns the id of the run.
PartitionLog = Callable[[Tracker, Any, Sequence[Finding]], str]
#: Writes the files of a partition into a folder, and returns its metrics.
Contents = Callable[[Path], Mapping[str, float]]


@dataclass(frozen=True)
class PartitionRun:
    """Names of a partition on the tracking server.

    Parameters
    ----------
    identity
        Name that is the same for the same content.
    name
        Name for people.
    tags
        Tags of the run.
    dataset
        Name of the content among the inputs of the run.
    digest
        Digest of its files.
    data_source
        Kind of the source.
    url
        Address that it was read from.
    """

    identity: str
    name: str
    tags: Mapping[str, str]
    dataset: str
    digest: str
    data_source: str
    url: str


def partition_log_of(dataset: Dataset) -> PartitionLog:
    """Return the function that logs partitions of a dataset, and caches the table of them."""
    own: PartitionLog | None = dataset.extensions.load("partition_log")
    # Rows that are kept, and those that were set aside.
    return own or functools.partial(log_table, read=functools.lru_cache(maxsize=2)(read_object))


def log_table(
    tracker: Tracker,
    partition: FetchedTable | PartitionVerdict,
    findings: Sequence[Finding],
    read: Read = read_object,
) -> str:
    """Log a partition of a declared table; of one that breaks its contract, the findings alone.

    Parameters
    ----------
    read
        Reads the rows of the table, of which the partition may be one of many.

    Returns
    -------
    str
        The run's id.
    """
    if isinstance(partition, FetchedTable):
        return log_refused(tracker, _run_of(partition, partition.partition), findings)
    verdict = partition

    def write(folder: Path) -> Mapping[str, float]:
        dataset, rows = verdict.table.fetched.dataset, verdict.load_rows(read)
        aside = verdict.load_quarantine(read)
        aside.to_parquet(folder / "quarantine.parquet", index=False)
        counts: pd.Series[int] = aside[RULE].value_counts()
        broken = {str(rule): int(number) for rule, number in counts.items()}
        unreadable = verdict.quarantined - len(aside)
        report = PartitionReport(verdict.partition, verdict.rows, unreadable, broken, len(rows))
        (folder / "report.txt").write_text(f"{report}\n", encoding="utf-8")
        broken |= {"cannot be read": unreadable} if unreadable else {}
        rules = [{"rule": rule, "rows": number} for rule, number in broken.items()]
        for name, content in (
            ("report.json", {"rows": verdict.rows, "unreadable": unreadable, "rules": rules}),
            ("profile.json", profile_of(dataset, rows)),
        ):
            (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
        return {
            "rows": verdict.rows,
            "rows_quarantined": verdict.quarantined,
            "quarantine_share": verdict.quarantined / max(verdict.rows, 1),
            "sound_rows": len(rows),
            **_of_target(dataset, rows),
        }

    return log_contents(tracker, _run_of(verdict.table.fetched, verdict.partition), findings, write)


def _of_target(dataset: Dataset, rows: pd.DataFrame) -> dict[str, float]:
    """Return mean and median of the target; of a class the share of the rows that each has."""
    name, declaration = dataset.target.name, dataset.declaration
    if not dataset.target.is_classified or declaration is None:
        values = rows[name]
        return {
            metric_of("mean", name): float(values.mean()),
            metric_of("median", name): float(values.median()),
        }
    shares = label_texts(declaration, rows).value_counts(normalize=True).head(_MOST_CLASSES)
    return {metric_of("share", str(label)): float(share) for label, share in shares.items()}


def _run_of(fetched: FetchedTable, partition: str) -> PartitionRun:
    return PartitionRun(
        identity=f"partitions/{fetched.variant}/{partition}/{fetched.key}",
        name=f"{fetched.variant} {partition}",
        tags={
            # The names that the dashboard has found partitions by since the first version.
            "pipeline": "months",
            "partition": f"{fetched.variant}|{partition}",
            "service": fetched.variant,
            "month": partition,
            "data_source": fetched.data_source,
            "source_url": fetched.url,
            "etag": fetched.files[0].etag or "",
        },
        dataset=f"{fetched.variant}_{partition}",
        digest=fetched.digest,
        data_source=fetched.data_source,
        url=fetched.url,
    )


def log_contents(
    tracker: Tracker, run: PartitionRun, findings: Sequence[Finding], write: Contents
) -> str:
    """Log a partition, once for each content: later calls return the run that is there.

    Findings depend on the partitions before as well, and are logged by every call.

    Returns
    -------
    str
        The run's id.
    """
    logged = tracker.find_run(run.identity)
    if logged is not None and logged.info.status == "FINISHED":
        known: str = logged.info.run_id
        _log_findings(tracker, known, findings)
        return known
    run_id = tracker.open_run(run.identity, run.name, dict(run.tags))
    tracker.client.log_inputs(run_id, datasets=[_input(run)])
    with tempfile.TemporaryDirectory() as folder:
        metrics = write(Path(folder))
        _log_findings(tracker, run_id, findings, Path(folder), metrics)
    tracker.close_run(run_id)
    return run_id


def log_refused(tracker: Tracker, run: PartitionRun, findings: Sequence[Finding]) -> str:
    """Log a partition that breaks its contract: the findings alone, as there is no profile of it.

    Returns
    -------
    str
        The run's id.
    """
    run_id = tracker.open_run(f"{run.identity}/refused", f"{run.name} (refused)", dict(run.tags))
    _log_findings(tracker, run_id, findings)
    tracker.close_run(run_id)
    return run_id


def _log_findings(
    tracker: Tracker,
    run_id: str,
    findings: Sequence[Finding],
    folder: Path | None = None,
    metrics: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Log findings under a new name each time: readers keep the documents that they have read.

    Parameters
    ----------
    folder, metrics
        Other files and figures, logged in the same requests: a table may have a thousand
        partitions.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            _log_findings(tracker, run_id, findings, Path(made))
        return
    now = time.time()
    content = json.dumps({"findings": [finding.to_json() for finding in findings]}, indent=2)
    path = f"findings/{now:.3f}.json"
    (folder / path).parent.mkdir()
    for name in (FINDINGS, path):
        (folder / name).write_text(content, encoding="utf-8")
    tracker.client.log_artifacts(run_id, str(folder))
    refused = any(finding.level == "refused" for finding in findings)
    tags = {REFUSED_TAG: str(refused), JUDGED_TAG: f"{now:.3f}", FINDINGS_TAG: path}
    tracker.log(run_id, metrics=metrics, tags=tags)


def _input(run: PartitionRun) -> DatasetInput:
    return DatasetInput(
        LoggedDataset(
            name=run.dataset,
            # MLflow holds 36 characters of a digest.
            digest=run.digest[:36],
            source_type=run.data_source,
            source=run.url,
        ),
        tags=[InputTag("mlflow.data.context", "profile")],
    )

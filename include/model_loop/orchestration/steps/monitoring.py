"""The steps of the monitoring DAG: plain functions that the DAG file wraps as tasks."""

from __future__ import annotations

import datetime as dt
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_loop.datasets.registry import dataset_of_variant
from model_loop.monitoring.class_performance import LOG_LOSS, judge_class_performance
from model_loop.monitoring.correcting import look_at_intervals
from model_loop.monitoring.interval_days import DAYS, INTERVAL_EVIDENCE, days_to_json
from model_loop.monitoring.labels import labelled
from model_loop.monitoring.levels import ALL, Level, as_row, from_rows, gravest_first, thresholds_of
from model_loop.monitoring.performance import RMSE, PerformanceRules, judge_performance
from model_loop.monitoring.records import FindingRecords
from model_loop.monitoring.tested import find_reference
from model_loop.monitoring.window_drift import DriftRules, known_profile, look_for_drift
from model_loop.options import build
from model_loop.orchestration.alerts.announcements import drift_not_known, drifted
from model_loop.orchestration.alerts.notifications import announce
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms.completing import variant_conf
from model_loop.orchestration.loading import load
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.schedules.drift_memory import DriftMemory
from model_loop.orchestration.schedules.occasions import (
    Events,
    form_of,
    form_of_plan,
    read_occasions,
)
from model_loop.orchestration.steps.windows import (
    gather,
    plan_of_today,
    published_partitions,
    records_of_windows,
    watched_of,
    windows_of,
    with_labels,
)
from model_loop.partitions.keys import WHOLE
from model_loop.scoring.predictor import (
    RegisteredVersion,
    choose_version,
    choose_versions,
    load_predictor,
)
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.monitoring.levels import Thresholds, WindowFinding
    from model_loop.monitoring.records import WatchedVersion
    from model_loop.monitoring.windows import WindowRows
    from model_loop.orchestration.schedules.watermarks import StateStore
    from model_loop.scoring.predictor import Predictor

logger = logging.getLogger(__name__)

#: Findings that are named in one line.
_NAMED = 3

#: Findings of a step as plain values, by the identity of what was watched.
Found = dict[str, list[dict[str, Any]]]
#: A finding that calls for something, with what was watched, and its window as plain values.
Grave = tuple["WindowFinding", "WatchedVersion", Mapping[str, Any]]


def other_occasions(
    params: Mapping[str, Any], triggering_asset_events: Events
) -> list[dict[str, Any]]:
    """Return the forms of the runs that look at what this one does not.

    A run is about one source and variant; its events may be about several.
    """
    dataset = dataset_of_variant(params["service"])
    return [
        {
            "source": occasion.source,
            **variant_conf(dataset, occasion.service),
            "window_source": dataset.partitions[1],
            **(
                {}
                if WHOLE in occasion.partitions
                else {dataset.names.partitions: [*occasion.partitions]}
            ),
        }
        for occasion in read_occasions(dataset, triggering_asset_events)[1:]
    ]


def plan_windows(
    params: Mapping[str, Any], dag_run: DagRunProtocol, triggering_asset_events: Events
) -> dict[str, Any] | None:
    """Return the windows and versions to look at; None if there are none."""
    thresholds_of(get_settings(), params["thresholds"])
    params = form_of(params, triggering_asset_events)
    versions = _versions(params)
    if not versions:
        logger.warning("Nothing answers for %s: there is nothing to watch.", params["service"])
        return None
    named = published_partitions(params, triggering_asset_events)
    windows = list(windows_of(params, dag_run, named))
    if not windows:
        logger.info("No partition has ended before this run: there is nothing to look at.")
        return None
    for window in windows:
        numbers = ", ".join(f"{version['version']} ({version['moment']})" for version in versions)
        logger.info("%s, version %s: %s", window["source"], numbers, window["label"])
    # Old windows are recorded, and start nothing.
    acts = params["act"] and dag_run.run_type.value != "backfill"
    planned = {
        "source": params["source"],
        "service": params["service"],
        "versions": versions,
        "named": bool(params["version"]),
        "windows": windows,
        "acts": bool(acts),
    }
    records = records_of_windows(params["service"])
    for watched, _ in watched_of(planned):
        # Begun before the steps that write to them side by side, which would begin two.
        records.open(watched)
    return planned


def _versions(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the version that a form names, or every champion that answers, with their moments."""
    versions, named = versions_of(params["service"]), params["version"]
    chosen = [choose_version(versions, named)] if named else choose_versions(versions)
    return [
        {"version": version.number, "moment": versions.moment(version.number)} for version in chosen
    ]


def drift(
    plan: Mapping[str, Any], params: Mapping[str, Any], dag_run: DagRunProtocol
) -> dict[str, Any]:
    """Compare what was asked with what each version has learned from."""
    plan = plan_of_today(plan, params)
    params = form_of_plan(params, plan)
    least_rows = params[dataset_of_variant(params["service"]).names.least_rows]
    rules = DriftRules(_thresholds(params), least_rows, params["report"])
    found: Found = {}
    for one in plan["versions"]:
        predictor = _predictor(plan, one["version"])
        profile = known_profile(versions_of(plan["service"]), predictor.version)
        if isinstance(profile, str) and plan["acts"]:
            about = (plan["service"], one["version"], profile)
            announce(drift_not_known(*about, dag_run.dag_id, dag_run.run_id))
        found |= _drift_of(predictor, plan, params, rules)
    return found


def _drift_of(
    predictor: Predictor, plan: Mapping[str, Any], params: Mapping[str, Any], rules: DriftRules
) -> Found:
    records, versions, found = (
        records_of_windows(plan["service"]),
        versions_of(plan["service"]),
        Found(),
    )
    for watched, rows in gather(plan, params, predictor):
        run_id = records.open(watched)
        with tempfile.TemporaryDirectory() as folder:
            findings = look_for_drift(versions, predictor, rows, rules, Path(folder))
            records.write(run_id, "drift", findings, Path(folder))
        _tell(watched, findings)
        found[watched.identity] = [as_row(finding) for finding in findings]
    return found


def performance(plan: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Compare predictions with true values, as far as these are known."""
    plan = plan_of_today(plan, params)
    params, found = form_of_plan(params, plan), Found()
    for one in plan["versions"]:
        found |= _performance_of(_predictor(plan, one["version"]), plan, params)
    return found


def _performance_of(
    predictor: Predictor, plan: Mapping[str, Any], params: Mapping[str, Any]
) -> Found:
    records, version = records_of_windows(plan["service"]), predictor.version.number
    versions = versions_of(plan["service"])
    reference = find_reference(versions.tracker, versions.name, version)
    rules = build(PerformanceRules, {})
    found: Found = {}
    for watched, own, known in _with_labels(predictor, plan, params):
        classified = known.dataset.target.is_classified
        judged, metric = (
            (judge_class_performance, LOG_LOSS) if classified else (judge_performance, RMSE)
        )
        findings = judged(
            known,
            reference,
            records.history(watched, "performance", rules.windows - 1, known=f"{metric}.{ALL}"),
            _thresholds(params),
            rules,
            int(np.count_nonzero(own.awaited(dt.datetime.now(dt.UTC)))),
        )
        records.write(records.open(watched), "performance", findings)
        _tell(watched, findings)
        found[watched.identity] = [as_row(finding) for finding in findings]
    return found


def _with_labels(
    predictor: Predictor, plan: Mapping[str, Any], params: Mapping[str, Any]
) -> Iterator[tuple[WatchedVersion, WindowRows, WindowRows]]:
    """Yield the predictions of a version in each window, and those whose true value is known."""
    judged = dataset_of_variant(plan["service"]).extensions.load("judged")
    counts = judged(get_settings()).of_actual if judged else None
    for watched, rows in gather(plan, params, predictor):
        known = with_labels(rows, params) if rows.source == "request_log" else rows
        own = known.of_version(predictor.version.number)
        yield watched, own, labelled(own, counts)


def intervals(plan: Mapping[str, Any], params: Mapping[str, Any]) -> Found:
    """Measure what intervals hold by day, and correct them by the days of requests."""
    plan = plan_of_today(plan, params)
    params, found = form_of_plan(params, plan), Found()
    records, versions = records_of_windows(plan["service"]), versions_of(plan["service"])
    limits = _thresholds(params)[INTERVAL_EVIDENCE]
    for one in plan["versions"]:
        predictor = _predictor(plan, one["version"])
        for watched, _, known in _with_labels(predictor, plan, params):
            findings, days = look_at_intervals(
                versions, records, watched, known, limits, learns=plan["acts"]
            )
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / DAYS).write_text(days_to_json(days))
                records.write(records.open(watched), "intervals", findings, Path(folder))
            _tell(watched, findings)
            found[watched.identity] = [as_row(finding) for finding in findings]
    return found


def judge_windows(
    plan: Mapping[str, Any],
    drift: Found,
    performance: Found,
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    asset_state_store: Mapping[Any, StateStore],
    intervals: Found | None = None,
) -> list[dict[str, Any]]:
    """Write down how grave it is; warn where that is due; return why models have to be made.

    Each version has its own alert, cooldown and retraining: the champion of one moment may drift
    while that of the other does not.
    """
    plan, records = plan_of_today(plan, params), records_of_windows(plan["service"])
    grave: dict[int, list[Grave]] = {}
    last = max(window["end"] for window in plan["windows"])
    for watched, window in watched_of(plan):
        parts = (drift, performance, intervals or {})
        findings = from_rows(row for part in parts for row in part.get(watched.identity, ()))
        level = records.close(watched, findings)
        logger.info("%s: %s", watched.title, level)
        if window["end"] == last:
            grave.setdefault(watched.version, []).extend(
                (finding, watched, window)
                for finding in findings
                if finding.level in {Level.WARN, Level.ACT}
            )
    if not plan["acts"]:
        return []
    found = [_judge(one, plan, params, dag_run, asset_state_store) for one in grave.values() if one]
    return [evidence for evidence in found if evidence is not None]


def _judge(
    grave: Sequence[Grave],
    plan: Mapping[str, Any],
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    asset_state_store: Mapping[Any, StateStore],
) -> dict[str, Any] | None:
    """Warn of one version where that is due; None unless a model has to be made."""
    records, dataset = records_of_windows(plan["service"]), dataset_of_variant(plan["service"])
    findings = gravest_first(one for one, _, _ in grave)
    watched, window = next((it, its) for one, it, its in grave if one is findings[0])
    evidence = {
        **_evidence(records, watched, findings),
        "recipe": versions_of(plan["service"]).find(watched.version).tags.get("recipe"),
        # The retraining follows the partition that was looked at, or the newest that there is.
        "source": plan["source"],
        dataset.names.partitions: [window["month"]] if "month" in window else [],
    }
    cooldown = dt.timedelta(hours=params["cooldown_hours"])
    memory = DriftMemory(
        asset_state_store[assets_of(dataset).drift],
        plan["service"],
        cooldown,
        dataset.check_moment(watched.moment),
    )
    level = findings[0].level
    if not memory.is_due(level.value, dag_run.run_id):
        logger.warning("%s; the cooldown of the last time lasts.", evidence["why"])
        return None
    announce(
        drifted(
            f"{evidence['why']} ({watched.title})",
            [(str(finding), _remark(finding), str(finding.thresholds)) for finding in findings],
            dataset,
            dag_run.dag_id,
            dag_run.run_id,
            evidence["run_url"],
        )
    )
    memory.remember(level.value, dag_run.run_id)
    if level is not Level.ACT:
        return None
    memory.await_retraining(evidence)
    return evidence


def _evidence(
    records: FindingRecords, watched: WatchedVersion, findings: Sequence[WindowFinding]
) -> dict[str, Any]:
    """Return the evidence for a retraining; the gravest findings give its reason."""
    run = records.tracker.find_run(watched.identity)
    assert run is not None
    named = [str(finding) for finding in findings if finding.level is findings[0].level][:_NAMED]
    return {
        "why": ", ".join(named),
        "service": watched.window.variant,
        "version": watched.version,
        "moment": watched.moment,
        "window": watched.window.label,
        "run_id": run.info.run_id,
        "run_url": records.tracker.run_url(run.info.run_id),
    }


def _remark(finding: WindowFinding) -> str:
    return f"{finding.level}; {finding.note}" if finding.note else str(finding.level)


def retrain(evidence: Mapping[str, Any], outlet_events: Mapping[Any, Any]) -> dict[str, Any]:
    """Emit the asset `drift` with the evidence, which starts `retraining`."""
    dataset = dataset_of_variant(evidence["service"])
    outlet_events[assets_of(dataset).drift].extra = {
        **evidence,
        **variant_conf(dataset, evidence["service"]),
    }
    logger.warning("Retraining: %s", evidence["why"])
    return dict(evidence)


def _predictor(plan: Mapping[str, Any], version: int) -> Predictor:
    return load_predictor(
        versions_of(plan["service"]), RegisteredVersion(plan["service"], version), load
    )


def _thresholds(params: Mapping[str, Any]) -> Mapping[str, Thresholds]:
    return thresholds_of(get_settings(), params["thresholds"])


def _tell(watched: WatchedVersion, findings: Sequence[WindowFinding]) -> None:
    for finding in gravest_first(findings):
        note = f" ({finding.note})" if finding.note else ""
        logger.info("%s: %s: %s%s", watched.title, finding.level, finding, note)

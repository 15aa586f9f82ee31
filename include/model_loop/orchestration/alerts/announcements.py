"""The alerts that are no failures: what ended well, is late, was refused, moved or drifted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model_loop.alerts.types import Alert, AlertTable, Link
from model_loop.datasets.registry import dataset_of_variant
from model_loop.orchestration.alerts.failed_tasks import run_url
from model_loop.orchestration.alerts.failures import tracking_link
from model_loop.sources.origin import SAMPLE, is_generated, source_label

if TYPE_CHECKING:
    from model_loop.findings import Finding
    from model_loop.models.gate import GateVerdict
    from model_loop.tracking.deployments import Deployment, HistoryEntry


#: Files that one mail names.
_MOST_FILES = 20


def success(dag_id: str, run_id: str, results: Mapping[str, Any]) -> Alert:
    """A training run ended well: its families, the best one first."""
    families = results["families"]
    best = families[0]
    about = f"{dag_id}/{run_id}"
    recipe = dataset_of_variant(results["service"]).recipe_label(results["recipe"])
    return Alert(
        kind="success",
        key=f"success/{about}/{results['run_id']}",
        about=about,
        subject=f"{dag_id} ended well: {best['family']}, RMSE {best['validation_rmse']:.3f}"
        f"{sample_mark(results['data_source'])}",
        headline=f"{dag_id} ended well",
        summary=f"The best of {len(families)} on the validation months is {best['family']}, with "
        f"an RMSE of {best['validation_rmse']:.3f} minutes: "
        f"{source_label(results['data_source'])}, {recipe}.",
        table=AlertTable(
            ("Family", "Validation RMSE", "Test RMSE", "Trials", "Seconds"),
            tuple(
                (
                    family["family"],
                    f"{family['validation_rmse']:.3f}",
                    "" if family["test_rmse"] is None else f"{family['test_rmse']:.3f}",
                    str(family["evaluations"]),
                    f"{family['seconds']:.0f}",
                )
                for family in families
            ),
        ),
        facts=(
            ("Run", run_id),
            ("Data", f"{results['service']}, {source_label(results['data_source'])}"),
            (
                "Model input",
                f"{recipe}, {results['encoding']}",
            ),
            ("Training set", results["training_set"]),
        ),
        links=(Link("MLflow", results["run_url"]), Link("The run", run_url(dag_id, run_id))),
    )


def deadline_missed(dag_id: str, run_id: str, deadline: str, hours: float) -> Alert:
    """A run is not done in time; it goes on."""
    about = f"{dag_id}/{run_id}"
    tracking, notes = tracking_link(about)
    return Alert(
        kind="deadline",
        key=f"deadline/{about}/{deadline}",
        about=about,
        subject=f"{dag_id} is late",
        headline=f"{dag_id} is late",
        summary=f"The run was to be done within {hours:g} hours. It goes on.",
        facts=(("Run", run_id), ("Deadline", deadline)),
        advice=(
            "Look which task takes the time; the log of a search counts its trials.",
            "Mark the run as failed to stop it; a time budget makes the next one shorter.",
        ),
        links=(Link("The run", run_url(dag_id, run_id)), *tracking),
        notes=notes,
    )


def gate_refused(verdict: GateVerdict, service: str, dag_id: str, run_id: str) -> Alert:
    """A challenger did not pass the gate; nothing has moved."""
    failed = [check.name for check in verdict.checks if not check.passed]
    about = f"{dag_id}/{run_id}"
    tracking, notes = tracking_link(f"{about}/gate")
    champion = "none" if verdict.champion is None else f"version {verdict.champion}"
    return Alert(
        kind="gate_refused",
        key=f"gate_refused/{about}/{verdict.challenger}",
        about=about,
        subject=f"version {verdict.challenger} of {service} did not pass the gate"
        f"{sample_mark(verdict.data_source)}",
        headline=f"Version {verdict.challenger} did not pass the gate",
        summary=f"Nothing has moved; champion of {service}: {champion}. Not passed: "
        f"{', '.join(failed)}.",
        table=_checks(verdict),
        facts=(("Service", service), *_judged(verdict, service), ("Run", run_id)),
        links=(Link("The run", run_url(dag_id, run_id)), *tracking),
        notes=notes,
    )


def doubtful(findings: Iterable[Finding], service: str, dag_id: str, run_id: str) -> Alert:
    """Months are not quite as the months before them; the run goes on."""
    known = tuple(findings)
    months = ", ".join(dict.fromkeys(finding.partition for finding in known))
    about = f"{dag_id}/{run_id}"
    tracking, notes = tracking_link(about)
    return Alert(
        kind="data",
        key=f"data/{about}/{months}",
        about=about,
        subject=f"{service} {months}: {len(known)} findings about the data",
        headline=f"Something about {months} is doubtful",
        summary=f"Compared with the months before, {service} {months} is not as usual. The run "
        "goes on; look whether the month is right.",
        table=AlertTable(
            ("Month", "Finding", "Column", "What was found"),
            tuple(
                (finding.partition, finding.code, finding.column or "", finding.message)
                for finding in known
            ),
        ),
        facts=(("Service", service), ("Run", run_id)),
        advice=tuple(dict.fromkeys(finding.remedy for finding in known))[:3],
        links=(Link("The run", run_url(dag_id, run_id)), *tracking),
        notes=notes,
    )


def approval_waits(
    verdict: GateVerdict, service: str, hours: float, default: str | None, dag_id: str, run_id: str
) -> Alert:
    """A challenger has passed the gate, and a person has to decide."""
    about = f"{dag_id}/{run_id}"
    tracking, notes = tracking_link(f"{about}/gate")
    otherwise = f"Without an answer within {hours:g} hours, "
    otherwise += f"it counts as {default!r}." if default else "the run fails."
    return Alert(
        kind="approval",
        key=f"approval/{about}/{verdict.challenger}",
        about=about,
        subject=f"version {verdict.challenger} of {service} waits for an approval",
        headline=f"Shall version {verdict.challenger} become champion of {service}?",
        summary=f"It has passed the gate against {_version(verdict.champion)}. {otherwise}",
        table=_checks(verdict),
        facts=(("Service", service), ("Run", run_id)),
        advice=("Approve or reject it under Required Actions of the run.",),
        links=(Link("The run", run_url(dag_id, run_id)), *tracking),
        notes=notes,
    )


def moved(
    entry: HistoryEntry, service: str, dag_id: str, run_id: str, verdict: GateVerdict | None
) -> Alert:
    """Another version is champion."""
    about = f"{dag_id}/{run_id}"
    back = entry.kind == "rollback"
    tracking, notes = tracking_link(f"{about}/move")
    was = _version(entry.before.champion)
    what = f"went back to version {entry.version}" if back else f"is now version {entry.version}"
    # A move by hand is described by its remarks alone, generated data first.
    made_up = source_label(SAMPLE)
    sample = sample_mark(SAMPLE) if entry.remarks.startswith(made_up) else ""
    return Alert(
        kind="rollback" if back else "promotion",
        key=f"{entry.kind}/{about}/{entry.run_id}",
        about=about,
        subject=f"the champion of {service} {what}{sample}",
        headline=f"The champion of {service} {what}",
        summary=f"Before, it was {was}.",
        at=dt.datetime.fromtimestamp(entry.at, tz=dt.UTC),
        table=_checks(verdict) if verdict else None,
        facts=(
            ("From", _standing(entry.before)),
            ("To", _standing(entry.after)),
            ("Moment", entry.moment or "all"),
            ("Who", entry.who or "nobody was named"),
            *((("Approved by", entry.approver),) if entry.approver else ()),
            ("Why", entry.why or "no reason was given"),
            *((("Remarks", entry.remarks),) if entry.remarks else ()),
            *(_judged(verdict, service, remarks=False) if verdict else ()),
            ("Run", run_id),
        ),
        advice=()
        if back
        else (f"To undo it, trigger promotion with action rollback and service {service}.",),
        links=(Link("The run", run_url(dag_id, run_id)), *tracking),
        notes=notes,
    )


def drifted(
    what: str,
    findings: Iterable[tuple[str, str, str]],
    dag_id: str,
    run_id: str,
    report_url: str | None = None,
) -> Alert:
    """The trips, or the errors, are no longer what the model learned from.

    Parameters
    ----------
    what
        One line: what has drifted, and since when.
    findings
        Name, what was found, and the threshold.
    report_url
        Address of the whole report.
    """
    about = f"{dag_id}/{run_id}"
    report = (Link("The report", report_url),) if report_url else ()
    return Alert(
        kind="drift",
        key=f"drift/{about}/{what}",
        about=about,
        subject=f"drift: {what}",
        headline="The trips have drifted",
        summary=what,
        table=AlertTable(("What", "Found", "Threshold"), tuple(findings)),
        facts=(("Run", run_id),),
        advice=("Train on newer months: trigger retraining, or wait for its schedule.",),
        links=(*report, Link("The run", run_url(dag_id, run_id))),
    )


def drift_answered(outcome: str, drift: Mapping[str, Any], dag_id: str, run_id: str) -> Alert:
    """A retraining has answered a drift.

    Parameters
    ----------
    outcome
        One line: why, and what has changed.
    drift
        The evidence: ``why``, ``window``, ``version``, ``run_url``.
    """
    about = f"{dag_id}/{run_id}"
    return Alert(
        kind="drift",
        key=f"drift_answered/{about}/{drift['run_id']}",
        about=about,
        subject=outcome,
        headline="The drift has been answered",
        summary=outcome,
        facts=(
            ("Drift", drift["why"]),
            ("Window", drift["window"]),
            ("Version that had drifted", str(drift["version"])),
            ("Run", run_id),
        ),
        links=(Link("The window", drift["run_url"]), Link("The run", run_url(dag_id, run_id))),
    )


def state_lost(key: str, aside: str) -> Alert:
    """Tell that what was remembered of a source, or of drift, cannot be read."""
    return Alert(
        kind="failure",
        key=f"unreadable/{key}/{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}",
        about=f"state/{key}",
        subject=f"the state {key} cannot be read",
        headline="A state cannot be read",
        summary=f"What was remembered under {key} was damaged, or written by another version. It "
        f"is kept under {aside}, and begins anew: months may be announced, and drift be answered, "
        "once more.",
    )


def unreadable_files(found: Sequence[str]) -> Alert:
    """Tell which stored files could not be read and were moved aside, the latest one last."""
    return Alert(
        kind="failure",
        key=f"unreadable/{found[-1]}",
        about="maintenance/unreadable",
        subject=f"{len(found)} stored files could not be read",
        headline="Stored files could not be read",
        summary="They were damaged, or written by another version. Each was moved aside, and what "
        "it held was made anew where that was possible.",
        table=AlertTable(("File",), tuple((path,) for path in found[-_MOST_FILES:])),
        advice=(
            "If they come from an upgrade, or a machine that broke down, nothing has to be done.",
            "If more of them come, look at the disk and at who else writes into this folder.",
        ),
    )


def drift_not_known(service: str, version: int, why: str, dag_id: str, run_id: str) -> Alert:
    """Tell that nobody would notice if the trips drifted."""
    about = f"{dag_id}/{run_id}"
    return Alert(
        kind="drift",
        # Once for each version, not at every look.
        key=f"drift_not_known/{service}/{version}/{why}",
        about=about,
        subject=f"drift of {service} cannot be seen: version {version}",
        headline="Drift cannot be seen",
        summary=why[:1].upper() + why[1:] + ".",
        facts=(("Service", service), ("Run", run_id)),
        advice=(f"Run `model-loop profile-version --version {version}`.",),
        links=(Link("The run", run_url(dag_id, run_id)),),
    )


def trial(run_id: str) -> Alert:
    """An alert that only shows that alerts arrive."""
    return Alert(
        kind="test",
        key=f"test/alerts/{run_id}",
        about=f"alerts/{run_id}",
        subject="this is a test",
        headline="Alerts arrive",
        summary="Somebody has asked for a test. Nothing has happened.",
        links=(Link("The run", run_url("alerts", run_id)),),
    )


def sample_mark(data_source: str) -> str:
    """Return what a subject ends with where trips are generated; nothing for real ones."""
    return f" ({source_label(data_source)})" if is_generated(data_source) else ""


def _judged(
    verdict: GateVerdict, service: str, *, remarks: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield what figures of a verdict are of."""
    yield "Data", source_label(verdict.data_source) if verdict.data_source else "not known"
    if verdict.recipe:
        yield "Model input", dataset_of_variant(service).recipe_label(verdict.recipe)
    if remarks and verdict.remarks:
        yield "Remarks", "; ".join(verdict.remarks)


def _checks(verdict: GateVerdict) -> AlertTable:
    return AlertTable(
        ("Check", "", "Found", "Wanted"),
        tuple(
            (check.name, "passed" if check.passed else "NOT PASSED", check.found, check.wanted)
            for check in verdict.checks
        ),
    )


def _version(number: int | None) -> str:
    return "none" if number is None else f"version {number}"


def _standing(standing: Deployment) -> str:
    parts = [f"champion {_version(standing.champion)}"]
    if standing.challenger is not None:
        parts.append(f"challenger version {standing.challenger} ({standing.share:.0%})")
    if standing.shadow is not None:
        parts.append(f"shadow version {standing.shadow}")
    return ", ".join(parts if standing.enabled else [*parts, "disabled"])

"""The alerts that are no failures: what ended well, is late, was refused, moved or drifted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model_loop.alerts.types import Alert, AlertKind, AlertTable, Link
from model_loop.datasets.registry import dataset_of_variant
from model_loop.models.search import metric_title
from model_loop.orchestration.alerts.failed_tasks import run_url
from model_loop.orchestration.alerts.failures import tracking_link
from model_loop.orchestration.forms.completing import variant_conf
from model_loop.orchestration.names import PROMOTION, RETRAINING, dag_id_of
from model_loop.sources.origin import SAMPLE, is_generated, source_label

if TYPE_CHECKING:
    from model_loop.datasets.dataset import Dataset
    from model_loop.findings import Finding
    from model_loop.models.gate import GateVerdict
    from model_loop.tracking.deployments import Deployment, HistoryEntry


#: Files that one mail names.
_MOST_FILES = 20
#: Outcome of a check in mails; one that passed is written as it is.
_OUTCOMES = {"failed": "NOT PASSED", "warning": "WARNING"}
_Facts = Iterable[tuple[str, str]]


def _of_run(
    kind: AlertKind,
    dag_id: str,
    run_id: str,
    key: str,
    *,
    prefix: str = "",
    facts: _Facts = (),
    links: Iterable[Link] = (),
    tracked: str | None = None,
    **texts: Any,  # noqa: ANN401 - other fields of an alert
) -> Alert:
    """Return an alert about a run of a DAG, with the run among its facts and links.

    Parameters
    ----------
    key
        End of the alert's key: tells it from others about the same run.
    prefix
        Begin of the key, where it is not the kind.
    facts
        Names and values before the run.
    links
        Pages before that of the run.
    tracked
        End of the identity of the run on the tracking server that is linked; None for no link.
    """
    about = f"{dag_id}/{run_id}"
    tracking, notes = ((), ()) if tracked is None else tracking_link(f"{about}{tracked}")
    return Alert(
        kind=kind,
        key=f"{prefix or kind}/{about}/{key}",
        about=about,
        facts=(*facts, ("Run", run_id)),
        links=(*links, Link("The run", run_url(dag_id, run_id)), *tracking),
        notes=notes,
        **texts,
    )


def success(dag_id: str, run_id: str, results: Mapping[str, Any]) -> Alert:
    """A training run ended well: its families, the best one first."""
    families, variant = results["families"], results["service"]
    best, dataset = families[0], dataset_of_variant(variant)
    recipe, source = dataset.recipe_label(results["recipe"]), source_label(results["data_source"])
    metric, title = dataset.target.main_metric, metric_title(dataset.target.main_metric)
    lowest = dataset.target.with_unit(f"{best[f'validation_{metric}']:.3f}")
    return _of_run(
        "success",
        dag_id,
        run_id,
        results["run_id"],
        subject=f"{dag_id} ended well: {best['family']}, {title} {lowest}"
        f"{sample_mark(results['data_source'])}",
        headline=f"{dag_id} ended well",
        summary=f"The best of {len(families)} on the validation {dataset.rows[0]} is "
        f"{best['family']}, with {'an' if metric == 'rmse' else 'a'} {title} of {lowest}: "
        f"{source}, {recipe}.",
        table=AlertTable(
            ("Family", f"Validation {title}", f"Test {title}", "Trials", "Seconds"),
            tuple(
                (
                    family["family"],
                    *(
                        "" if error is None else f"{error:.3f}"
                        for error in (family[f"validation_{metric}"], family[f"test_{metric}"])
                    ),
                    str(family["evaluations"]),
                    f"{family['seconds']:.0f}",
                )
                for family in families
            ),
        ),
        facts=(
            ("Data", f"{variant}, {source}"),
            ("Model input", f"{recipe}, {results['encoding']}"),
            ("Training set", results["training_set"]),
        ),
        links=(Link("MLflow", results["run_url"]),),
    )


def deadline_missed(dag_id: str, run_id: str, deadline: str, hours: float) -> Alert:
    """A run is not done in time; it goes on."""
    return _of_run(
        "deadline",
        dag_id,
        run_id,
        deadline,
        subject=f"{dag_id} is late",
        headline=f"{dag_id} is late",
        summary=f"The run was to be done within {hours:g} hours. It goes on.",
        facts=(("Deadline", deadline),),
        advice=(
            "Look which task takes the time; the log of a search counts its trials.",
            "Mark the run as failed to stop it; a time budget makes the next one shorter.",
        ),
        tracked="",
    )


def gate_refused(verdict: GateVerdict, variant: str, dag_id: str, run_id: str) -> Alert:
    """A challenger did not pass the gate; nothing has moved."""
    failed = [check.name for check in verdict.failed]
    return _of_run(
        "gate_refused",
        dag_id,
        run_id,
        str(verdict.challenger),
        subject=f"version {verdict.challenger} of {variant} did not pass the gate"
        f"{sample_mark(verdict.data_source)}",
        headline=f"Version {verdict.challenger} did not pass the gate",
        summary=f"Nothing has moved; champion of {variant}: {_version(verdict.champion)}. Not "
        f"passed: {', '.join(failed)}.",
        table=_checks(verdict),
        facts=(*_table_of(variant), *_judged(verdict, variant)),
        tracked="/gate",
    )


def doubtful(findings: Iterable[Finding], variant: str, dag_id: str, run_id: str) -> Alert:
    """Partitions are not quite as those before them; the run goes on."""
    known, (several, one) = tuple(findings), dataset_of_variant(variant).partitions
    named = ", ".join(dict.fromkeys(finding.partition for finding in known))
    return _of_run(
        "data",
        dag_id,
        run_id,
        named,
        subject=f"{variant} {named}: {len(known)} findings about the data",
        headline=f"Something about {named} is doubtful",
        summary=f"Compared with the {several} before, {variant} {named} is not as usual. The run "
        f"goes on; look whether the {one} is right.",
        table=AlertTable(
            (one.capitalize(), "Finding", "Column", "What was found"),
            tuple(
                (finding.partition, finding.code, finding.column or "", finding.message)
                for finding in known
            ),
        ),
        facts=_table_of(variant),
        advice=tuple(dict.fromkeys(finding.remedy for finding in known))[:3],
        tracked="",
    )


def approval_waits(
    verdict: GateVerdict, variant: str, hours: float, default: str | None, dag_id: str, run_id: str
) -> Alert:
    """A challenger has passed the gate, and a person has to decide."""
    otherwise = f"it counts as {default!r}." if default else "the run fails."
    return _of_run(
        "approval",
        dag_id,
        run_id,
        str(verdict.challenger),
        subject=f"version {verdict.challenger} of {variant} waits for an approval",
        headline=f"Shall version {verdict.challenger} become champion of {variant}?",
        summary=f"It has passed the gate against {_version(verdict.champion)}. Without an answer "
        f"within {hours:g} hours, {otherwise}",
        table=_checks(verdict),
        facts=_table_of(variant),
        advice=("Approve or reject it under Required Actions of the run.",),
        tracked="/gate",
    )


def code_waits(
    contents: Mapping[str, Any], code: str, variant: str, hours: float, dag_id: str, run_id: str
) -> Alert:
    """Code is to come in, and a person has to decide."""
    files = [(it["file"], f"{it['bytes']:,}", it["sha256"]) for it in contents["files"]]
    return _of_run(
        "approval",
        dag_id,
        run_id,
        contents["digest"],
        subject=f"the code {code} for {variant} waits for an approval",
        headline=f"Shall the code {code} answer for {variant}?",
        summary="It is code: after a yes it runs in the runner. Without an answer within "
        f"{hours:g} hours, it stays out.",
        table=AlertTable(("File", "Bytes", "SHA-256"), tuple(files[:_MOST_FILES])),
        facts=(
            ("Digest", contents["digest"]),
            ("Files", f"{len(files):,}"),
            ("Requirements", ", ".join(contents["requirements"]) or "none"),
            ("Environment values", ", ".join(contents["variables"]) or "none"),
            *_table_of(variant),
        ),
        advice=("Read the code, then approve or reject it under Required Actions of the run.",),
    )


def moved(
    entry: HistoryEntry, variant: str, dag_id: str, run_id: str, verdict: GateVerdict | None
) -> Alert:
    """Another version is champion."""
    dataset, back = dataset_of_variant(variant), entry.kind == "rollback"
    now = f"went back to version {entry.version}" if back else f"is now version {entry.version}"
    # A move by hand is described by its remarks alone, generated data first.
    sample = sample_mark(SAMPLE) if entry.remarks.startswith(source_label(SAMPLE)) else ""
    undo = {"action": "rollback", **variant_conf(dataset, variant)}
    fields = " and ".join(f"{name} {value}" for name, value in undo.items())
    return _of_run(
        "rollback" if back else "promotion",
        dag_id,
        run_id,
        entry.run_id,
        prefix=entry.kind,
        subject=f"the champion of {variant} {now}{sample}",
        headline=f"The champion of {variant} {now}",
        summary=f"Before, it was {_version(entry.before.champion)}.",
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
            *(_judged(verdict, variant, remarks=False) if verdict else ()),
        ),
        advice=()
        if back
        else (f"To undo it, trigger {dag_id_of(dataset, PROMOTION)} with {fields}.",),
        tracked="/move",
    )


def drifted(
    summary: str,
    findings: Iterable[tuple[str, str, str]],
    dataset: Dataset,
    dag_id: str,
    run_id: str,
    report_url: str | None = None,
) -> Alert:
    """Rows, or errors, are no longer what the model learned from.

    Parameters
    ----------
    summary
        One line: what has drifted, and since when.
    findings
        Name, what was found, and the threshold.
    report_url
        Address of the whole report.
    """
    return _of_run(
        "drift",
        dag_id,
        run_id,
        summary,
        subject=f"drift: {summary}",
        headline=f"The {dataset.rows[0]} of {dataset.title} have drifted",
        summary=summary,
        table=AlertTable(("What", "Found", "Threshold"), tuple(findings)),
        advice=(
            f"Train on newer {dataset.partitions[0]}: trigger {dag_id_of(dataset, RETRAINING)}.",
        ),
        links=(Link("The report", report_url),) if report_url else (),
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
    return _of_run(
        "drift",
        dag_id,
        run_id,
        drift["run_id"],
        prefix="drift_answered",
        subject=outcome,
        headline="The drift has been answered",
        summary=outcome,
        facts=(
            ("Drift", drift["why"]),
            ("Window", drift["window"]),
            ("Version that had drifted", str(drift["version"])),
        ),
        links=(Link("The window", drift["run_url"]),),
    )


def state_lost(key: str, aside: str) -> Alert:
    """Tell that what was remembered of a source, or of drift, cannot be read."""
    return Alert(
        kind="failure",
        key=f"unreadable/{key}/{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}",
        about=f"state/{key}",
        subject=f"the state {key} cannot be read",
        headline="A state cannot be read",
        summary=f"The state under {key} was damaged, or written by another version. It "
        f"is kept under {aside}, and begins anew: partitions may be announced, and drift be "
        "answered, once more.",
    )


def unreadable_files(paths: Sequence[str]) -> Alert:
    """Tell which stored files could not be read and were moved aside, the latest one last."""
    return Alert(
        kind="failure",
        key=f"unreadable/{paths[-1]}",
        about="maintenance/unreadable",
        subject=f"{len(paths)} stored files could not be read",
        headline="Stored files could not be read",
        summary="They were damaged, or written by another version. Each was moved aside, and what "
        "it held was made anew where that was possible.",
        table=AlertTable(("File",), tuple((path,) for path in paths[-_MOST_FILES:])),
        advice=(
            "If they come from an upgrade, or a machine that broke down, nothing has to be done.",
            "If more of them come, look at the disk and at who else writes into this folder.",
        ),
    )


def drift_not_known(variant: str, version: int, why: str, dag_id: str, run_id: str) -> Alert:
    """Tell that nobody would notice a drift."""
    return Alert(
        kind="drift",
        # Once for each version, not at every look.
        key=f"drift_not_known/{variant}/{version}/{why}",
        about=f"{dag_id}/{run_id}",
        subject=f"drift of {variant} cannot be seen: version {version}",
        headline="Drift cannot be seen",
        summary=why[:1].upper() + why[1:] + ".",
        facts=(*_table_of(variant), ("Run", run_id)),
        advice=(f"Run `model-loop profile-version --variant {variant} --version {version}`.",),
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
    """Return what a subject ends with where rows are generated; nothing for real ones."""
    return f" ({source_label(data_source)})" if is_generated(data_source) else ""


def _table_of(variant: str) -> tuple[tuple[str, str]]:
    """Return the fact that names the table: the variant where it has several."""
    dataset = dataset_of_variant(variant)
    if len(dataset.variants) == 1:
        return (("Dataset", dataset.title),)
    return ((dataset.variant_field.title, variant),)


def _judged(
    verdict: GateVerdict, variant: str, *, remarks: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield what figures of a verdict are of."""
    yield "Data", source_label(verdict.data_source) if verdict.data_source else "not known"
    if verdict.recipe:
        yield "Model input", dataset_of_variant(variant).recipe_label(verdict.recipe)
    if remarks and verdict.remarks:
        yield "Remarks", "; ".join(verdict.remarks)


def _checks(verdict: GateVerdict) -> AlertTable:
    return AlertTable(
        ("Check", "", "Found", "Wanted"),
        tuple(
            (check.name, _OUTCOMES.get(check.outcome, check.outcome), check.found, check.wanted)
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

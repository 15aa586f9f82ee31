"""Output of the commands: a table for people, one JSON object for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from model_loop.cli.console import console
from model_loop.findings import Finding, RefusedPartitionError
from model_loop.sources.origin import source_label

if TYPE_CHECKING:
    from model_loop.models.search import TuningResult
    from model_loop.models.training import TrainedModel
    from model_loop.tracking.lineage import Lineage, Reproduction
    from model_loop.training_set.types import TrainingSet


def print_training_set(training_set: TrainingSet, *, as_json: bool) -> None:
    """Print what is in a training set, and what is doubtful about its partitions."""
    from model_loop.training_set.summary import summarize

    summary = summarize(training_set)
    if as_json:
        _print_json({**summary, "findings": _as_json(training_set.findings)})
        return
    columns = summary["columns"]
    table = Table("part")
    table.add_column(training_set.dataset.rows[0], justify="right")
    for part, count in summary["rows"].items():
        table.add_row("train and validation" if part == "all" else part, f"{count:,}")
    out = console()
    out.print(f"Training set of {_origin(training_set)}")
    out.print(table)
    out.print(
        f"{columns['all']:,} columns on all, {columns['train']:,} on train; "
        f"digest {summary['digest'][:16]}"
    )
    _print_findings(training_set.findings)


def print_refusal(error: RefusedPartitionError, *, as_json: bool) -> None:
    """Print the findings that refuse a partition, and the others, without the error itself."""
    if as_json:
        _print_json({"error": str(error), "findings": _as_json(error.findings)})
    else:
        _print_findings(error.findings)


def _as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [finding.to_json() for finding in findings]


def _print_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        return
    table = Table("partition", "level", "finding", "column", "what was found")
    for finding in findings:
        table.add_row(
            finding.partition, finding.level, finding.code, finding.column or "", finding.message
        )
    console().print(table)


def print_outcomes(
    training_set: TrainingSet,
    outcomes: Sequence[tuple[TuningResult, TrainedModel | None]],
    *,
    as_json: bool,
) -> None:
    """Print what tuning, and where it was done training, came to: best family first."""
    from model_loop.models.search import metric_title
    from model_loop.pipeline.training import shown_metrics

    target = training_set.dataset.target
    metric, title = target.main_metric, metric_title(target.main_metric)
    ranked = sorted(outcomes, key=lambda outcome: getattr(outcome[0].validation, metric))
    rows = [_outcome(tuned, trained, shown_metrics(target)) for tuned, trained in ranked]
    if as_json:
        _print_json(
            {
                "data_source": training_set.data_source,
                "recipe": training_set.recipe.name,
                "moment": training_set.recipe.moment,
                "rows": training_set.rows,
                "digest": training_set.digest,
                "families": rows,
                "findings": _as_json(training_set.findings),
            }
        )
        return
    table = Table("model family")
    for heading in (f"validation {title}", f"test {title}", "trials", "seconds"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row["family"],
            *(
                "" if row[f"{part}_{metric}"] is None else f"{row[f'{part}_{metric}']:.3f}"
                for part in ("validation", "test")
            ),
            str(row["evaluations"]),
            f"{row['seconds']:.1f}",
        )
    out = console()
    unit = f" in {target.unit}" if target.unit else ""
    out.print(f"Errors{unit} on {_origin(training_set)}")
    out.print(table)
    _print_findings(training_set.findings)


def print_reproduction(reproduction: Reproduction, lineage: Lineage, *, as_json: bool) -> None:
    """Print the errors of then and of now."""
    if as_json:
        _print_json(
            {
                "agrees": reproduction.agrees,
                "training_set": lineage.training_set,
                "months": [
                    {
                        "month": file.partition,
                        "url": file.url,
                        "etag": file.etag,
                        "digest": file.digest,
                    }
                    for file in lineage.files
                ],
                "metrics": {name: [then, now] for name, then, now in reproduction.metrics},
                "changed": {name: [then, now] for name, then, now in reproduction.changed},
            }
        )
        return
    out = console()
    for file in lineage.files:
        out.print(f"{file.partition}: {file.url}, sha256 {file.digest}")
    table = Table(box=None, header_style="bold")
    table.add_column("metric")
    for heading in ("then", "now"):
        table.add_column(heading, justify="right")
    for name, then, now in reproduction.metrics:
        table.add_row(name, f"{then:.6f}", f"{now:.6f}")
    out.print(table)
    for name, was, is_now in reproduction.changed:
        out.print(f"{name} was {was}, is {is_now}")
    out.print("reproduced" if reproduction.agrees else Text("not reproduced", "bold red"))


def print_written(paths: Sequence[str], *, as_json: bool) -> None:
    """Print the files that were written."""
    if as_json:
        _print_json({"files": list(paths), "data_source": "sample"})
        return
    for path in paths:
        console().print(f"wrote {path} (sample data)")


def _outcome(
    tuned: TuningResult, trained: TrainedModel | None, metrics: Sequence[str]
) -> dict[str, Any]:
    test = trained.test if trained else None
    return {
        "family": tuned.family,
        **{f"validation_{name}": getattr(tuned.validation, name) for name in metrics},
        **{f"test_{name}": getattr(test, name) if test else None for name in metrics},
        "evaluations": len(tuned.trials),
        "seconds": tuned.seconds + (trained.seconds if trained else 0.0),
        "settings": dict(tuned.best.settings),
        "rounds": tuned.best.rounds,
    }


def _origin(training_set: TrainingSet) -> str:
    label, recipe = source_label(training_set.data_source), training_set.recipe.label
    return f"{training_set.request.service}, {label}, {recipe}"


def _print_json(value: object) -> None:
    print(json.dumps(value))  # noqa: T201 - the command's answer, unwrapped

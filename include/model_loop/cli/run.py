"""The command ``model-loop run``: from the file of a dataset to a champion, without Airflow."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich import box
from rich.table import Table

from model_loop.cli.codes import ExitCode
from model_loop.cli.console import console
from model_loop.cli.options import (
    AsJson,
    PrimaryMetricOption,
    local_database,
    tracking_answers,
    use_database,
)
from model_loop.datasets.dataset import Target
from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.registry import datasets_folder, find_variant
from model_loop.errors import InvalidInputError, require_within
from model_loop.models.catalogue import get_family
from model_loop.partitions.keys import WHOLE
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from model_loop.findings import RefusedPartitionError

Several = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]

#: Evaluations of each family's search.
EVALUATIONS = 20
#: Characters of a heading beyond which it takes two lines.
_LONG_HEADING = 12
#: Findings that the last screen has room for.
_MOST_SHOWN = 5


def run_file(  # noqa: PLR0913 - one for each option
    file: Path,
    *,
    models: Several = (),
    evaluations: Annotated[int, Parameter(show_default=True)] = EVALUATIONS,
    recipe: Several = (),
    variant: Several = (),
    partition: Several = (),
    primary_metric: PrimaryMetricOption = None,
    seed: int = 42,
    promote: bool = True,
    blend: Annotated[bool, Parameter(show_default=False)] = get_settings().blend,
    workers: Annotated[int, Parameter(show_default=False)] = 0,
    storage: Annotated[str, Parameter(show_default=False)] = get_settings().storage_root,
    as_json: AsJson = False,
) -> None:
    """Prepare a dataset, tune and train models, judge them, and make the best one champion.

    Goes on where a run that was killed has ended. Without a champion, the next best model follows
    one that the gate refuses. Ends with exit code 1 where none passes, or none is better than a
    rule that needs no model.

    Parameters
    ----------
    file
        File of the dataset, or its name.
    models
        Model families, such as xgboost; all of them by default. Repeat it for several.
    evaluations
        Trials of each family's search.
    recipe
        Recipes; all of the dataset by default. Repeat it for several.
    variant
        Variants of the dataset; all of them by default. Repeat it for several.
    partition
        Partitions that are read; all of them by default. Repeat it for several.
    primary_metric
        Metric that decides which trial, and which family, is the best.
    seed
        Seed of the searches and fits: same seed, same result.
    promote
        Whether the best model becomes champion.
    blend
        Whether a weighted mean of the families is one more candidate, where it is better than the
        best of them by more than noise; as the setting MODEL_LOOP_BLEND says by default.
    workers
        Families that are fitted at a time, each in a process of its own; as many as cores and
        memory allow by default.
    storage
        Folder of training sets and of the state of runs.
    as_json
        Print one JSON object, for machines.
    """
    require_within("evaluations", evaluations, least=1)
    require_within("workers", workers, least=0)
    path = file if file.suffix == ".toml" else datasets_folder() / f"{file}.toml"
    declaration = read_declaration(path)
    families = tuple(get_family(name, declaration.task.kind).name for name in models)
    # Threads that wait for each other give their core away; it is read when XGBoost is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A stopped server is reported after half a minute, and not after four.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
    from mlflow.exceptions import MlflowException

    from model_loop.cluster.fitting import cluster_fits
    from model_loop.findings import RefusedPartitionError
    from model_loop.models.search import SearchRequest, primary_metrics
    from model_loop.pipeline.run import Places, RunRequest, run_table

    settings = get_settings()
    target = Target(declaration.target, kind=declaration.task.kind)
    search = SearchRequest(
        max_evaluations=evaluations,
        primary_metric=primary_metric or primary_metrics(target)[0],
        random_state=seed,
    )
    search.require_for(target)
    request = RunRequest(
        families=families,
        recipes=recipe,
        variants=variant,
        partitions=partition,
        search=search,
        promote=promote,
        workers=workers,
        blend=blend,
    )
    places = Places(
        storage,
        _tracking_uri(settings.tracking_uri),
        settings.experiment,
        settings.request_timeout_seconds,
        cluster_fits(settings),
    )
    try:
        result = run_table(declaration, path.parent, request, places)
    except RefusedPartitionError as error:
        if as_json:
            _print_json(_refusal(error))
        raise
    except MlflowException as error:
        raise InvalidInputError(
            f"The tracking server {places.tracking_uri}",
            f"did not answer, or refused it ({' '.join(str(error).split())})",
            "Start it, then repeat the command: it goes on with what is done.",
        ) from error
    if as_json:
        _print_json(result)
    else:
        _print(result, path)
    if not all(map(_is_good, result["runs"])):
        sys.exit(ExitCode.NEGATIVE)


def _tracking_uri(uri: str) -> str:
    """Return the address of the tracking server, or of a database of its own where none answers."""
    if tracking_answers(uri):
        return uri
    database = local_database()
    database.parent.mkdir(parents=True, exist_ok=True)
    return use_database(uri, database)


def _is_good(run: dict[str, Any]) -> bool:
    """Return whether the model to use is better than every rule, and the gate has let it pass."""
    gate = run.get("gate")
    return _beats_baseline(_chosen(run), run) and (gate is None or gate["passed"])


def _chosen(run: dict[str, Any]) -> dict[str, Any]:
    """Return the family that became champion; the best on validation, if none did."""
    families: list[dict[str, Any]] = run["families"]
    promoted = (each for each in families if each["version"] == run.get("champion"))
    return next(promoted, families[0])


def _beats_baseline(family: dict[str, Any], run: dict[str, Any]) -> bool:
    error = family[f"test_{_metric(run)}"]
    return error is not None and all(error < each for each in _rules(run).values())


def _rules(run: dict[str, Any]) -> dict[str, float]:
    """Return the main metric of each rule that needs no model, on the test rows."""
    return {
        name: errors[f"test_{_metric(run)}"]
        for name, errors in run["compared_with"].items()
        if not name.startswith("champion")
    }


def _refusal(error: RefusedPartitionError) -> dict[str, Any]:
    return {"error": str(error), "findings": [each.to_json() for each in error.findings]}


def _print_json(content: dict[str, Any]) -> None:
    console().print(json.dumps(content))


def _print(result: dict[str, Any], path: Path) -> None:
    out = console()
    for run in result["runs"]:
        _print_run(run, result)
    out.print("")
    out.print(f"Runs and models: {result['tracking_uri']}")
    known = path.resolve().parent == datasets_folder().resolve()
    database = result["tracking_uri"].startswith("sqlite:")
    prefix = f"MODEL_LOOP_TRACKING_URI={result['tracking_uri']} \\\n  " if database else ""
    if not known:
        out.print(f"Make it known: model-loop datasets add {path}")
    answering = [run for run in result["runs"] if run.get("champion") is not None]
    if not answering:
        return
    run, port = answering[0], get_settings().serving_port
    values = " ".join(_given(run["variant"], *each) for each in run["example"].items())
    out.print("Ask it:")
    out.print(f"  {prefix}model-loop predict {run['variant']} {values}")
    out.print("Over HTTP, after `model-loop tokens add me`:")
    out.print(f"  {prefix}MODEL_LOOP_SERVING_VARIANTS={run['variant']} model-loop serve")
    out.print(f"  curl http://127.0.0.1:{port}/{run['variant']}/predict \\")
    out.print("    -H 'Authorization: Bearer TOKEN' \\")
    out.print(f"    -d {shlex.quote(json.dumps(run['example']))}")


def _given(variant: str, name: str, value: Any) -> str:  # noqa: ANN401 - a value of JSON
    """Return a value as the command line has it: numbers with the decimal sign of the table."""
    dataset, text = find_variant(variant)[0], str(value)
    if isinstance(value, float):
        (column,) = (each.name for each in dataset.columns if each.field == name)
        text = text.replace(".", dataset.reader.decimals.get(column, "."))
    return shlex.quote(f"{name}={text}")


def _print_findings(findings: Sequence[dict[str, Any]]) -> None:
    from model_loop.history.judging import short_remedy

    out = console()
    # Findings about the whole table come first; single partitions may have many.
    found = sorted(findings, key=lambda each: each["partition"] != WHOLE)
    for finding in found[:_MOST_SHOWN]:
        where = "" if finding["partition"] == WHOLE else f" of {finding['partition']}"
        out.print(
            f"{finding['level']} {finding['code']}{where}: {finding['message'].rstrip('.')}. "
            f"{short_remedy(finding['remedy'])}"
        )
    if len(found) > _MOST_SHOWN:
        rest = len(found) - _MOST_SHOWN
        out.print(f"{rest} more: --json lists all of them, and so does the card of each model.")


def _print_run(run: dict[str, Any], result: dict[str, Any]) -> None:
    from model_loop.models.search import metric_title

    out, unit = console(), result["unit"]
    out.print("")
    recipe = "" if run["recipe"] == run["moment"] else f", by the recipe {run['recipe']}"
    out.print(
        f"{run['variant']}: {result['target']}{f' in {unit}' if unit else ''}, predicted at the "
        f"moment {run['moment']}{recipe}"
    )
    parts = ", ".join(f"{name} {rows:,}" for name, rows in run["rows"].items() if rows)
    out.print(f"{run['read']:,} rows read; {parts}; split {run['split']}")
    out.print(f"Chosen by {run['chosen_by']}")
    for name, period in run["periods"].items():
        out.print(f"  {name}: {period['first']} to {period['last']}")
    if run["set_aside"]:
        reasons = ", ".join(f"{rows:,} ({rule})" for rule, rows in run["set_aside"].items())
        out.print(f"Set aside: {reasons}")
    _print_findings(run["findings"])
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    # Beside several metrics, a long name gives way: numbers are never cut off.
    table.add_column("model or rule", no_wrap=_metric(run) == "rmse")
    shown = [("validation", _metric(run)), *(("test", name) for name in run["metrics"])]
    # Names of several metrics have room below each other.
    between = " " if _metric(run) == "rmse" else "\n"
    for part, metric in shown:
        title = metric_title(metric)
        title = title.replace(" ", between) if len(title) > _LONG_HEADING else title
        table.add_column(f"{part}{between}{title}", justify="right", no_wrap=True)
    rows = [(family["family"], family) for family in run["families"]]
    timed = any(family.get("answer_microseconds") for _, family in rows)
    if timed:
        table.add_column(f"answer,{between}µs a row", justify="right", no_wrap=True)
    for name, found in (*rows, *run["compared_with"].items()):
        numbers = [_number(found.get(f"{part}_{metric}")) for part, metric in shown]
        times = [_microseconds(found.get("answer_microseconds"))] if timed else []
        table.add_row(name, *numbers, *times)
    out.print(table)
    out.print("")
    for family in run["families"]:
        if note := family.get("note"):
            out.print(f"{family['family']}: {note}")
    if run.get("blend"):
        out.print(run["blend"])
    out.print(_learned(run, unit))
    _print_standing(run)


def _microseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _metric(run: dict[str, Any]) -> str:
    """Return the name of the metric that models are ranked by."""
    name: str = run["metrics"][0]
    return name


def _learned(run: dict[str, Any], unit: str) -> str:
    """Say in a sentence how far off the best model is, against the best rule without one."""
    from model_loop.models.search import metric_title

    best, rules = _chosen(run), _rules(run)
    name = min(rules, key=rules.__getitem__)
    own, other = best[f"test_{_metric(run)}"], rules[name]
    share = abs(own / other - 1) if other else 0.0
    in_unit = f" {unit}" if unit else ""
    if (metric := _metric(run)) != "rmse":
        return (
            f"{best['family']} has a {metric_title(metric)} of {_number(own)} on "
            f"{run['rows']['test']:,} test rows that no model has seen: {share:.0%} "
            f"{'less' if own < other else 'more'} than the best rule without a model, {name}, with "
            f"{_number(other)}. {_at_threshold(best, run)}"
        )
    return (
        f"{best['family']} is off by {_number(own)}{in_unit} (RMSE on {run['rows']['test']:,} test "
        f"rows that no model has seen): {share:.0%} {'less' if own < other else 'more'} than the "
        f"best rule without a model, {name}, with {_number(other)}."
    )


def _at_threshold(best: dict[str, Any], run: dict[str, Any]) -> str:
    """Say in a sentence how often the answers of a classifier are right."""
    positive = run["positive"]
    if positive is None:
        return f"Its likeliest class is the right one in {best['test_accuracy']:.1%} of them."
    return (
        f"At its threshold it finds {best['test_recall']:.1%} of those that are {positive}, and "
        f"{best['test_precision']:.1%} of those that it calls so are."
    )


def _print_standing(run: dict[str, Any]) -> None:
    out = console()
    if not any(_beats_baseline(family, run) for family in run["families"]):
        out.print("No model is better than a rule that needs none.")
    names = {family["version"]: family["family"] for family in run["families"]}
    for gate in run.get("refused", ()):
        for check in (each for each in gate["checks"] if not each["passed"] and each["blocks"]):
            out.print(
                f"The gate refuses version {gate['version']} ({names[gate['version']]}): "
                f"{check['name']}: {check['found']} (wanted: {check['wanted']})"
            )
    for check in (run.get("gate") or {}).get("checks", ()):
        if not check["passed"] and not check["blocks"]:
            out.print(f"Warning: {check['name']}: {check['found']} (wanted: {check['wanted']})")
    if run.get("champion") is not None:
        out.print(f"Champion at the moment {run['moment']}: version {run['champion']}")
    elif "champion" in run:
        out.print(f"No champion at the moment {run['moment']}.")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

"""The commands. Each turns its options into a typed request and prints what the library returns."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from model_loop.cli.code import code
from model_loop.cli.codes import ExitCode
from model_loop.cli.datasets import datasets
from model_loop.cli.erasure import erase
from model_loop.cli.labels import labels
from model_loop.cli.monitoring import correct_intervals, monitor, profile_version
from model_loop.cli.options import AsJson, DataOptions, SearchOptions, Variant
from model_loop.cli.products import products
from model_loop.cli.report import (
    print_outcomes,
    print_refusal,
    print_reproduction,
    print_training_set,
)
from model_loop.cli.run import run_file
from model_loop.cli.scoring import predict, score
from model_loop.cli.serving import (
    ab_report,
    client_code,
    export_requests,
    run_runner,
    serve,
    tokens,
    traffic,
    watch_canaries,
)
from model_loop.datasets.registry import choose_variant, dataset_packages
from model_loop.errors import InvalidInputError
from model_loop.findings import DoubtfulDataWarning, RefusedPartitionError
from model_loop.models.progress import TrialProgress
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from model_loop.models.search import TuningResult
    from model_loop.training_set.types import TrainingSet

#: Group of entry points that add the commands of datasets in Python: functions of the app.
ENTRY_POINTS = "model_loop.commands"

app = App(
    name="model-loop",
    help="The whole loop of a machine-learning product for a table: without Airflow.",
)

app.command(datasets)
app.command(labels)
app.command(run_file, name="run")
app.command(products)
app.command(predict)
app.command(score)
app.command(monitor)
app.command(profile_version)
app.command(correct_intervals)
app.command(erase)
app.command(code)
app.command(tokens)
app.command(run_runner, name="runner")
for _point in importlib.metadata.entry_points(group=ENTRY_POINTS):
    # Commands that one dataset alone has.
    _point.load()(app)
for command in (serve, client_code, traffic, watch_canaries, ab_report, export_requests):
    app.command(command)

_DATA = DataOptions()
_SEARCH = SearchOptions()


def run() -> None:
    """Run the command that the arguments name."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for package in ("model_loop", *dataset_packages()):
        logging.getLogger(package).setLevel(logging.INFO)
    app(exit_on_error=False, print_error=False, result_action="return_value")


@app.command
def prepare(
    *,
    data: DataOptions = _DATA,
    keep: Annotated[bool, Parameter(negative=())] = False,
    as_json: AsJson = False,
) -> None:
    """Build a training set and say what is in it.

    Parameters
    ----------
    keep
        Keep it as a product, which the DAGs find; see `model-loop products`.
    as_json
        Print one JSON object, for machines.
    """
    training_set = _build(data, as_json=as_json)
    if keep:
        from model_loop.training_set.products import TrainingSetStore

        TrainingSetStore(data.storage).publish(training_set)
    print_training_set(training_set, as_json=as_json)


@app.command
def tune(
    *, data: DataOptions = _DATA, search: SearchOptions = _SEARCH, as_json: AsJson = False
) -> None:
    """Search the best settings of one or more model families.

    Parameters
    ----------
    as_json
        Print one JSON object, for machines.
    """
    training_set, results = _tune(data, search, as_json=as_json)
    print_outcomes(training_set, [(result, None) for result in results], as_json=as_json)


@app.command
def train(
    *,
    data: DataOptions = _DATA,
    search: SearchOptions = _SEARCH,
    output: Path | None = None,
    as_json: AsJson = False,
) -> None:
    """Tune, fit the best settings on train and validation, and judge on the test rows.

    Parameters
    ----------
    output
        A new folder to save the models in, one MLflow model for each family.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.models.training import train as fit
    from model_loop.tracking.registry import save_model

    _require_new(output)
    training_set, results = _tune(data, search, as_json=as_json)
    request = search.request(training_set.dataset.target)
    trained = [fit(result, training_set, request) for result in results]
    if output is not None:
        for model in trained:
            save_model(
                model.model,
                output / model.tuned.family,
                training_set.example_rows,
                training_set.dataset.optional,
            )
    outcomes = [(model.tuned, model) for model in trained]
    print_outcomes(training_set, outcomes, as_json=as_json)


@app.command
def reproduce(
    version: int,
    *,
    variant: Variant = _DATA.variant,
    source: str | None = None,
    storage: Annotated[str, Parameter(show_default=False)] = get_settings().storage_root,
    as_json: AsJson = False,
) -> None:
    """Train a registered version again, and compare its errors with those of then.

    Ends with exit code 1 where an error is another.

    Parameters
    ----------
    version
        Number of the version in the registry.
    variant
        Variant of the model; a dataset, if it has one variant alone.
    source
        New address of the same files; the original one, if left out.
    storage
        Folder of intermediate files.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.tracking.experiments import tracker_of
    from model_loop.tracking.lineage import find_lineage
    from model_loop.tracking.lineage import reproduce as train_again

    settings, (dataset, chosen) = get_settings(), choose_variant(variant)
    tracker = tracker_of(dataset, settings.tracking_uri, settings.experiment)
    lineage = find_lineage(tracker, chosen.model_name, version)
    if source is not None:
        lineage = dataclasses.replace(lineage, data=lineage.data.with_source(source))
    reproduction = train_again(
        lineage,
        storage_root=storage,
        timeout_seconds=settings.request_timeout_seconds,
    )
    print_reproduction(reproduction, lineage, as_json=as_json)
    if not reproduction.agrees:
        sys.exit(ExitCode.NEGATIVE)


def _build(data: DataOptions, *, as_json: bool, seed: int | None = None) -> TrainingSet:
    # Wrong options are refused before the heavy imports begin.
    params = data.params(seed)
    from model_loop.training_set.preparation import build_training_set, preparation_of

    request = preparation_of(data.dataset).request(params, params["source"])
    with warnings.catch_warnings():
        # They are printed with the training set.
        warnings.simplefilter("ignore", DoubtfulDataWarning)
        try:
            return build_training_set(
                request,
                storage_root=data.storage,
                timeout_seconds=get_settings().request_timeout_seconds,
            )
        except RefusedPartitionError as error:
            print_refusal(error, as_json=as_json)
            raise


def _tune(
    data: DataOptions, search: SearchOptions, *, as_json: bool
) -> tuple[TrainingSet, list[TuningResult]]:
    target = data.dataset.target
    families, request = search.families(target), search.request(target)
    from model_loop.models.tuning import tune as search_family

    training_set = _build(data, as_json=as_json, seed=request.random_state)
    results = [
        search_family(
            family,
            training_set,
            request,
            on_trial=TrialProgress(family, request.max_evaluations),
        )
        for family in families
    ]
    return training_set, results


def _require_new(output: Path | None) -> None:
    if output is not None and output.exists():
        raise InvalidInputError(
            f"Output folder {output}", "exists", "Choose a new folder: nothing is overwritten."
        )

"""A blend of families against the best of them, on rows that neither has learned from.

Five families are searched in a few evaluations each, blended by what their best trials predict of
validation, fitted again on both parts, and asked for the test part. The gain of the blend over the
family with the lowest validation error is a share of that family's error (RMSE of numbers, log loss
of classes), with its 95 % interval by day (by patient of diabetes), once on validation rows that
the selection has not seen, by which a blend is chosen or not, and once on test. The time of an
answer is that of compiled forms.

Months come from MODEL_LOOP_TLC_FOLDER (green, 2024-01 to 2024-04); without it, declared tables are
measured alone. Names on the command line restrict it to rows that contain one of them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
from benchmarks.calibration import completed
from benchmarks.calibration import training_set as table_training_set
from benchmarks.results import record
from scipy import stats
from sklearn.pipeline import Pipeline

from model_loop.datasets.registry import datasets_folder
from model_loop.models.blend import (
    Weights,
    judge_blend,
    row_losses,
    select_weights,
)
from model_loop.models.blended import blend_models, family_of_blends
from model_loop.models.calibrating import residuals_by_search
from model_loop.models.catalogue import families_for
from model_loop.models.classification.clusters import clusters_of, mean_of_clusters
from model_loop.models.classification.finishing import clusters_of_residuals
from model_loop.models.outcomes import predict_outcomes
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.pipeline.blending import microseconds_of
from model_loop.serving.compiled.compiler import compile_model
from model_loop.tracking.registry import LoadedModel
from model_loop.training_set.matrices import Targets
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.split import SHARES
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.training_set.request import TrainingSetRequest

EVALUATIONS, THREADS = 4, 1
#: Train, validation and test months.
SPLITS = (("2024-01", "2024-02", "2024-03"), ("2024-01,2024-02", "2024-03", "2024-04"))
TABLES = (("bikes", "request"), ("diabetes", "request"), ("flights", "departed"))
#: Linear models with a penalty, and support vectors, are worse than the others everywhere.
LEFT_OUT = (
    "linear_model.Lasso",
    "svm.LinearSVR",
    "linear_model.LogisticRegressionL1",
    "svm.LinearSVC",
)


def main() -> None:
    """Print a line for each table, and keep its figures."""
    print("| | weights | validation, % | test, % | alone, µs | blend, µs |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, training_set in training_sets():
        weights, figures = measure(training_set)
        # Times are those of a busy machine: they are printed alone.
        kept = {key: each for key, each in figures.items() if np.isfinite(each)}
        record("blend", name, {key: each for key, each in kept.items() if "µs" not in key})
        told = ", ".join(f"{family} {weight:.0%}" for family, weight in weights.items())
        cells = [
            f"{figures[f'{part} gain, %']:+.2f} ({figures[f'{part} from, %']:+.2f} to "
            f"{figures[f'{part} to, %']:+.2f})"
            for part in ("validation", "test")
        ]
        times = [f"{figures[f'{which}, µs']:.2f}" for which in ("alone", "blend")]
        print(f"| {name} | {told} | {' | '.join([*cells, *times])} |", flush=True)


def training_sets() -> Iterator[tuple[str, TrainingSet]]:
    """Yield the training sets that are asked for, each with its name."""

    def is_asked(name: str) -> bool:
        return not sys.argv[1:] or any(part in name for part in sys.argv[1:])

    folder = os.environ.get("MODEL_LOOP_TLC_FOLDER")
    for train_months, validation, test in SPLITS:
        if folder and is_asked(name := f"trips, rich: {test}"):
            split = MonthSplit.parse(train_months, validation, test)
            request = TrainingSetRequest(folder, "green", split, "rich", "native")
            with tempfile.TemporaryDirectory() as storage:
                yield name, build_training_set(request, storage_root=storage)
    for table, recipe in TABLES:
        if is_asked(name := f"{table}, {recipe}: test"):
            declaration = completed(datasets_folder() / f"{table}.toml")
            yield name, table_training_set(declaration, recipe, SHARES, 42)


def measure(training_set: TrainingSet) -> tuple[Weights, dict[str, float]]:
    """Return the weights of a blend, and how much better it is than the best family."""
    target, dataset = training_set.target, training_set.dataset
    request = SearchRequest(max_evaluations=EVALUATIONS, threads=THREADS).for_target(target)
    names = [name for name in families_for(target.kind) if name not in LEFT_OUT]
    models, predicted = {}, dict[str, Targets]()
    for name in names:
        trained = train(tune(name, training_set, request), training_set, request)
        models[name] = trained.model
        assert trained.tuned.predicted is not None
        predicted[name] = trained.tuned.predicted
        print(f"{name}: {request.loss(trained.tuned.validation):.4f}", file=sys.stderr, flush=True)
    layout = family_of_blends(training_set).layout
    actual, metric = training_set.judged_target(layout), request.curve_metric
    residuals = residuals_by_search(training_set, layout, next(iter(predicted.values())))
    clusters = clusters_of_residuals(residuals, training_set, layout)
    judged = judge_blend(predicted, actual, clusters, request, target, noun=dataset.rows[0])
    print(judged.reason, file=sys.stderr, flush=True)
    weights = judged.weights or select_weights(predicted, actual, metric)
    rows = training_set.test_inputs
    chosen = {name: models[name] for name in weights}
    blend = blend_models([(name, model, weights[name]) for name, model in chosen.items()], target)
    # Weighted means of what is not mended, on both sides.
    single = blend_models([(judged.alone, models[judged.alone], 1.0)], target)
    mean = predict_outcomes(blend, rows, target)
    alone = predict_outcomes(single, rows, target)
    gains = row_losses(training_set.test_target, alone, metric) - row_losses(
        training_set.test_target, mean, metric
    )
    before = float(row_losses(training_set.test_target, alone, metric).mean())
    test = shares(gains, before, clusters_of(training_set.test_rows, dataset).codes, metric)
    validation = [
        100 * each / judged.error_alone for each in (judged.gain, judged.lower, judged.upper)
    ]
    times = [time_of(model, training_set) for model in (models[judged.alone], blend)]
    figures = {"members": float(len(weights)), "chosen": float(judged.chosen)}
    for part, found in (("validation", validation), ("test", test)):
        figures |= dict(
            zip((f"{part} {end}, %" for end in ("gain", "from", "to")), found, strict=True)
        )
    figures |= {"alone, µs": times[0], "blend, µs": times[1]}
    return weights, figures


def shares(
    gains: Targets, before: float, codes: np.ndarray, metric: str
) -> tuple[float, float, float]:
    """Gain with its interval, in percent of the error of the best family."""
    mean, error, several = mean_of_clusters(gains, codes)
    reach = float(stats.t.ppf(0.975, several - 1)) * error
    # The root of squared errors falls by half the share that they fall by, as long as it is small.
    scale = 100 / before
    if metric == "rmse":
        after = np.sqrt(before - mean)
        scale = 100 / (np.sqrt(before) + after) / np.sqrt(before)
    return scale * mean, scale * (mean - reach), scale * (mean + reach)


def time_of(model: Pipeline, training_set: TrainingSet) -> float:
    """Microseconds that the compiled form of a model takes for a row."""
    loaded = LoadedModel(model, training_set.recipe.columns, 0.0, training_set.example_rows)
    form = compile_model(training_set.dataset, 0, loaded).form
    found = None if form is None else microseconds_of(form)
    return float("nan") if found is None else found


if __name__ == "__main__":
    main()

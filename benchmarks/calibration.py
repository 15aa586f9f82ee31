"""Coverage of later rows: residuals of validation, or of a part that the final fit leaves out.

An interval needs residuals that its model has not learned from. Two rules are compared on the test
part, with the same model and nine tenths as the aim:

- residuals on the validation part of the model that has learned from the train part alone, laid
  around the final model, which learns from both;
- residuals of the final model on a calibration part, the last rows before the test part, which it
  never learns from.

The datasets that come with this package are measured, each with three seeds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from benchmarks.results import record

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import datasets_folder
from model_loop.datasets.stored import text_of_declaration
from model_loop.models.boosting import BoosterRegressor
from model_loop.partitions.completing import complete_files
from model_loop.partitions.source import find_files, resolved_source
from model_loop.training_set.matrices import Targets
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of
from model_loop.training_set.types import TrainingSet

SEEDS = (1, 2, 3)
LEVEL = 0.9
SETTINGS = {"max_depth": 8, "learning_rate": 0.05, "min_child_weight": 20.0, "subsample": 0.8}
ROUNDS = 300
#: Without a calibration part its rows are learned from: validation stays as large as it is.
WITHOUT, WITH = (0.7, 0.15, 0.0, 0.15), (0.6, 0.15, 0.1, 0.15)


def main() -> None:
    """Print coverage, width and error of both rules, as means over the seeds."""
    print("| Table, recipe | rule | coverage | width | test RMSE |")
    print("| --- | --- | --- | --- | --- |")
    for name in ("bikes", "flights"):
        declaration = completed(datasets_folder() / f"{name}.toml")
        for recipe in dataset_of(declaration).recipes:
            for source, shares, rule in (
                ("validation", WITHOUT, of_validation),
                ("calibration", WITH, of_calibration),
            ):
                found = np.array(
                    [rule(training_set(declaration, recipe, shares, seed), seed) for seed in SEEDS]
                )
                coverage, width, rmse = found.mean(axis=0)
                table = f"{declaration.name}, {recipe}"
                kept = {"coverage, %": 100 * coverage, "width": width, "test RMSE": rmse}
                record("calibration", f"{table}, {source}", kept)
                cells = (table, source, f"{coverage:.3f}", f"{width:.1f}", f"{rmse:.2f}")
                print(f"| {' | '.join(cells)} |", flush=True)


def completed(file: Path) -> Declaration:
    """The declaration of a file, completed by the data."""
    declaration = resolved_source(read_declaration(file), file.parent)
    files = find_files(declaration, declaration.name)
    return complete_files(declaration, files, declaration.name)


def training_set(
    declaration: Declaration, recipe: str, shares: tuple[float, ...], seed: int
) -> TrainingSet:
    """The training set of a recipe."""
    dataset, text = dataset_of(declaration), text_of_declaration(declaration)
    (variant,) = dataset.variants
    split = split_of(dataset, shares)
    request = TableRequest(text, variant, recipe, split, random_state=seed)
    with tempfile.TemporaryDirectory() as storage:
        return build_training_set(request, storage_root=storage)


def of_validation(rows: TrainingSet, seed: int) -> tuple[float, float, float]:
    """Coverage, width and error with residuals on the validation part."""
    dense = rows.layouts["dense"]
    tuned = model(seed).fit(dense.train, rows.train_target)
    return judged(rows, seed, rows.validation_target - tuned.predict(dense.validation))


def of_calibration(rows: TrainingSet, seed: int) -> tuple[float, float, float]:
    """Coverage, width and error with residuals on the calibration part."""
    return judged(rows, seed, None)


def judged(rows: TrainingSet, seed: int, residuals: Targets | None) -> tuple[float, float, float]:
    """Fit the final model, and lay an interval of these residuals around its test predictions."""
    dense, columns, target = rows.layouts["dense"], [*rows.recipe.columns], rows.target.name
    final = model(seed).fit(dense.train_validation, rows.train_validation_target)
    if residuals is None:
        held = rows.calibration_rows
        assert held is not None
        residuals = held[target].to_numpy() - final.predict(dense.encoder.transform(held[columns]))
    errors = rows.test_target - final.predict(dense.encoder.transform(rows.test_rows[columns]))
    # With so many residuals, the correction for their number (Lei et al., 2018) is a rounding.
    half = float(np.quantile(np.abs(residuals), min(1.0, LEVEL * (1 + 1 / len(residuals)))))
    covered = float(np.mean(np.abs(errors) <= half))
    return covered, 2 * half, float(np.sqrt(np.square(errors).mean()))


def model(seed: int) -> BoosterRegressor:
    """The model that both rules are measured with."""
    return BoosterRegressor(SETTINGS, rounds=ROUNDS, random_state=seed)


if __name__ == "__main__":
    main()

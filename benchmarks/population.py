"""Measure what the figures leave out: trips that are shorter or longer than a model learns from.

Every error in README, docs, dashboard and mails is of trips of 1 to 60 minutes. A model of each
recipe is tuned and fitted on green 2024-01 and 2024-02 as `model-loop train` does. Its RMSE on
2024-03 is printed for the trips of 1 to 60 minutes, and for all trips that keep the contract.

    python -m benchmarks.population [recipe …]

Months come from MODEL_LOOP_TLC_FOLDER, or from TLC's own site.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile

import numpy as np
from benchmarks.results import record

from model_loop.models.search import SearchRequest
from model_loop.models.termination import EarlyTermination
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.training_set.preparation import build_training_set
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.months import MonthSplit
from trip_duration.recipes import RECIPES, get_recipe
from trip_duration.training_set.judged_months import read_test_months
from trip_duration.training_set.request import TrainingSetRequest

EVERYTHING = CleaningRules(0.0, 1e9)
SEARCH = SearchRequest(max_evaluations=20, threads=2, early_termination=EarlyTermination("none"))


def main() -> None:
    """Print a line for each recipe."""
    source = os.environ.get("MODEL_LOOP_TLC_FOLDER", "tlc")
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    for recipe in map(get_recipe, sys.argv[1:] or RECIPES):
        with tempfile.TemporaryDirectory() as root:
            request = TrainingSetRequest(source, "green", split, recipe.name)
            built = build_training_set(request, storage_root=root)
            tuned = tune("xgboost", built, SEARCH)
            model = train(tuned, built, SEARCH).model
            wide = dataclasses.replace(
                built, request=dataclasses.replace(request, rules=EVERYTHING)
            )
            (trips,) = read_test_months(
                wide, recipe.columns, storage_root=root, timeout_seconds=60.0
            ).values()
        squared = (model.predict(trips[list(recipe.columns)]) - trips.duration.to_numpy()) ** 2
        usual = trips.duration.between(1.0, 60.0).to_numpy()
        found = {
            "validation RMSE, min": tuned.validation.rmse,
            "test RMSE, min": float(np.sqrt(squared[usual].mean())),
            "RMSE of all trips, min": float(np.sqrt(squared.mean())),
            "left out, %": 100 * float(1 - usual.mean()),
            "tuned, s": tuned.seconds,
        }
        record("population", recipe.name, found)
        print(
            f"{recipe.name} ({recipe.asked}): RMSE {np.sqrt(squared[usual].mean()):.3f} on trips "
            f"of 1 to 60 minutes, {np.sqrt(squared.mean()):.1f} on all {len(trips):,}; "
            f"{1 - usual.mean():.1%} are shorter or longer",
            flush=True,
        )


if __name__ == "__main__":
    main()

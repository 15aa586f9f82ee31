"""Trips that are predicted shorter when they are a mile longer, and the cost of preventing it.

XGBoost on the dense features, with and without the constraint that a prediction never falls where
the distance grows. Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 to 2024-03: train,
validation, test), or are generated.
"""

from __future__ import annotations

import tempfile

import numpy as np
from benchmarks.preparation import months_folder
from benchmarks.results import record

from model_loop.models.boosting import BoosterRegressor
from model_loop.models.catalogue import XGBOOST, get_family
from model_loop.training_set.preparation import build_training_set
from trip_duration.months import MonthSplit
from trip_duration.services import DISTANCE, DURATION
from trip_duration.training_set.request import TrainingSetRequest

SETTINGS = {"max_depth": 8, "learning_rate": 0.08, "device": "cpu"}
ROUNDS = 250
#: Columns that grow with the distance.
GROWING = ("trip_distance", "detour", "minutes_at_pace")
MINUTES = 0.5


def main() -> None:
    """Fit both and print how they differ on the test month."""
    family = get_family(XGBOOST)
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    with tempfile.TemporaryDirectory() as storage:
        request = TrainingSetRequest(str(months_folder()), "green", split, "rich", "native")
        found = build_training_set(request, storage_root=storage)
    splits = found.layout_for(family.layout)
    names = splits.train_encoder.get_feature_names_out()
    constraint = str(tuple(int(str(name).startswith(GROWING)) for name in names))
    minutes = found.test_rows[DURATION].to_numpy()
    usual = found.test_rows.drop(columns=DURATION)
    longer = usual.assign(**{DISTANCE: usual[DISTANCE] + 1.0})
    print("| | test RMSE | a mile longer, and predicted shorter by over half a minute |")
    print("| --- | --- | --- |")
    for title, further in (("free", {}), ("monotone", {"monotone_constraints": constraint})):
        booster = BoosterRegressor({**family.fixed, **SETTINGS, **further}, ROUNDS)
        validation = (splits.validation, found.validation_target)
        booster.fit(splits.train, found.train_target, validation)
        before, after = (
            booster.predict(splits.train_encoder.transform(trips)) for trips in (usual, longer)
        )
        rmse = np.sqrt(np.mean((before - minutes) ** 2))
        shorter = 100 * float(np.mean(after < before - MINUTES))
        kept = {"test RMSE, min": float(rmse), "a mile longer and predicted shorter, %": shorter}
        record("monotone", title, kept)
        print(f"| {title} | {rmse:.3f} | {np.mean(after < before - MINUTES):.1%} |", flush=True)


if __name__ == "__main__":
    main()

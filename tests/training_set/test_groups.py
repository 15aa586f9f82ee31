"""Rows of one group on both sides of a split flatter every figure; `group_on` keeps them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import log_loss
from tests.training_set.test_tables import build_again, request_in

from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

#: Patients, and visits of each.
GROUPS, ROWS = 300, 30
DECLARATION = """
name = "visits"
target = "ill"
source = "visits.csv"
[task]
kind = "binary"
positive_class = "yes"
[columns.patient]
type = "id"
[split]
"""


def visits(seed: int, groups: int = GROUPS) -> pd.DataFrame:
    """Visits of patients: measures say little of the illness, and much of who it is."""
    draw = np.random.default_rng(seed)
    patient = np.repeat(np.arange(groups), ROWS)
    signal, liable = draw.normal(size=groups), draw.normal(size=groups)
    named = draw.normal(size=(groups, 3))[patient] + draw.normal(0, 0.03, (len(patient), 3))
    chance = 1 / (1 + np.exp(-(1.2 * signal + 2 * liable)[patient]))
    frame = pd.DataFrame(named.round(3), columns=["pressure", "weight", "pulse"])
    frame["marker"] = (signal[patient] + draw.normal(0, 0.5, len(patient))).round(3)
    frame["patient"] = [f"p{seed}-{place}" for place in patient]
    frame["ill"] = np.where(draw.random(len(patient)) < chance, "yes", "no")
    return frame.sample(frac=1, random_state=seed)


def judged(training_set: TrainingSet) -> tuple[float, float]:
    """Log loss on the test rows, and on those of patients that are in no file."""
    dense = training_set.layouts["dense"]
    model = ExtraTreesClassifier(200, min_samples_leaf=5, random_state=0, n_jobs=2)
    model.fit(dense.train, training_set.train_target)
    columns = [*training_set.recipe.columns]
    fresh = visits(99)

    def loss(rows: pd.DataFrame, actual: Targets) -> float:
        found = model.predict_proba(dense.train_encoder.transform(rows[columns]))[:, 1]
        return float(log_loss(actual, found))

    return (
        loss(training_set.test_rows, training_set.test_target),
        loss(fresh, np.asarray(fresh["ill"] == "yes", dtype=np.float64)),
    )


@pytest.mark.parametrize("split", ["shuffle = true", "", "group_on = 'patient'"])
def test_shuffling_flatters_by_a_fifth_and_groups_do_not(split: str, tmp_path: Path) -> None:
    """The error on patients that were never seen is the one that counts."""
    visits(1).to_csv(tmp_path / "visits.csv", index=False)
    training_set = build_again(request_in(tmp_path, DECLARATION + split), tmp_path)
    said, true = judged(training_set)
    flattered = 1 - said / true
    if "group_on" in split:
        assert abs(flattered) < 0.05
    else:
        assert 0.15 < flattered < 0.3

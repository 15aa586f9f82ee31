"""Models of a declared table: logged, loaded elsewhere, and compared on rows nobody has seen."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.parcels import build_parcels, declared, write_parcels

from model_loop.errors import ContractError, InvalidInputError
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.objects.documents import record_of, text_of
from model_loop.tracking.judging import judged_rows, seen_test_data, unseen_check
from model_loop.tracking.learned import Learned
from model_loop.tracking.lineage import Lineage, lineage_of, reproduce
from model_loop.tracking.registry import save_model
from model_loop.training_set.types import TrainingSet

SEARCH = SearchRequest(max_evaluations=1, threads=1)

#: Loads a model as MLflow does, where none of our packages can be imported.
LOADING = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"model_loop", "trip_duration"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import mlflow, pandas

model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pandas.read_parquet(sys.argv[2])
print(*model.predict(rows).ravel().tolist())
assert not any(name.startswith(("model_loop", "trip_duration")) for name in sys.modules)
"""


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """A training set of parcels."""
    return build_parcels(tmp_path_factory.mktemp("parcels"))


@pytest.mark.parametrize(
    "family", ["linear_model.LinearRegression", "ensemble.RandomForestRegressor"]
)
def test_scikit_learn_alone_loads_it(parcels: TrainingSet, tmp_path: Path, family: str) -> None:
    """Without intervals, the files hold no code of ours, and predict what was predicted here."""
    model = train(tune(family, parcels, SEARCH), parcels, SEARCH).model
    folder, rows = tmp_path / "model", tmp_path / "rows.parquet"
    save_model(model, folder, parcels.example_rows, parcels.dataset.optional)
    parcels.test_inputs.head(20).to_parquet(rows)
    assert not (folder / "code").exists()
    assert "xgboost" not in (folder / "requirements.txt").read_text()
    printed = subprocess.run(
        [sys.executable, "-c", LOADING, folder, rows], capture_output=True, text=True, check=True
    ).stdout
    predicted = np.array(printed.split(), dtype=float)
    np.testing.assert_allclose(predicted, model.predict(parcels.test_inputs.head(20)), rtol=1e-12)


def test_our_classes_bring_our_code(parcels: TrainingSet, tmp_path: Path) -> None:
    """The booster is a class of ours: its model is kept with the code that it needs."""
    model = train(tune("xgboost", parcels, SEARCH), parcels, SEARCH).model
    save_model(model, tmp_path / "model", parcels.example_rows)
    assert (tmp_path / "model" / "code" / "model_loop").is_dir()


def test_a_model_is_made_again_from_its_lineage(parcels: TrainingSet, tmp_path: Path) -> None:
    """Its stored lineage builds the same training set of the table, and gives the same errors."""
    family = "ensemble.RandomForestRegressor"
    trained = train(tune(family, parcels, SEARCH), parcels, SEARCH)
    lineage = record_of(Lineage, json.loads(text_of(lineage_of(trained, parcels, SEARCH))))
    again = reproduce(lineage, storage_root=str(tmp_path), timeout_seconds=1.0)
    assert again.agrees
    assert {name for name, *_ in again.metrics} >= {"validation_rmse", "test_rmse"}
    fewer = dataclasses.replace(lineage, files=())
    with pytest.raises(ContractError, match="has 1 files for this request, and had 0"):
        reproduce(fewer, storage_root=str(tmp_path), timeout_seconds=1.0)


def learned(parcels: TrainingSet, **changes: object) -> Learned:
    """What a version has learned that was trained on another split of the same table."""
    split = dataclasses.replace(parcels.request.split, **changes)
    request = dataclasses.replace(parcels.request, split=split)
    digests = frozenset(file.digest for file in parcels.files)
    return Learned(1, frozenset(), digests, "folder", request)


def judged(parcels: TrainingSet, *contenders: Learned) -> tuple[int, tuple[str, ...], str]:
    """Return the number of rows that are left, what was left out, and what the check says."""
    columns = parcels.recipe.columns
    with tempfile.TemporaryDirectory() as root:
        rows = judged_rows(parcels, columns, contenders, storage_root=root, timeout_seconds=1.0)
        return len(rows.rows), rows.left_out, unseen_check(rows, parcels).found


def test_the_same_split_has_the_same_test_rows(parcels: TrainingSet) -> None:
    """Nothing is left out, and the number of rows is told."""
    assert judged(parcels, learned(parcels))[0] == len(parcels.test_rows)
    assert judged(parcels, learned(parcels))[2].startswith(
        f"{len(parcels.test_rows)} rows of whole"
    )


def test_strata_of_a_table_that_has_grown_are_other_rows(parcels: TrainingSet) -> None:
    """Shares of each stratum move with its rows: nobody knows what was learned from then."""
    split = dataclasses.replace(parcels.request.split, rule="identity", stratify_on="carrier")
    request = dataclasses.replace(parcels.request, split=split)
    stratified = dataclasses.replace(parcels, request=request)
    same = learned(stratified)
    assert "not known" not in judged(stratified, same)[2]
    other = dataclasses.replace(same, digests=frozenset({"fewer rows"}))
    assert "not known whether version 1 has learned" in judged(stratified, other)[2]


def test_rows_that_were_learned_from_are_left_out(parcels: TrainingSet) -> None:
    """A version whose calibration reached further has learned from the first test rows."""
    times = np.sort(parcels.test_rows.sent_at.to_numpy())
    first, *_ = parcels.request.split.starts
    newer = learned(parcels, starts=(first, float(times[50]), float(times[60])))
    left, out, found = judged(parcels, newer)
    assert left == len(parcels.test_rows) - 60
    assert out == ("60 rows, from which version 1 has learned",)
    assert "left out of the comparison" in found
    assert seen_test_data(newer, parcels) == "60 of the test rows"
    everything = learned(parcels, starts=(first, 9e9, 9e9))
    left, _, found = judged(parcels, everything)
    assert left == 0
    assert found.startswith(f"none: {len(parcels.test_rows)} rows")


def test_versions_of_another_recipe_are_compared(parcels: TrainingSet) -> None:
    """Test rows hold what a model of any recipe asks for, and a column of nobody is refused."""
    places = {"storage_root": "", "timeout_seconds": 1.0}
    rows = judged_rows(parcels, ("carrier", "scans"), (), **places).rows  # type: ignore[arg-type]  # by name
    assert rows.scans.notna().all()
    assert "scans" not in parcels.test_inputs
    with pytest.raises(InvalidInputError, match="lack depot, which a version asks for"):
        judged_rows(parcels, ("carrier", "depot"), (), **places)  # type: ignore[arg-type]  # by name


def test_test_rows_tell_their_group(tmp_path: Path) -> None:
    """Rows of one group are judged together, though no model may know the group."""
    source = write_parcels(tmp_path / "parcels.csv")
    frame = pd.read_csv(source)
    frame["customer"] = [f"customer {number // 3}" for number in range(len(frame))]
    frame.to_csv(source, index=False)
    split = '[columns.customer]\ntype = "id"\n[split]\ngroup_on = "customer"\n'
    time = '[time]\ncolumn = "sent_at"\n'
    grouped = build_parcels(tmp_path, declared(source, "grouped", **{time: split}))
    assert grouped.dataset.group == "customer"
    assert grouped.test_rows.customer.nunique() < len(grouped.test_rows)
    assert "customer" not in grouped.recipe.columns


def test_what_nobody_knows_is_said(parcels: TrainingSet) -> None:
    """Of a version from elsewhere nothing is left out, and the check says so."""
    left, out, found = judged(parcels, Learned(4))
    assert (left, out) == (len(parcels.test_rows), ())
    assert "not known whether version 4 has learned from the test rows" in found

"""A run of the whole loop whose champion is a blend, on small tables of numbers and of classes."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.pipeline import Pipeline
from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.registry import get_dataset, use_dataset
from model_loop.errors import InvalidInputError
from model_loop.intervals.residuals import Residuals
from model_loop.models.blend import BLEND, Blend
from model_loop.models.blended import members_of
from model_loop.models.gate_rules import GateRules
from model_loop.models.outcomes import predict_outcomes
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel
from model_loop.objects.store import read_object, write_object
from model_loop.orchestration.steps import blending as steps
from model_loop.pipeline.blending import _clusters_of
from model_loop.pipeline.run import Places, RunRequest, run_table
from model_loop.serving.compiled.compiler import make_predictor
from model_loop.serving.compiled.stored import LOGGED_FORM
from model_loop.settings import get_settings
from model_loop.tracking.candidates import find_candidates, newest_versions
from model_loop.tracking.challengers import judged_by
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.lineage import find_lineage, reproduce
from model_loop.tracking.models import COMPARISON
from model_loop.tracking.names import MODEL_CARD
from model_loop.tracking.registry import load_registered
from model_loop.tracking.runs import Tracker
from model_loop.tracking.versions import ModelVersions

TOML = """
name = "{name}"
source = "{name}.csv"
target = "{target}"
[time]
column = "at"
[task]
{task}
"""
NUMBERS, CLASSES = "kilns", "moulds"
FAMILIES = {
    NUMBERS: ("linear_model.LinearRegression", "ensemble.ExtraTreesRegressor"),
    CLASSES: ("linear_model.LogisticRegression", "ensemble.ExtraTreesClassifier"),
}


def write_table(path: Path, rows: int, *, classes: bool) -> None:
    """Write rows whose target is a sum, which lines learn, and a pattern, which trees do."""
    random = np.random.default_rng(0)
    numbers = random.uniform(0, 1, (rows, 8)).round(4)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.uniform(0, 200, rows)), "D")
    total = (5 if classes else 4) * (numbers[:, :6].sum(axis=1) - 3)
    pattern = 3 * (np.abs(numbers[:, 6:] - 0.5) < 0.25).sum(axis=1) - 3
    score = total + pattern + random.normal(0, 0.3, rows)
    table = pd.DataFrame(numbers, columns=[f"x{number}" for number in range(8)])
    table["at"] = times.strftime("%Y-%m-%d %H:%M:%S")
    table["y"] = np.where(score > 0, "yes", "no") if classes else score.round(4)
    table.to_csv(path, index=False)


@dataclass(frozen=True)
class Trained:
    """A run, and where it is kept."""

    declaration: Declaration
    folder: Path
    request: RunRequest
    places: Places
    result: dict[str, Any]
    dataset: Dataset

    @property
    def versions(self) -> ModelVersions:
        """Return the versions of its table."""
        tracker = Tracker(self.places.tracking_uri, self.places.experiment)
        return ModelVersions(tracker, self.declaration.name)

    def again(self, **changes: Any) -> dict[str, Any]:
        """Return the result of the same run, begun again."""
        request = replace(self.request, **changes)
        (run,) = run_table(self.declaration, self.folder, request, self.places)["runs"]
        return dict(run)


def trained(folder: Path, name: str) -> Trained:
    """Train two families of a table, and let the best become champion."""
    is_numbers = name == NUMBERS
    task = 'unit = "kg"' if is_numbers else 'kind = "binary"\npositive_class = "yes"'
    write_table(folder / f"{name}.csv", 2_500 if is_numbers else 8_000, classes=not is_numbers)
    declaration = parse_declaration(TOML.format(name=name, target="y", task=task), f"{name}.toml")
    metric = "rmse" if is_numbers else "log_loss"
    request = RunRequest(
        families=FAMILIES[name],
        search=SearchRequest(max_evaluations=1, primary_metric=metric),  # type: ignore[arg-type]  # as above
        # A busy machine answers late.
        gate=GateRules(latency_milliseconds=60_000.0),
    )
    places = Places(f"file://{folder}/store", f"sqlite:///{folder}/mlflow.db", "runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        (result,) = run_table(declaration, folder, request, places)["runs"]
    return Trained(declaration, folder, request, places, result, get_dataset(name))


@pytest.fixture(scope="module")
def run_of_numbers(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a run on a table of numbers."""
    return trained(tmp_path_factory.mktemp("numbers"), NUMBERS)


@pytest.fixture(scope="module")
def run_of_classes(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a run on a table of classes."""
    return trained(tmp_path_factory.mktemp("classes"), CLASSES)


@pytest.fixture
def numbers(run_of_numbers: Trained) -> Trained:
    """Return the run on numbers, whose table each test knows anew."""
    use_dataset(run_of_numbers.dataset)
    return run_of_numbers


@pytest.fixture(params=["run_of_numbers", "run_of_classes"])
def either(request: pytest.FixtureRequest) -> Trained:
    """Return both runs, one after the other."""
    found: Trained = request.getfixturevalue(request.param)
    use_dataset(found.dataset)
    return found


def test_the_blend_is_one_more_candidate_and_becomes_champion(either: Trained) -> None:
    """It is better than the best family by more than noise, and the gate lets it pass."""
    result = either.result
    assert "is registered: " in result["blend"]
    best, *others = result["families"]
    assert (best["family"], len(others)) == (BLEND, 2)
    metric = f"validation_{result['metrics'][0]}"
    assert all(best[metric] < other[metric] for other in others)
    assert result["champion"] == best["version"] == 3, result["refused"]
    assert sum(best["settings"].values()) == pytest.approx(1)
    assert [*best["settings"]] == sorted(FAMILIES[either.declaration.name])


def test_it_is_one_object_of_scikit_learns(either: Trained) -> None:
    """Whose answers are the weighted mean of what its members answer."""
    versions, result = either.versions, either.result
    loaded = load_registered(versions.tracker, versions.name, 3)
    members = members_of(loaded.model)
    assert members is not None
    rows = judged(either).test_inputs
    target = judged(either).target
    found = predict_outcomes(loaded.model, rows, target)
    registered = {
        each["family"]: load_registered(versions.tracker, versions.name, each["version"])
        for each in result["families"][1:]
    }
    if not target.is_classified:
        weights = result["families"][0]["settings"]
        mean = sum(
            weights[name] * predict_outcomes(each.model, rows, target)
            for name, each in registered.items()
        )
        np.testing.assert_allclose(found, mean, rtol=1e-9)
    assert [weight for _, weight in members] == [*result["families"][0]["settings"].values()]
    # Nothing of ours is needed to load it.
    described = versions.tracker.client.get_model_version(versions.name, "3")
    model = json.dumps(described.tags)
    assert "recipe" in model
    assert not (either.folder / "code").exists()


@functools.cache
def _judged(places: Places, name: str) -> Any:
    versions = ModelVersions(Tracker(places.tracking_uri, places.experiment), name)
    return judged_by(versions, 1, storage_root=places.storage_root, timeout_seconds=60)


def judged(run: Trained) -> Any:
    """Return the training set of a run."""
    return _judged(run.places, run.declaration.name)


def test_it_has_what_every_model_has(either: Trained) -> None:
    """Limits or calibration, profile, card, lineage, and a compiled form for the time after."""
    versions, client = either.versions, either.versions.tracker.client
    loaded = load_registered(versions.tracker, versions.name, 3)
    if loaded.decision is None:
        assert loaded.intervals is not None
        assert loaded.intervals.rows == len(judged(either).validation_target)
    else:
        assert loaded.decision.rows == len(judged(either).validation_target)
        assert 0 < loaded.decision.threshold_in_force < 1
    assert loaded.learned is not None
    run_id = either.result["families"][0]["run_id"]
    card = (read_artifact(client, run_id, MODEL_CARD) or b"").decode()
    assert "## Blend\n\nThe blend of " in card
    assert "| the blend |" in card
    assert read_artifact(client, run_id, LOGGED_FORM) is not None
    lineage = find_lineage(versions.tracker, versions.name, 3)
    assert [one.version for one in lineage.members] == [2, 1]
    assert lineage.training_set == judged(either).digest
    with pytest.raises(InvalidInputError, match="is a blend") as refused:
        reproduce(lineage, storage_root=either.places.storage_root, timeout_seconds=60)
    assert "the versions 2 (ensemble.ExtraTrees" in refused.value.remedy
    served = make_predictor(judged(either).dataset, 3, loaded)
    assert served.form is not None, served.plain
    assert served.explain is not None


def test_its_cost_is_shown(either: Trained) -> None:
    """In the run's metrics, and in the table that compares families."""
    client: MlflowClient = either.versions.tracker.client
    result = either.result
    best, *others = result["families"]
    data = client.get_run(best["run_id"]).data
    own = data.metrics["answer_microseconds"]
    assert own == best["answer_microseconds"] > 0
    for other in others:
        assert data.metrics[f"answer_microseconds {other['family']}"] > 0
        assert other["answer_microseconds"] > 0
        assert float(data.params[f"weight {other['family']}"]) == best["settings"][other["family"]]
    assert "(version 1)" in data.tags["members"]
    assert data.metrics["blend_gain"] > data.metrics["blend_lower"] > 0
    table = json.loads(read_artifact(client, result["run_id"], COMPARISON) or b"")
    place = table["columns"].index("answer_microseconds")
    shown = {row[0]: row[place] for row in table["data"]}
    assert shown[BLEND] == pytest.approx(own)
    assert None in shown.values()


def test_a_run_that_is_begun_again_makes_no_other(numbers: Trained) -> None:
    """What was finished is kept; without the option, there is none."""
    again = numbers.again()
    assert again["families"] == numbers.result["families"]
    assert again["blend"] == numbers.result["blend"]
    without = numbers.again(blend=False, promote=False)
    assert [one["family"] for one in without["families"]] == [
        one["family"] for one in numbers.result["families"][1:]
    ]
    assert without["blend"] == ""
    found = numbers.versions.tracker.client.search_model_versions(f"name = '{NUMBERS}'")
    assert len(found) == 3


def test_few_days_are_days_still(numbers: Trained) -> None:
    """Rows of a day depend on each other: ten days are ten values, and not thousands."""
    version = int(numbers.result["families"][0]["version"])
    training_set = judged_by(
        numbers.versions, version, storage_root=numbers.places.storage_root, timeout_seconds=60.0
    )
    times = np.repeat(np.arange(10) * 86_400.0, 40)
    residuals = Residuals("validation", np.zeros(400), np.zeros(400), (), "", times)
    assert (_clusters_of(residuals, training_set, "dense").kind) == "days"
    assert _clusters_of(residuals, training_set, "dense").number == 10
    timeless = replace(residuals, times=None)
    assert _clusters_of(timeless, training_set, "dense").kind == "rows"


def test_candidates_have_judged_the_same_rows(numbers: Trained) -> None:
    """One that has not is left out with a sentence; a blend is no member of another one."""
    versions, training_set = numbers.versions, judged(numbers)
    search = numbers.request.search
    found = find_candidates(versions, [1, 2, 3], training_set, search)
    assert found.versions == {numbers.result["families"][2]["family"]: 1} | found.versions
    assert BLEND not in found.versions
    assert not found.refused
    others = replace(training_set, validation_target=training_set.validation_target[::-1].copy())
    refused = find_candidates(versions, [1], others, search)
    assert not refused.versions
    (said,) = refused.refused
    assert "(version 1) is left out: it was chosen by other validation rows." in said
    client = versions.tracker.client
    for tag, value, why in (
        ("data_source", "sample", "has learned from other rows than"),
        ("recipe", "another", "knows other columns than the recipe"),
    ):
        before = client.get_model_version(NUMBERS, "1").tags[tag]
        client.set_model_version_tag(NUMBERS, "1", tag, value)
        try:
            (said,) = find_candidates(numbers.versions, [1], training_set, search).refused
        finally:
            client.set_model_version_tag(NUMBERS, "1", tag, before)
        assert why in said


def test_the_tasks_of_airflow_make_the_same_blend(
    numbers: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By hand without versions; each task hands over what is stored, and a second try the same."""
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", numbers.places.tracking_uri)
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", numbers.places.storage_root)
    monkeypatch.setenv("MODEL_LOOP_EXPERIMENT", numbers.places.experiment)
    monkeypatch.chdir(numbers.folder)
    get_settings.cache_clear()
    params = {"service": NUMBERS, "versions": None}
    assert newest_versions(numbers.versions, "request") == [1, 2, 3]
    said: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: said.update({key: value}))
    chosen = steps.choose(params, ti)
    assert chosen is not None
    assert said["said"] == numbers.result["blend"]
    folder = UPath(tmp_path)
    stored = read_object(write_object(chosen, folder, "chosen"))
    assert isinstance(stored, Blend)
    assert stored == chosen
    model = steps.train(stored, params)
    again = read_object(write_object(model, folder, "trained"))
    assert isinstance(again, TrainedModel)
    assert isinstance(again.model, Pipeline)
    run = SimpleNamespace(dag_id="kilns__blend", run_id="manual__1")
    results = steps.register(again, params, run)
    blend = next(one for one in results["families"] if one["family"] == BLEND)
    assert blend["settings"] == numbers.result["families"][0]["settings"]
    assert {one["family"] for one in results["families"]} == {BLEND, *FAMILIES[NUMBERS]}
    assert steps.register(again, params, run)["families"] == results["families"]
    # Families that are named are the only ones that are looked at.
    assert steps.choose({**params, "versions": [1]}, ti) is None
    assert "there is linear_model.LinearRegression alone" in said["said"]
    get_settings.cache_clear()

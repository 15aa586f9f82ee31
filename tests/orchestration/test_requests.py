"""What every DAG makes of the field *source* of its form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model_loop.datasets.registry import get_dataset
from model_loop.errors import InvalidInputError
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms import (
    batch_scoring_form,
    monitoring_form,
    preparation_form,
    retraining_form,
    sklearn_form,
    watch_form,
)
from model_loop.orchestration.forms.sources import source_of
from model_loop.orchestration.schedules import watching
from model_loop.orchestration.steps import batch_scoring, preparation, retraining, training, windows
from model_loop.settings import get_settings
from trip_duration.dataset import TRIPS

#: Assets of the dataset.
PUBLISHED_MONTHS, DRIFT = assets_of(TRIPS).published, assets_of(TRIPS).drift

#: Asking it would end the test: nothing listens there, and the answer would be another error.
ADDRESS = "http://127.0.0.1:9/inside"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Settings that allow a bucket and a folder."""
    monkeypatch.setenv("MODEL_LOOP_ALLOWED_SOURCES", f"s3://months, {tmp_path}")
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path}/storage")
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def values(form: dict[str, Any]) -> dict[str, Any]:
    """A form, with the address as its source."""
    return {**{name: param.resolve() for name, param in form.items()}, "source": ADDRESS}


class Nothing(dict[Any, Any]):
    """A state of an asset that holds nothing."""

    def __missing__(self, _: Any) -> Nothing:
        """Nothing below it either."""
        return Nothing()


def _watch() -> None:
    params = values(watch_form(TRIPS))
    context: Any = {"params": params, "asset_state_store": {PUBLISHED_MONTHS: Nothing()}}
    watching.NewPartitionSensor(task_id="wait", asset=PUBLISHED_MONTHS).execute(context)


def _retrain() -> None:
    state: Any = {PUBLISHED_MONTHS: Nothing(), DRIFT: Nothing()}
    run: Any = SimpleNamespace(dag_id="retraining", run_id="one")
    retraining.plan_retraining(values(retraining_form(TRIPS)), run, {}, state)


def _partition() -> None:
    run: Any = SimpleNamespace(partition_key="2024-01")
    preparation.fetch_named_partition("green", values(preparation_form(TRIPS)), run)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: preparation.plan_partitions(values(preparation_form(TRIPS))),
        lambda: preparation.fetch_partitions(["2024-01"], values(preparation_form(TRIPS))),
        _partition,
        lambda: training.missing_training_set(values(sklearn_form(TRIPS))),
        _retrain,
        _watch,
        lambda: windows._source(values(monitoring_form(TRIPS))),
        lambda: batch_scoring._files({**values(batch_scoring_form(TRIPS)), "months": ["2024-01"]}),
    ],
    ids=["plan", "fetch", "partition", "training", "retraining", "watch", "monitoring", "scoring"],
)
@pytest.mark.usefixtures("settings")
def test_no_dag_asks_an_address_that_is_not_allowed(ask: Callable[[], object]) -> None:
    """Whoever may start a run cannot make a worker ask whatever it reaches."""
    with pytest.raises(InvalidInputError, match="is not in the list of allowed sources"):
        ask()


def test_the_list_is_the_operators(settings: Path) -> None:
    """Besides the list, the settings' own source and what is kept may be named."""
    kept = f"{settings}/storage/months/green/tlc"
    for source in ("sample", "tlc", str(settings), "s3://months/2024", kept):
        assert source_of({"source": source}) == source


@pytest.mark.usefixtures("settings")
def test_the_source_of_a_declaration_needs_no_list() -> None:
    """The operator has declared it; another one in its form is looked up in the list."""
    declared = get_dataset("bikes").declaration
    assert declared is not None
    assert source_of({"source": declared.source, "service": "bikes"}) == declared.source
    for params in (
        {"source": declared.source, "service": "green"},
        {"source": "s3://elsewhere/bikes.csv", "service": "bikes"},
    ):
        with pytest.raises(InvalidInputError, match="is not in the list of allowed sources"):
            source_of(params)


def test_the_settings_name_the_usual_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a form does not name, the settings do: a run that an event starts has no other form."""
    monkeypatch.setenv("MODEL_LOOP_SKLEARN_MODELS", "svm.LinearSVR, linear_model.LinearRegression")
    get_settings.cache_clear()
    for form in (sklearn_form(TRIPS), retraining_form(TRIPS)):
        assert form["models"].resolve() == ["svm.LinearSVR", "linear_model.LinearRegression"]


def test_a_family_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen in the settings trains nothing else."""
    monkeypatch.setenv("MODEL_LOOP_SKLEARN_MODELS", "svm.LinearSVR, linear_model.Ridge")
    get_settings.cache_clear()
    with pytest.raises(InvalidInputError, match=r"not scikit-learn's: linear_model\.R"):
        sklearn_form(TRIPS)

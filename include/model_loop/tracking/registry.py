"""Models on the MLflow server: logged with signature and example, and registered."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.types.schema import AnyType, ColSpec, Schema, TensorSpec
from sklearn.pipeline import Pipeline

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.learned import LearnedValues
from model_loop.datasets.stored import digest_of_text, text_of_dataset
from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.intervals.calibrated import Intervals
from model_loop.models.classification.decision import Decision
from model_loop.models.outcomes import Predicts
from model_loop.objects.trust import dump_estimator, load_estimator, trusted_types
from model_loop.tracking import pyfunc
from model_loop.tracking.beside import Beside, decision_of, intervals_of, learned_of
from model_loop.tracking.deployments import DECLARATION_TAG
from model_loop.tracking.downloads import registered_address
from model_loop.tracking.lines import (
    SKLEARN,
    XGBOOST,
    installed_boosters,
    installed_versions,
    require_same_line,
    stored_versions,
)
from model_loop.tracking.pyfunc import LEVEL_PARAMETER, TIME, TIME_ZONE
from model_loop.tracking.runs import Tracker
from model_loop.tracking.shipped import FURTHER_REQUIREMENTS, ship_code, shipped_packages
from model_loop.tracking.trained import DECLARATION

_REQUIREMENTS = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
#: Flavor of a version that is code of its own: nothing here reads it, and MLflow cannot load it.
CODE_FLAVOR = "model_loop_code"
#: The classes of ours that hold a model of XGBoost's, as models of today and before 0.2 name them.
_BOOSTERS = {
    "model_loop.models.boosting.BoosterRegressor",
    "model_loop.models.boosting.BoosterClassifier",
    "trip_duration.models.boosting.BoosterRegressor",
}

logger = logging.getLogger(__name__)


_NOTHING = Beside()


@dataclass(frozen=True)
class RegisteredModel:
    """A version in the registry.

    Parameters
    ----------
    name, version
        Name and version of the registered model.
    run_id
        The run that logged it.
    """

    name: str
    version: int
    run_id: str

    @property
    def uri(self) -> str:
        """Address for `mlflow.pyfunc.load_model`."""
        return f"models:/{self.name}/{self.version}"


def register_model(
    tracker: Tracker,
    run_id: str,
    model: Pipeline,
    *,
    name: str,
    example: pd.DataFrame,
    tags: dict[str, str],
    dataset: Dataset | None = None,
    beside: Beside = _NOTHING,
) -> RegisteredModel:
    """Log a model that takes raw rows, and register it.

    A run has one version: a retry finds the version that was registered before.

    Parameters
    ----------
    example
        A few raw rows: they become the input example and give the signature.
    tags
        Tags of the version.
    dataset
        Dataset of its rows: it names the columns that the model can do without, and its declaration
        is stored with the model, see `datasets.stored`.
    beside
        Data that are stored beside it.
    """
    existing = only_version(tracker, name, run_id)
    if existing is None:
        mlflow.set_tracking_uri(tracker.tracking_uri)
        made_by = {f"{library}_version": found for library, found in installed_versions().items()}
        optional = () if dataset is None else dataset.optional
        declaration = "" if dataset is None else text_of_dataset(dataset)
        metadata = {DECLARATION: declaration} if declaration else {}
        if declaration:
            made_by[DECLARATION_TAG] = digest_of_text(declaration)
        if dataset is not None and dataset.time:
            metadata |= {TIME: dataset.time, TIME_ZONE: dataset.time_zone}
        flavor = pyfunc if beside.intervals else mlflow.sklearn
        with (
            mlflow.start_run(run_id=run_id),
            _description(model, example, optional, metadata, beside) as described,
        ):
            logged = Model.log(None, flavor, name="model", **described)
            # MLflow tells of each version on the error stream, which a task's log takes for errors.
            with contextlib.redirect_stderr(io.StringIO()) as told:
                registered = mlflow.register_model(logged.model_uri, name, tags={**tags, **made_by})
            logger.info("%s", told.getvalue().strip())
        existing = only_version(tracker, name, run_id) or int(registered.version)
    return RegisteredModel(name, existing, run_id)


def only_version(tracker: Tracker, name: str, run_id: str) -> int | None:
    """Return the version of a run; None if it has none.

    MLflow's client sends a request again whose answer was lost, so it may have registered two: one
    that answers by now, or the first, stays.
    """
    client = tracker.client
    # Somebody may have registered the run's model under a name of their own, too.
    all_names = client.search_model_versions(f"run_id = '{run_id}'")
    found = sorted(int(it.version) for it in all_names if it.name == name)
    if len(found) > 1:
        aliases = client.get_registered_model(name).aliases.values()
        found.sort(key=lambda number: str(number) not in map(str, aliases))
        for number in found[1:]:
            client.delete_model_version(name, str(number))
    return found[0] if found else None


@dataclass(frozen=True)
class Answering:
    """Model that answers for a registered version.

    Parameters
    ----------
    model
        Predicts raw rows.
    inputs
        Names of the columns that its signature asks for; empty if it has none.
    megabytes
        Size as stored.
    declaration
        The stored declaration that it was trained on; empty where none is stored with it.
    learned
        Values that it has learned from; None of versions that have not stored them.
    intervals
        Intervals around its predictions; None of versions that have not stored them.
    decision
        Threshold, calibration and class sets of a classifier; None of a regressor.
    """

    model: Predicts
    inputs: tuple[str, ...]
    megabytes: float
    declaration: str = field(default="", kw_only=True)
    learned: LearnedValues | None = field(default=None, kw_only=True)
    intervals: Intervals | None = field(default=None, kw_only=True)
    decision: Decision | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class LoadedModel(Answering):
    """A registered version, ready to predict.

    Parameters
    ----------
    model
        Encoder and estimator together.
    example
        The raw rows that were stored as its example; None if there are none.
    """

    model: Pipeline
    example: pd.DataFrame | None = None


#: Loads a version of a registered model.
Load = Callable[[Tracker, str, int], Answering]


def load_registered(tracker: Tracker, name: str, version: int) -> LoadedModel:
    """Load a version of a registered model, under the policy of `objects.trust`.

    Raises
    ------
    InvalidInputError
        If it was not stored by skops.
    StoredObjectError
        If it holds a class outside the policy.
    """
    with registered_address(tracker.tracking_uri, f"models:/{name}/{version}") as folder:
        return read_model(folder, f"Version {version} of {name}")


def read_model(folder: Path, model_name: str) -> LoadedModel:
    """Read an MLflow model from its files, under the policy of `objects.trust`.

    Parameters
    ----------
    model_name
        Name of the model in errors.

    Raises
    ------
    InvalidInputError
        If it was not stored by skops.
    StoredObjectError
        If it holds a class outside the policy.
    OtherLineError
        If it was made by another line of scikit-learn or XGBoost than is installed.
    """
    described = Model.load(str(folder))
    if CODE_FLAVOR in described.flavors:
        raise InvalidInputError(
            model_name,
            "is code of its own, which runs in the runner alone and is loaded nowhere else",
            "Ask it through the prediction server or the DAGs, or name another version.",
        )
    flavor = described.flavors.get("sklearn", {})
    if flavor.get("serialization_format") != "skops":
        raise InvalidInputError(
            model_name,
            "is not a scikit-learn model stored by skops",
            "Log it with serialization_format='skops': pickles are never loaded.",
        )
    # The name of a file beside, not a path to elsewhere.
    stored = (folder / PurePosixPath(flavor["pickled_model"]).name).read_bytes()
    made_by = stored_versions(folder)
    require_same_line(model_name, made_by, SKLEARN)
    with _named(model_name):
        classes = trusted_types(stored)
    if not _BOOSTERS.isdisjoint(classes):
        require_same_line(model_name, made_by, XGBOOST)
    signature = described.signature
    names = signature.inputs.input_names() if signature else []
    example: Any = (
        described.load_input_example(str(folder)) if described.saved_input_example_info else None
    )
    frame = example if isinstance(example, pd.DataFrame) else None
    with _named(model_name):
        model = load_estimator(stored)
    size, declaration = len(stored) / 1e6, declaration_in(described)
    return LoadedModel(
        model,
        tuple(names),
        size,
        frame,
        declaration=declaration,
        learned=learned_of(folder),
        intervals=intervals_of(folder),
        decision=decision_of(folder),
    )


def declaration_in(described: Model) -> str:
    """Return the stored declaration that an MLflow model was trained on; empty if it has none."""
    return str((described.metadata or {}).get(DECLARATION, ""))


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Say in an error which model was refused."""
    try:
        yield
    except StoredObjectError as error:
        raise StoredObjectError(what, error.rule, error.remedy) from error


def save_model(
    model: Pipeline, folder: Path, example: pd.DataFrame, optional: Collection[str] = ()
) -> None:
    """Save a model that takes raw rows as an MLflow model in a new folder; see `register_model`."""
    with _description(model, example, optional) as described:
        mlflow.sklearn.save_model(path=str(folder), **described)


@contextlib.contextmanager
def _description(
    model: Pipeline,
    example: pd.DataFrame,
    optional: Collection[str],
    metadata: Mapping[str, str] = MappingProxyType({}),
    beside: Beside = _NOTHING,
) -> Iterator[dict[str, Any]]:
    """Prepare the files that are kept beside a model.

    Scikit-learn alone loads a model without any class of ours; its pyfunc needs our code where
    there are intervals.
    """
    trusted = trusted_types(dump_estimator(model))
    ours = {name.partition(".")[0] for name in trusted} & {*shipped_packages()}
    shipped = bool(ours) or beside.intervals is not None
    described = {
        "sk_model": model,
        "signature": _signature(model, example, optional, with_level=beside.intervals is not None),
        "input_example": example,
        # Inferring them would import and run the model in a fresh process for ten seconds.
        "pip_requirements": _requirements(FURTHER_REQUIREMENTS if shipped else ()),
        "skops_trusted_types": trusted,
        "metadata": {**metadata} or None,
    }
    with tempfile.TemporaryDirectory() as folder:
        if shipped:
            described["code_paths"] = [str(path) for path in ship_code(Path(folder))]
        if further := beside.write(Path(folder)):
            described["extra_files"] = further
        yield described


def _signature(
    model: Pipeline, example: pd.DataFrame, optional: Collection[str], *, with_level: bool
) -> ModelSignature:
    """Say by name which columns a model takes, and which of them it can do without.

    Their types are left open: MLflow would refuse whole numbers in place of others, codes of 64
    bits and nulls of pandas' own, all of which the encoder reads. So both flavours take the same.
    """
    anything = AnyType()  # type: ignore[no-untyped-call]  # MLflow types it in part
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(anything, str(name), required=name not in optional) for name in example.columns
    ]
    target = infer_signature(None, np.asarray(model.predict(example))).outputs
    params = LEVEL_PARAMETER if with_level else None
    return ModelSignature(Schema(inputs), target, params)  # type: ignore[arg-type]  # None is its default


def _requirements(further: Collection[str]) -> list[str]:
    names = (*_REQUIREMENTS, *further, *(installed_boosters() if further else ()))
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]

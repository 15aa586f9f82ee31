"""Models on the MLflow server: logged with signature and example, and registered."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.pipeline import Pipeline

from trip_duration.objects.trust import trusted_types
from trip_duration.tracking.runs import Tracker

_REQUIREMENTS = ("trip-duration", "mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")


@dataclass(frozen=True)
class RegisteredModel:
    """A version in the registry.

    Parameters
    ----------
    name, version
        Of the registered model.
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


def registered_name(service: str) -> str:
    """Name of a service's registered model."""
    return f"trip_duration_{service}"


def register_model(
    tracker: Tracker,
    run_id: str,
    model: Pipeline,
    *,
    name: str,
    example: pd.DataFrame,
    tags: dict[str, str],
) -> RegisteredModel:
    """Log a model that takes raw trips, and register it.

    A run has one version: a retry finds the version that was registered before.

    Parameters
    ----------
    example
        A few raw trips: they become the input example and give the signature.
    tags
        Tags of the version.
    """
    existing = tracker.client.search_model_versions(f"run_id = '{run_id}'")
    if existing:
        return RegisteredModel(name, int(existing[0].version), run_id)
    mlflow.set_tracking_uri(tracker.tracking_uri)
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(example, model.predict(example)),
            input_example=example,
            # Inferring them would import and run the model in a fresh process for ten seconds.
            pip_requirements=_requirements(),
            skops_trusted_types=trusted_types(model),
        )
    version = _create_version(tracker, name, logged.model_uri, run_id, tags)
    return RegisteredModel(name, version, run_id)


def _create_version(
    tracker: Tracker, name: str, model_uri: str, run_id: str, tags: dict[str, str]
) -> int:
    try:
        tracker.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = tracker.client.create_model_version(name, model_uri, run_id=run_id, tags=tags)
    return int(version.version)


def _requirements() -> list[str]:
    # The same module comes as one of two packages; see pyproject.toml.
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    boosters = [name for name in ("xgboost-cpu", "xgboost") if name in installed][:1]
    return [f"{name}=={importlib.metadata.version(name)}" for name in (*_REQUIREMENTS, *boosters)]

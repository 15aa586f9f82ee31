"""Registered versions that are code, for tasks and commands."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.models import Model

from model_loop.coded.stored import require_allowed, start_version, stored_code
from model_loop.datasets.learned import LearnedValues
from model_loop.settings import get_settings
from model_loop.tracking.deployments import CODE_TAG
from model_loop.tracking.downloads import download_model, read_artifact
from model_loop.tracking.registry import (
    CODE_FLAVOR,
    Answering,
    Load,
    declaration_in,
    load_registered,
)
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trained import dataset_of_version

#: Artifact of its run: the sealed admission, which is written anew when keys are rotated.
ADMISSION = "code/admission.txt"


def is_code(folder: Path) -> bool:
    """Return whether the MLflow model in a folder is code of its own."""
    return CODE_FLAVOR in Model.load(str(folder)).flavors


@dataclass(frozen=True)
class StartedCode(Answering):
    """A version that is code, started in the runner.

    Parameters
    ----------
    files
        Its files, which live as long as it.
    """

    files: tempfile.TemporaryDirectory[str] | None = field(default=None, kw_only=True, repr=False)


def load_any(tracker: Tracker, name: str, version: int, load: Load = load_registered) -> Answering:
    """Load a version: one that is code is started in the runner, any other is loaded as ever.

    Parameters
    ----------
    load
        Loads what is not code.

    Raises
    ------
    InvalidInputError, StoredObjectError, CodeFailedError, RunnerUnavailableError
        See `start_version`, and `load_registered` of other versions.
    """
    registered = tracker.client.get_model_version(name, str(version))
    if CODE_TAG not in registered.tags:
        return load(tracker, name, version)
    what = f"Version {version} of {name}"
    require_allowed(get_settings(), what)
    # Kept as long as the process: the client reads it again where the runner was started anew.
    kept = tempfile.TemporaryDirectory()
    folder = download_model(tracker.tracking_uri, f"models:/{name}/{version}", Path(kept.name))
    stored, declaration = stored_code(folder, what), declaration_in(Model.load(str(folder)))
    sealed = read_artifact(tracker.client, registered.run_id, ADMISSION) or b""
    dataset = dataset_of_version(name, version, declaration)
    model = start_version(stored, name, dataset, sealed.decode())
    return StartedCode(
        model,
        model.columns,
        stored.megabytes,
        declaration=declaration,
        # The training data of code are unknown, so nothing is lacking.
        learned=LearnedValues(()) if declaration else None,
        files=kept,
    )

"""Models that were trained elsewhere: brought in, so that they can try the gate like our own."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.tracking.deployments import BROUGHT_IN, MOMENT_TAG
from model_loop.tracking.downloads import registered_address
from model_loop.tracking.registry import RegisteredModel, read_model, register_model
from model_loop.tracking.runs import Tracker
from model_loop.tracking.versions import ModelVersions

#: Folder below the storage root where models are laid that are to be brought in.
INCOMING = "incoming"

_ADDRESS = re.compile(r"^(runs|models):/[^?#]+$")
_FOLDER = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


def import_model(
    versions: ModelVersions,
    model: str,
    example_of: Callable[[Sequence[str]], pd.DataFrame],
    *,
    identity: str,
    storage_root: str,
) -> RegisteredModel:
    """Register a model that was trained elsewhere.

    It is loaded under the same policy as our own (`objects.trust`: no pickle, no foreign class),
    asked to predict the example, and logged anew with all that our own have.

    Parameters
    ----------
    versions
        Registered versions of the model.
    model
        ``runs:/<run>/<path>``, ``models:/<name>/<version>``, or the name of an MLflow model's
        folder in ``incoming`` below the storage root.
    example_of
        Gives a few raw rows that have some columns: those that the model's signature names.
    identity
        Names the act for good: a second try finds what the first has registered.

    Raises
    ------
    InvalidInputError
        If there is no such model, it has no signature or was not stored by skops, or it asks for
        columns that the dataset does not have.
    StoredObjectError
        If it holds a class that is not trusted.
    """
    with incoming_folder(versions.tracker, model, storage_root) as folder:
        loaded = read_model(folder, f"Model {model}")
    if not loaded.inputs:
        raise InvalidInputError(
            f"Model {model}",
            "has no signature, so its columns are unknown",
            "Log it with an input example or a signature.",
        )
    dataset = versions.dataset
    unknown = sorted(set(loaded.inputs) - set(dataset.known_from))
    if unknown:
        raise InvalidInputError(
            f"Model {model}",
            f"asks for {', '.join(unknown)}, which no {dataset.rows[1]} has",
            f"Train it on columns among: {', '.join(dataset.known_from)}.",
        )
    tracker = versions.tracker
    run_id = tracker.open_run(identity, f"brought in: {model}", {BROUGHT_IN: model})
    registered = register_model(
        tracker,
        run_id,
        loaded.model,
        name=versions.name,
        example=example_of(loaded.inputs)[list(loaded.inputs)],
        dataset=dataset,
        tags={BROUGHT_IN: model, MOMENT_TAG: dataset.moment_of(loaded.inputs)},
    )
    tracker.close_run(run_id)
    return registered


@contextlib.contextmanager
def incoming_folder(
    tracker: Tracker, model: str, storage_root: str, described_by: Sequence[str] = ("MLmodel",)
) -> Iterator[Path]:
    """Yield the folder with the model's files; a downloaded copy is removed afterwards.

    Parameters
    ----------
    model
        See `import_model`.
    described_by
        Files of which a folder with a model has one.

    Raises
    ------
    InvalidInputError
        If there is no such model.
    """
    if _ADDRESS.match(model):
        with registered_address(tracker.tracking_uri, model) as folder:
            yield folder
        return
    if not _FOLDER.match(model):
        raise InvalidInputError(
            f"Model {model!r}",
            "is neither an address of MLflow's nor the name of a folder",
            f"Give runs:/<run>/<path>, or lay the model's folder into {storage_root}/{INCOMING}.",
        )
    place = UPath(storage_root) / INCOMING / model
    if not any((place / name).exists() for name in described_by):
        there = UPath(storage_root) / INCOMING
        names = sorted(path.name for path in there.iterdir()) if there.exists() else []
        raise InvalidInputError(
            f"Model {model!r}",
            f"is no folder below {there} with {' or '.join(described_by)}",
            f"There are: {', '.join(names) or 'none'}.",
        )
    with tempfile.TemporaryDirectory() as copy:
        place.fs.get(place.path, f"{copy}/model", recursive=True)
        yield Path(copy) / "model"

"""Compiled forms that are stored beside models, for the time after an upgrade.

A version that another line of a library has made cannot be read any longer. Its compiled form needs
no library, and brings a sample with what the model has said of it: as long as it gives the same
predictions, it replaces the model, in servers, in DAGs and at the gate.
"""

from __future__ import annotations

import io
import itertools
import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from model_loop.datasets.dataset import Dataset
from model_loop.scoring.rows import from_frame
from model_loop.serving.compiled.model import CompiledModel, NotCompiledError, Predict
from model_loop.tracking.beside import decision_of, intervals_of, learned_of
from model_loop.tracking.downloads import read_artifact, registered_address
from model_loop.tracking.lines import OtherLineError
from model_loop.tracking.registry import Answering, declaration_in, load_registered
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trained import dataset_of_version

#: Artifact of the run that has logged a model.
LOGGED_FORM = "compiled/form.npz"
#: File beside a version's files, on the disk of a server.
KEPT_FORM = "compiled.npz"

_USELESS = (NotCompiledError, ValueError, LookupError, TypeError, OSError, zipfile.BadZipFile)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompiledVersion(Answering):
    """A version that its compiled form answers for.

    Parameters
    ----------
    why
        Reason why the model itself cannot be read.
    """

    why: OtherLineError


@dataclass(frozen=True)
class FormPredictor:
    """Predictor of raw rows by a compiled form."""

    form: CompiledModel
    by_rows: Predict
    columns: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """Probability from which the version answers with the positive class of two."""
        return self.form.threshold

    def predict(self, rows: Any, /) -> npt.NDArray[np.float64]:  # noqa: ANN401 - as scikit-learn's
        """Return predictions of raw rows, as `models.outcomes` describes them."""
        frame: pd.DataFrame = rows
        return self.by_rows(from_frame(self.form.dataset, frame, self.columns))


def load_answering(tracker: Tracker, name: str, version: int) -> Answering:
    """Load a version of a registered model, or what answers for it after an upgrade.

    Raises
    ------
    InvalidInputError, StoredObjectError
        See `load_registered`.
    OtherLineError
        If another line of a library has made it, and no compiled form says what it said.
    """
    try:
        return load_registered(tracker, name, version)
    except OtherLineError as error:
        with registered_address(tracker.tracking_uri, f"models:/{name}/{version}") as folder:
            described, learned = Model.load(str(folder)), learned_of(folder)
            intervals, decision = intervals_of(folder), decision_of(folder)
        columns, declaration = columns_of(described), declaration_in(described)
        dataset = dataset_of_version(name, version, declaration)
        form = proven_form(tracker.client, name, version, error, dataset, machine_code=False)
        predict = form.verify(machine_code=False)
        arrays = itertools.chain.from_iterable(form.columns)
        megabytes = sum(one.nbytes for one in arrays if isinstance(one, np.ndarray)) / 1e6
        logger.warning("%s Its compiled form goes on answering.", error)
        return CompiledVersion(
            FormPredictor(form, predict, columns),
            columns,
            megabytes,
            error,
            declaration=declaration,
            learned=learned,
            intervals=intervals,
            decision=decision,
        )


def columns_of(described: Model) -> tuple[str, ...]:
    """Return the raw columns that a stored model takes, by its signature."""
    signature = described.signature
    return tuple(signature.inputs.input_names()) if signature else ()


def proven_form(
    client: MlflowClient,
    name: str,
    version: int,
    why: OtherLineError,
    dataset: Dataset,
    *,
    machine_code: bool,
    kept: Path | None = None,
) -> CompiledModel:
    """Find a compiled form of a version that says of its sample what the model said then.

    Parameters
    ----------
    why
        Error that says why the version itself cannot be read: raised where there is no such form.
    dataset
        Dataset as the version was trained on it.
    machine_code
        See `CompiledModel.verify`.
    kept
        A file on this machine, which is looked at first.

    Raises
    ------
    OtherLineError
        If there is none.
    """
    for origin, open_form in _candidates(client, name, version, kept):
        try:
            with open_form() as file:
                form = CompiledModel.read(file, dataset)
            form.verify(machine_code=machine_code)
        except _USELESS:
            logger.exception("The compiled form of version %d is of no use: %s", version, origin)
        else:
            return form
    raise why


def _candidates(
    client: MlflowClient, name: str, version: int, kept: Path | None
) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """Yield the origin of each stored form and a function that opens it."""
    if kept is not None and kept.exists():
        yield str(kept), lambda: kept.open("rb")
    try:
        run_id = client.get_model_version(name, str(version)).run_id
        logged = read_artifact(client, run_id, LOGGED_FORM)
    except MlflowException as error:
        logger.warning("The compiled form of version %d cannot be had: %s", version, error)
        return
    if logged is not None:
        yield f"run {run_id}", lambda: io.BytesIO(logged)

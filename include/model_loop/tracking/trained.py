"""Datasets as versions were trained on them, whatever their files say now."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from model_loop.datasets.dataset import Dataset, Target
from model_loop.datasets.registry import (
    dataset_of_model,
    file_problem,
    use_dataset,
    variants,
)
from model_loop.datasets.stored import dataset_of_text
from model_loop.tracking.deployments import log_once

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Name of the declaration that a model was trained on, among the metadata of its MLflow model.
DECLARATION = "model_loop.declaration"
#: Registered models that are looked through.
MOST_MODELS = 1_000

logger = logging.getLogger(__name__)


def dataset_of_version(name: str, version: int, declaration: str) -> Dataset:
    """Return the dataset by which rows for a version are read.

    A version of before declarations were stored with models is read by the present one, and the
    log says so once. A dataset that is written in Python is as its code has it.

    Parameters
    ----------
    name
        Name of the registered model.
    declaration
        The stored declaration of the version; empty if it has none.

    Raises
    ------
    StoredObjectError
        If the stored declaration cannot be read.
    InvalidInputError
        If it has none, and no dataset has such a model.
    """
    if declaration:
        return dataset_of_text(declaration)
    dataset = dataset_of_model(name)
    if dataset.declaration is not None:
        log_once(
            f"Version {version} of {name} was registered without the declaration that it was "
            "trained on: rows are read by the present one. Train a new version, or bring code in "
            "anew, to change that."
        )
    return dataset


def incomparable(ours: Dataset, theirs: Dataset, columns: Iterable[str]) -> str:
    """Return why a version of one declaration cannot predict rows of another; empty if it can.

    Parameters
    ----------
    ours
        Dataset that has read the rows.
    theirs
        Dataset that the version was trained on.
    columns
        Raw columns that the version takes.
    """
    reasons = []
    if ours.target.name != theirs.target.name or ours.target.unit != theirs.target.unit:
        mine, other = (f"{one.target.name} {one.target.unit}".strip() for one in (ours, theirs))
        reasons.append(f"it predicts {other}, not {mine}")
    if reason := _other_classes(ours.target, theirs.target):
        reasons.append(reason)
    places, times = ours.columns.places, False
    for column in theirs.columns:
        if column.name not in columns:
            continue
        same = ours.columns[places[column.name]] if column.name in places else None
        times |= column.kind == "time"
        if same is None:
            reasons.append(f"it takes {column.name}, which is no column now")
        elif (same.kind, same.text) != (column.kind, column.text):
            reasons.append(f"it takes {column.name} as {column.kind}, which is {same.kind} now")
    if times and ours.time_zone != theirs.time_zone:
        reasons.append(f"its clocks are those of {theirs.time_zone}, not of {ours.time_zone}")
    return "; ".join(reasons)


def _other_classes(ours: Target, theirs: Target) -> str:
    """Return in which classes two targets differ; empty where they do not."""
    if ours.kind != theirs.kind:
        return f"its target is {theirs.kind}, not {ours.kind}"
    if ours.classes is None or theirs.classes is None:
        # Those of a file are not known before rows have been read.
        return ""
    mine, other = ours.classes, theirs.classes
    if mine.labels == other.labels and mine.positive == other.positive:
        return ""
    return f"its classes are {', '.join(other.texts)}, not {', '.join(mine.texts)}"


def registered_declaration(client: MlflowClient, name: str, version: int) -> str:
    """Return the stored declaration of a registered version; empty if it has none.

    Raises
    ------
    Exception
        Of any kind, if its store does not answer.
    """
    import mlflow  # noqa: PLC0415 - 250 MB, which servers spare
    from mlflow.models import get_model_info  # noqa: PLC0415 - as above

    # The registry is looked for at MLflow's global address.
    mlflow.set_tracking_uri(client.tracking_uri)
    stored = get_model_info(f"models:/{name}/{version}").metadata or {}
    return str(stored.get(DECLARATION, ""))


def use_trained_datasets(client: MlflowClient) -> None:
    """Let this process know the datasets whose files are broken or gone, as they were trained on.

    The newest version of each such registered model names its dataset: its champions go on
    answering, and the log says why. Nothing can be trained on them.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the tracking server does not answer.
    """
    for name, version in missing_models(
        (
            model.name,
            {
                latest_version.version: latest_version.tags
                for latest_version in model.latest_versions or ()
            },
        )
        for model in client.search_registered_models(max_results=MOST_MODELS)
    ):
        try:
            text = registered_declaration(client, name, version)
            dataset = dataset_of_text(text) if text else None
        except Exception:
            # Each kind of store raises errors of its own, and anything may lie there.
            logger.exception("The declaration of version %d of %s is not known", version, name)
            continue
        if dataset is not None and file_problem(dataset.name):
            use_dataset(dataset)
            logger.warning(
                "The dataset %s (%s): its versions answer by the declarations that they were "
                "trained on; nothing is trained on it before it is added or its file corrected",
                dataset.name,
                file_problem(dataset.name),
            )


def missing_models(
    models: Iterable[tuple[str, Mapping[Any, Mapping[str, str]]]],
) -> Iterator[tuple[str, int]]:
    """Yield the models of variants that are not declared now, with their newest versions.

    Parameters
    ----------
    models
        Names of registered models, with the tags of their newest versions by number.
    """
    known = {variant.model_name for variant in variants().values()}
    for name, tags in models:
        newest = max(map(int, tags), default=0)
        keys = [each.get("service", "") for each in tags.values()]
        # Other projects may have models on the same server.
        if name not in known and any(key.replace(".", "_") == name for key in keys):
            yield name, newest

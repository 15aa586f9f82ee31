"""From a version of a model back to everything that it was made of, and forth again."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import importlib.metadata
import json
import math
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from model_loop.datasets.registry import dataset_packages
from model_loop.errors import ContractError, InvalidInputError, StoredObjectError
from model_loop.models import fitting
from model_loop.models.blend import BlendMember
from model_loop.models.catalogue import ModelFamily, get_family
from model_loop.models.evaluation import measure_outcomes
from model_loop.models.search import Metrics, SearchRequest, Trial, TuningResult
from model_loop.models.training import TrainedModel, train
from model_loop.objects.documents import UNREADABLE, record_of, text_of
from model_loop.tracking.downloads import read_artifact, refuse_absent
from model_loop.tracking.lines import installed_boosters
from model_loop.tracking.runs import Tracker
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.types import TrainingSet

#: Name of the artifact.
LINEAGE = "lineage.json"

#: Packages that the numbers of a model depend on.
_PACKAGES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "hyperopt")
#: Metrics that differ by no more than this share are the same; sums of threads may differ so much.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Lineage:
    """Everything that a model was made of.

    Parameters
    ----------
    training_set
        Digest of every number of the training set.
    data
        Requested training set: source, partitions, recipe, encoding, rules.
    files
        The files: address, ETag, size and digest of each.
    family, search, best
        Family and search, and the trial that was chosen, with its validation errors.
    test
        Errors on the test rows; None where there are none.
    code
        Version of this package, and the digest of its source.
    packages
        Versions of Python and of the packages that the numbers depend on.
    members
        Members of a blend, each with a lineage of its own; none of another model.
    """

    training_set: str
    #: `TrainingSetRequest` of months, or `TableRequest`.
    data: Any
    files: tuple[Any, ...]
    family: ModelFamily
    search: SearchRequest
    best: Trial
    test: Metrics | None
    code: str
    packages: Mapping[str, str]
    members: tuple[BlendMember, ...] = ()


@dataclass(frozen=True)
class Reproduction:
    """A model that was trained again.

    Parameters
    ----------
    metrics
        Name, value of then and value of now.
    changed
        Changes of the package or the code, then and now.
    """

    metrics: tuple[tuple[str, float, float], ...]
    changed: tuple[tuple[str, str, str], ...]

    @property
    def agrees(self) -> bool:
        """True if every metric is the same."""
        return all(math.isclose(then, now, rel_tol=_TOLERANCE) for _, then, now in self.metrics)


def lineage_of(
    trained: TrainedModel,
    training_set: TrainingSet,
    search: SearchRequest,
    family: ModelFamily | None = None,
) -> Lineage:
    """Collect the lineage of a model that was just trained, in the catalogue or not."""
    return Lineage(
        training_set=training_set.digest,
        data=training_set.request,
        files=training_set.files,
        family=trained.tuned.family_of(
            family or get_family(trained.tuned.family, training_set.dataset.target.kind)
        ),
        search=search,
        best=trained.tuned.best,
        test=trained.test,
        code=_code(),
        packages=_packages(),
        members=trained.blend.members if trained.blend else (),
    )


def log_lineage(tracker: Tracker, run_id: str, lineage: Lineage) -> None:
    """Log a lineage beside its model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LINEAGE
        path.write_text(text_of(lineage))
        tracker.client.log_artifact(run_id, str(path))


def find_lineage(tracker: Tracker, name: str, version: int) -> Lineage:
    """The lineage of a version of a registered model.

    Raises
    ------
    InvalidInputError
        If there is no such version, or it has no lineage.
    StoredObjectError
        If its lineage is damaged, or was written by another version of this package.
    """
    absent = InvalidInputError(
        f"Version {version} of {name}",
        "is not in the model registry",
        f"See the versions that there are: {tracker.tracking_uri}/#/models/{name}.",
    )
    with refuse_absent(absent):
        registered = tracker.client.get_model_version(name, str(version))
    lineage = read_lineage(tracker.client, registered)
    if lineage is None:
        raise InvalidInputError(
            f"Version {version} of {name}",
            "was not trained by this project, or its run was deleted: its data and settings are "
            "unknown, so it cannot be made again, and there are no test rows to judge it by",
            "Name a version that sklearn_training or xgboost_training has registered; the champion "
            "can be judged on its test rows. A model from elsewhere is brought in with the field "
            "`model` of the DAG promotion, which judges it on the champion's.",
        )
    return lineage


def read_lineage(client: MlflowClient, version: ModelVersion) -> Lineage | None:
    """Read the lineage beside a version; None if it has no run, or the run no lineage.

    Raises
    ------
    StoredObjectError
        If the lineage is damaged, or was written by another version of this package.
    """
    content = read_artifact(client, version.run_id, LINEAGE)
    try:
        return None if content is None else record_of(Lineage, json.loads(content))
    except UNREADABLE as error:
        raise StoredObjectError(
            f"{LINEAGE} of version {version.version} of {version.name}",
            f"cannot be read ({error}): its training data are unknown",
            "Train a new version, or load this one with the version of this package that made it.",
        ) from error


def reproduce(
    lineage: Lineage,
    *,
    storage_root: str,
    timeout_seconds: float,
    limits: Any = None,  # noqa: ANN401 - of the dataset
) -> Reproduction:
    """Build the training set again, fit the chosen settings again, and compare the errors.

    Raises
    ------
    SourceError
        If a file is no longer to be had.
    ContractError
        If a file or the training set is not what it was, or rows of it were erased since.
    InvalidInputError
        If it is the lineage of a blend, which nothing is fitted for.
    """
    if lineage.members:
        versions = ", ".join(f"{member.version} ({member.family})" for member in lineage.members)
        raise InvalidInputError(
            "The version",
            "is a blend: it was not fitted itself",
            f"Reproduce its members, the versions {versions}.",
        )
    erased = TrainingSetStore(storage_root).erased(lineage.training_set)
    if erased is not None:
        raise ContractError(
            f"The training set {lineage.training_set}",
            f"held rows that were erased on {dt.datetime.fromtimestamp(erased, dt.UTC):%Y-%m-%d}",
            "It is not made again: train a new version without them.",
        )
    training_set = build_training_set(
        lineage.data, storage_root=storage_root, timeout_seconds=timeout_seconds, limits=limits
    )
    _require_same(lineage, training_set)
    data = _judged_data(lineage, training_set)
    best = dataclasses.replace(lineage.best, metrics=_refit(lineage, data))
    tuned = TuningResult(lineage.family.name, best, (best,), 0.0, data.columns)
    test = train(tuned, training_set, lineage.search, lineage.family, calibrated=False).test
    pairs = [("validation", lineage.best.metrics, best.metrics), ("test", lineage.test, test)]
    return Reproduction(
        metrics=tuple(
            (name, value, now.named(part)[name])
            for part, then, now in pairs
            if then is not None and now is not None
            for name, value in then.named(part).items()
        ),
        changed=_changed(lineage),
    )


def _judged_data(lineage: Lineage, training_set: TrainingSet) -> fitting.FitData:
    """Return the rows that the best trial was judged with, and the columns that were chosen."""
    family, search = lineage.family, lineage.search
    trials = fitting.FitData.of(training_set, family, search, train_rows=search.sample_rows)
    return fitting.FitData.of(
        training_set,
        family,
        search,
        train_rows=search.finalist_rows(family),
        columns=trials.columns,
    )


def _refit(lineage: Lineage, data: fitting.FitData) -> Metrics:
    prepared = fitting.prepare(lineage.family, data, lineage.search)
    fit = fitting.Fit(lineage.family, lineage.best.settings, prepared, lineage.search)
    fit.advance()
    return measure_outcomes(data.judged_target, fit.fitted().predicted, data.target)


def _require_same(lineage: Lineage, training_set: TrainingSet) -> None:
    if len(lineage.files) != len(training_set.files):
        raise ContractError(
            f"The source {training_set.request.source}",
            f"has {len(training_set.files)} files for this request, and had {len(lineage.files)}",
            "Restore the files of then, or train a new version.",
        )
    for then, now in zip(lineage.files, training_set.files, strict=True):
        if then.digest != now.digest:
            raise ContractError(
                f"{now.partition} of {now.variant} ({now.url})",
                f"has changed since: its sha256 was {then.digest} and is {now.digest}",
                "Give the original file with --source, or train a new version.",
            )
    if lineage.training_set != training_set.digest:
        raise ContractError(
            f"The training set {training_set.digest}",
            f"differs from the recorded {lineage.training_set}, though its files are the same",
            "The code or its packages have changed: install the versions that were used then.",
        )


def _changed(lineage: Lineage) -> tuple[tuple[str, str, str], ...]:
    then, now = {**lineage.packages, "code": lineage.code}, {**_packages(), "code": _code()}
    return tuple(
        (name, then.get(name, "none"), now.get(name, "none"))
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    )


def _packages() -> dict[str, str]:
    names = (*_PACKAGES, *installed_boosters())
    versions = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **versions}


def _code() -> str:
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for folder in (root, *(root.parent / package for package in dataset_packages())):
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return f"{importlib.metadata.version('model-loop')} {digest.hexdigest()[:16]}"

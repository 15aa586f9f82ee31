"""Code that comes in: read, built, tried on rows of its dataset, admitted, and registered."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import AnyType, ColSpec, Schema
from upath import UPath

from model_loop.coded.description import read_description
from model_loop.coded.folder import CodeFolder
from model_loop.coded.manifest import MANIFEST
from model_loop.coded.sealing import Admission, Seal, parse_values
from model_loop.coded.stored import DESCRIPTION, FILES, start_code
from model_loop.coded.versions import ADMISSION
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.stored import digest_of_text, text_of_dataset
from model_loop.errors import InvalidInputError
from model_loop.objects.documents import text_of
from model_loop.objects.files import LOCAL_PROTOCOLS
from model_loop.runner.environments import ensure_environment, lock_requirements
from model_loop.runner.errors import CodeFailedError
from model_loop.runner.package import CodePackage
from model_loop.runner.pythons import pythons
from model_loop.settings import Settings
from model_loop.tracking.challengers import standard_version
from model_loop.tracking.deployments import (
    BROUGHT_IN,
    CODE_TAG,
    DECLARATION_TAG,
    MOMENT_TAG,
    HistoryEntry,
)
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.foreign import INCOMING, incoming_folder
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import CODE_FLAVOR, RegisteredModel, only_version
from model_loop.tracking.trained import (
    DECLARATION,
    dataset_of_version,
    registered_declaration,
)
from model_loop.tracking.versions import ModelVersions

if TYPE_CHECKING:
    from model_loop.coded.answers import CodeModel

#: Versions of a model that are looked at.
_MOST_VERSIONS = 10_000
#: Rows that code is asked alone before it comes in, and the rounding (absolute, and as a share) by
#: which their answers may differ from those to the same rows together.
_ALONE_ROWS, _SAME = 10, 1e-6

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Approval:
    """Request that code comes in, with its approval.

    Parameters
    ----------
    who, approver, why
        Names, and the reason.
    """

    who: str
    approver: str = ""
    why: str = ""


@contextlib.contextmanager
def open_folder(versions: ModelVersions, code: str, storage_root: str) -> Iterator[Path]:
    """Yield the folder with code that a form names.

    Parameters
    ----------
    code
        Name of a folder in ``incoming`` below the storage root, or an address of MLflow's.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    place = UPath(storage_root) / INCOMING / code
    if place.protocol in LOCAL_PROTOCOLS and Path(code).name == code and place.is_dir():
        # Not copied: a copy would follow links, which are refused.
        yield Path(place.path)
        return
    described_by = ("MLmodel", MANIFEST)
    with incoming_folder(versions.tracker, code, storage_root, described_by) as folder:
        yield folder


def fix_environment(folder: CodeFolder, settings: Settings) -> CodeFolder:
    """Return code whose environment is fixed: all packages with versions and digests of wheels.

    Raises
    ------
    InvalidInputError
        If a requirement has no wheel, or its Python is not there; the error holds the end of uv's
        log.
    """
    package = folder.package
    _require_python(package)
    locked = lock_requirements(package.requirements, package.python, settings.environments_folder)
    return folder.fixed(locked)


def build_environment(folder: CodeFolder, settings: Settings) -> Path:
    """Build the environment of code from its requirements, if it is not there yet.

    Raises
    ------
    InvalidInputError
        If it cannot be built, or its Python is not there; the error holds the end of the builder's
        log.
    """
    package = folder.package
    _require_python(package)
    return ensure_environment(
        package.requirements, package.python, settings.environments_folder, package.locked
    )


def _require_python(package: CodePackage) -> None:
    if package.python not in pythons():
        raise InvalidInputError(
            f'python = "{package.python}"',
            "is not on this machine, or not readable by other users",
            f"Install it, or name one of: {', '.join(pythons())}.",
        )


def try_code(
    folder: CodeFolder,
    dataset: Dataset,
    example: pd.DataFrame,
    values: Mapping[str, str],
    settings: Settings,
) -> tuple[CodeModel, Any]:
    """Start code, and let it predict a few rows of its dataset: together, and each alone.

    Rows are asked alone by callers, together in files, and together with those of other callers
    while the code is busy: all of them have to get the same answer.

    Parameters
    ----------
    example
        The raw rows.

    Returns
    -------
    tuple
        The started code, and its predictions.

    Raises
    ------
    CodeFailedError
        If it fails, its answers break a rule, or the answer to a row depends on other rows.
    """
    description = folder.description
    model = start_code(description, folder.read, values, dataset, settings)
    rows = example[list(model.columns)]
    together = model.predict(rows)
    _require_independent_rows(model, rows, together)
    return model, together


def _require_independent_rows(
    model: CodeModel, rows: pd.DataFrame, together: npt.NDArray[np.float64]
) -> None:
    """Refuse code whose answer to a row depends on the rows that it is asked with."""
    for position in range(min(len(rows), _ALONE_ROWS)):
        (alone,) = model.predict(rows.iloc[[position]])
        if not np.allclose(alone, together[position], rtol=_SAME, atol=_SAME):
            raise CodeFailedError(
                f"The answer of the code to row {position + 1} of its example",
                f"is {alone} for this row alone, and {together[position]} among {len(rows)} rows",
                "Let an answer depend on its own row alone, and on no random numbers.",
            )


def register_code(
    versions: ModelVersions,
    folder: CodeFolder,
    dataset: Dataset,
    values: Mapping[str, str],
    approval: Approval,
    *,
    identity: str,
    keys: str,
) -> RegisteredModel:
    """Register code as a version of a dataset's model, with its sealed admission.

    Parameters
    ----------
    identity
        Names the act for good, together with the digest of the code: a second try finds what the
        first has registered, and other code is another version.
    keys
        See `Seal`.
    """
    tracker, name = versions.tracker, versions.name
    description, seal = folder.description, Seal(keys)
    digest, columns = description.digest, description.columns(dataset)
    admission = Admission(digest, name, approval.who, approval.approver, time.time(), dict(values))
    sealed = seal.close(admission)
    title = f"code: {description.title or folder.path.name}"
    act = f"{identity}/{digest}/code"
    run_id = tracker.open_run(act, title, {BROUGHT_IN: folder.path.name, CODE_TAG: digest})
    existing = only_version(tracker, name, run_id)
    if existing is None:
        declaration = text_of_dataset(dataset)
        tags = {
            BROUGHT_IN: folder.path.name,
            CODE_TAG: digest,
            "code_form": description.package.form,
            MOMENT_TAG: dataset.moment_of(columns),
            **({DECLARATION_TAG: digest_of_text(declaration)} if declaration else {}),
        }
        with tempfile.TemporaryDirectory() as place:
            _write(folder, Path(place), columns, dataset, declaration)
            tracker.client.log_artifacts(run_id, place, "model")
        tracker.client.log_text(run_id, sealed, ADMISSION)
        mlflow.set_tracking_uri(tracker.tracking_uri)
        # MLflow reports each version on the error stream, which a task's log takes for errors.
        with contextlib.redirect_stderr(io.StringIO()) as told:
            registered = mlflow.register_model(f"runs:/{run_id}/model", name, tags=tags)
        logger.info("%s", told.getvalue().strip())
        existing = only_version(tracker, name, run_id) or int(registered.version)
    tracker.close_run(run_id)
    return RegisteredModel(name, existing, run_id)


def _write(
    folder: CodeFolder, place: Path, columns: Sequence[str], dataset: Dataset, declaration: str
) -> None:
    """Write the files of a version as an MLflow model that nothing but the runner can run."""
    package = folder.package
    for name in package.files:
        target = place / FILES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(folder.read(name))
    (place / DESCRIPTION).write_text(text_of(folder.description))
    anything = AnyType()  # type: ignore[no-untyped-call]  # MLflow types it in part
    inputs: list[Any] = [
        ColSpec(anything, name, required=name not in dataset.optional) for name in columns
    ]
    described = Model(
        signature=ModelSignature(inputs=Schema(inputs)),
        metadata={DECLARATION: declaration} if declaration else None,
        flavors={CODE_FLAVOR: {"digest": folder.description.digest, "form": package.form}},
    )
    described.save(str(place / "MLmodel"))


def note_admission(
    versions: ModelVersions,
    folder: CodeFolder,
    dataset: Dataset,
    approval: Approval,
    version: int | None,
    identity: str,
) -> HistoryEntry:
    """Write into the history that code was admitted as a version, or refused, with every digest.

    Parameters
    ----------
    version
        The version that it is; None where it was refused.
    identity
        See `register_code`.
    """
    digest, verdict = folder.description.digest, "refused" if version is None else "admitted"
    moment = dataset.moment_of(folder.description.columns(dataset))
    promoter = Promoter(versions.tracker, versions.service, moment, versions)
    return promoter.note_code(
        version,
        files_table(folder),
        f"{identity}/{digest}/{verdict}",
        who=approval.who,
        why=approval.why,
        approver=approval.approver,
        remarks=f"code {folder.path.name}, digest {digest}, {len(folder.sizes)} files",
    )


def files_table(folder: CodeFolder) -> pd.DataFrame:
    """Return a line for each file: ``file``, ``bytes``, ``sha256``."""
    return pd.DataFrame(
        [(name, folder.sizes[name], digest) for name, digest in folder.package.files.items()],
        columns=["file", "bytes", "sha256"],
    )


def dataset_for_code(versions: ModelVersions) -> Dataset:
    """Return the dataset that code answers for, with its classes.

    Those of a table that no row of was read yet in this process are those that the versions that
    were trained here have learned.

    Raises
    ------
    InvalidInputError
        If its classes are needed, and nothing was trained here.
    """
    dataset = versions.dataset
    if not dataset.target.is_classified or dataset.target.classes is not None:
        return dataset
    standard = standard_version(versions, dataset.moments[-1])
    declaration = registered_declaration(versions.tracker.client, versions.name, standard)
    return dataset_of_version(versions.name, standard, declaration)


def change_values(
    versions: ModelVersions, version: int, given: str, keys: str, who: str
) -> Admission:
    """Give a version other environment values; servers have them when they load it again.

    Parameters
    ----------
    given
        The values; see `parse_values`.

    Raises
    ------
    InvalidInputError
        If the version is not code, or the values are not those of its manifest.
    StoredObjectError
        If its admission cannot be opened.
    """
    what, seal = f"Version {version} of {versions.name}", Seal(keys)
    found, client = versions.find(version), versions.tracker.client
    run_id = found.run_id or ""
    stored = read_artifact(client, run_id, f"model/{DESCRIPTION}")
    if CODE_TAG not in found.tags or stored is None:
        raise InvalidInputError(what, "is not code of its own", "Name a version that is.")
    description = read_description(stored, what)
    sealed = read_artifact(client, run_id, ADMISSION) or b""
    admitted = seal.open(sealed.decode(), description.digest, versions.name)
    values = parse_values(given, description.package.variables)
    changed = replace(admitted, values=values, who=who, at=time.time())
    client.log_text(run_id, seal.close(changed), ADMISSION)
    return changed


def environments_in_use(client: MlflowClient, names: Iterable[str]) -> set[str]:
    """Return the digests of the environments of all versions that are code.

    A version whose description cannot be read has none: it does not start.

    Parameters
    ----------
    names
        Names of registered models.
    """
    used = set()
    for name in names:
        for found in _coded_versions(client, name):
            what = f"Version {found.version} of {name}"
            stored = read_artifact(client, found.run_id or "", f"model/{DESCRIPTION}")
            try:
                description = read_description(stored or b"", what)
            except InvalidInputError as error:
                logger.warning("It has no environment: %s", error)
                continue
            used.add(description.package.environment_digest)
    return used


def _coded_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    found = client.search_model_versions(f"name = '{name}'", max_results=_MOST_VERSIONS)
    return [one for one in found if CODE_TAG in one.tags]


def rotate_keys(client: MlflowClient, names: Iterable[str], keys: str) -> list[tuple[str, int]]:
    """Seal every admission by the newest key; return the versions, by name and number.

    Parameters
    ----------
    names
        Names of registered models.

    Raises
    ------
    StoredObjectError
        If one cannot be opened: the others before it are done, and a second try does all again.
    """
    seal, done = Seal(keys), []
    for name in names:
        for found in _coded_versions(client, name):
            run_id = found.run_id or ""
            sealed = read_artifact(client, run_id, ADMISSION)
            if sealed is not None:
                client.log_text(run_id, seal.rotate(sealed.decode()), ADMISSION)
                done.append((name, int(found.version)))
    return sorted(done)

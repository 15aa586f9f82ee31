"""Stored code of a version, and its start in the runner.

A prediction server does this too, so neither MLflow nor scikit-learn is imported.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_loop.coded.answers import Ask, CodeModel
from model_loop.coded.description import CodeDescription, read_description
from model_loop.coded.sealing import Seal
from model_loop.datasets.classes import HALF
from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.runner.client import RunnerClient
from model_loop.runner.package import CodePackage
from model_loop.settings import Settings, get_settings

#: Files of a version below its model: its description, and the folder of the code.
DESCRIPTION, FILES = "description.json", "files"
#: The sealed admission beside the files of a version, on the disk of a server.
KEPT_ADMISSION = "admission.txt"


@dataclass(frozen=True)
class StoredCode:
    """Code of a version, on this machine's disk.

    Parameters
    ----------
    what
        Name of the version in errors.
    folder
        Folder of its model.
    description
        Description of the code.
    """

    what: str
    folder: Path
    description: CodeDescription

    def read(self, name: str) -> bytes:
        """Return a file of the code.

        Raises
        ------
        StoredObjectError
            If it is missing, or is not what was admitted.
        """
        wanted = self.description.package.files[name]
        try:
            content = (self.folder / FILES / name).read_bytes()
        except OSError as error:
            raise StoredObjectError(
                f"{self.what}, file {name}", f"cannot be read ({error})", "Bring the code in anew."
            ) from error
        if hashlib.sha256(content).hexdigest() != wanted:
            raise StoredObjectError(
                f"{self.what}, file {name}",
                "is not what was admitted: its digest is another",
                "Bring the code in anew.",
            )
        return content

    @property
    def megabytes(self) -> float:
        """Size of its files."""
        files = (self.folder / FILES / name for name in self.description.package.files)
        return sum(file.stat().st_size for file in files if file.exists()) / 1e6


def stored_code(folder: Path, what: str) -> StoredCode:
    """Read the files of a version that is code.

    Raises
    ------
    InvalidInputError
        If it has none that can be read.
    """
    try:
        text = (folder / DESCRIPTION).read_bytes()
    except OSError as error:
        raise InvalidInputError(
            what, f"lacks {DESCRIPTION} ({error})", "Bring the code in anew."
        ) from error
    return StoredCode(what, folder, read_description(text, what))


def require_allowed(settings: Settings, what: str) -> None:
    """Refuse code where the operator's setting does not allow it.

    Raises
    ------
    InvalidInputError
        If it does not, or there is no runner.
    """
    if not settings.code:
        raise InvalidInputError(
            what,
            "is code of its own, which the setting MODEL_LOOP_CODE does not allow here",
            "Let the operator set MODEL_LOOP_CODE=true.",
        )
    if not settings.runner_address:
        raise InvalidInputError(
            what,
            "is code of its own, and MODEL_LOOP_RUNNER_ADDRESS names no runner",
            "Start `model-loop runner`, and set its address and its token.",
        )


@functools.cache
def client_of(address: str, token: str) -> RunnerClient:
    """Return the client of a runner, one for each in a process."""
    return RunnerClient(address, token)


def start_package(
    package: CodePackage,
    read: Callable[[str], bytes],
    values: Mapping[str, str],
    settings: Settings,
    *,
    waits: bool = True,
) -> Ask:
    """Start code in the runner; return what asks it for answers.

    Parameters
    ----------
    read
        Returns a file of the code.
    waits
        Whether to wait until it is ready; otherwise it starts when it is asked.

    Raises
    ------
    InvalidInputError
        If the runner refuses it.
    CodeFailedError
        If it does not start.
    RunnerUnavailableError
        If the runner does not answer.
    """
    client = client_of(settings.runner_address, settings.runner_token)
    seconds = settings.runner_seconds
    digest = client.deploy(package, read, values)
    if waits:
        client.wait_ready(digest, settings.runner_start_seconds)
    return lambda rows: client.predict(digest, rows, seconds)


def start_code(
    description: CodeDescription,
    read: Callable[[str], bytes],
    values: Mapping[str, str],
    dataset: Dataset,
    settings: Settings,
    what: str = "The code",
) -> CodeModel:
    """Start code in the runner, and wait until it answers for a dataset.

    Raises
    ------
    InvalidInputError
        If the setting or the runner refuses it.
    CodeFailedError, RunnerUnavailableError
        See `start_package`.
    """
    require_allowed(settings, what)
    classes, explaining = dataset.target.classes, description.explaining
    return CodeModel(
        dataset,
        description,
        description.columns(dataset),
        HALF if classes is None else classes.threshold_in_force,
        start_package(description.package, read, values, settings),
        # Its function for reasons starts when somebody asks for them.
        None
        if explaining is None
        else start_package(explaining, read, values, settings, waits=False),
    )


def start_version(stored: StoredCode, name: str, dataset: Dataset, sealed: str) -> CodeModel:
    """Start an admitted version in the runner.

    Parameters
    ----------
    name
        Name of the registered model.
    dataset
        Dataset by which rows for it are read.
    sealed
        Its sealed admission.

    Raises
    ------
    StoredObjectError
        If the admission is not of this code, or a file is not what was admitted.
    InvalidInputError, CodeFailedError, RunnerUnavailableError
        See `start_code`.
    """
    settings = get_settings()
    require_allowed(settings, stored.what)
    admission = Seal(settings.code_keys).open(sealed, stored.description.digest, name)
    return start_code(
        stored.description, stored.read, admission.values, dataset, settings, stored.what
    )

"""Files of the versions that were served, kept on disk for a start without the tracking server."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from trip_duration.tracking.downloads import download_model

#: Versions whose files are kept.
_KEPT = 6


class ModelStore:
    """Versions of one registered model on disk.

    Parameters
    ----------
    tracking_uri
        Address of the tracking server.
    name
        Name of the registered model.
    folder
        Where the files are kept.
    """

    def __init__(self, tracking_uri: str, name: str, folder: Path) -> None:
        self._tracking_uri = tracking_uri
        self._client = MlflowClient(tracking_uri)
        self._name = name
        self._folder = folder / name
        #: Versions whose files are kept, however old they are.
        self.needed: frozenset[int | None] = frozenset()

    def files(self, version: int) -> Path:
        """The folder of a version's files, downloaded where they are not there yet.

        Raises
        ------
        InvalidInputError
            If there is no such version.
        mlflow.exceptions.MlflowException
            If it has to be downloaded and cannot be.
        """
        return self._find(version) or self._download(version)

    def _find(self, version: int) -> Path | None:
        """The files of a version, if they are those that the registry means."""
        kept = sorted(self._folder.glob(f"{version}-*"))
        try:
            wanted = self._place(version)
        except MlflowException:
            # The server does not answer: what it last said still counts.
            return kept[-1] if kept else None
        return wanted if wanted in kept else None

    def _download(self, version: int) -> Path:
        place = self._place(version)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".") as folder:
            address = f"models:/{self._name}/{version}"
            files = download_model(self._tracking_uri, address, Path(folder))
            # Only whole folders bear the name of a version.
            files.rename(place)
        self._remove_old()
        return place

    def _remove_old(self) -> None:
        """Remove all but the newest, and what is needed: a champion may be older than many trials.

        Another server may remove the same.
        """
        for old in sorted(self._folder.glob("[0-9]*-*"), key=_age)[:-_KEPT]:
            if _version(old) not in self.needed:
                shutil.rmtree(old, ignore_errors=True)

    def _place(self, version: int) -> Path:
        """The folder of a version; another registry's version of this number has another one."""
        found = self._client.get_model_version(self._name, str(version))
        return self._folder / f"{version}-{found.creation_timestamp}"


def _version(folder: Path) -> int:
    return int(folder.name.partition("-")[0])


def _age(folder: Path) -> float:
    return folder.stat().st_mtime if folder.exists() else 0.0

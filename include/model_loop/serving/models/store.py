"""Files of the versions that were served, kept on disk for a start without the tracking server."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from model_loop.tracking.downloads import download_model

#: Number of versions whose files are kept.
_KEPT = 6
#: Beside the files of a version: sha256 of each of them, as it was downloaded.
DIGESTS = ".digests.json"

logger = logging.getLogger(__name__)


class ModelStore:
    """Versions of one registered model on disk.

    Parameters
    ----------
    tracking_uri
        Address of the tracking server.
    name
        Name of the registered model.
    folder
        Folder of the files.
    """

    def __init__(self, tracking_uri: str, name: str, folder: Path) -> None:
        self._tracking_uri = tracking_uri
        self._client = MlflowClient(tracking_uri)
        self._name = name
        self._folder = folder / name
        #: Versions whose files are kept, however old they are.
        self.needed: frozenset[int | None] = frozenset()

    def files(self, version: int) -> Path:
        """The folder of a version's files, downloaded where they are not there yet, or damaged.

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
            # The server does not answer: what it last said still counts, unless it is damaged.
            return kept[-1] if kept and _is_intact(kept[-1]) is not False else None
        # Without digests, an older version of this package has kept them: the server has them too.
        return wanted if wanted in kept and _is_intact(wanted) else None

    def _download(self, version: int) -> Path:
        place = self._place(version)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".") as folder:
            address = f"models:/{self._name}/{version}"
            files = download_model(self._tracking_uri, address, Path(folder))
            _write_digests(files)
            if place.exists():
                # A folder that holds files cannot be replaced in one step.
                place.rename(Path(folder) / "damaged")
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


def _write_digests(folder: Path) -> None:
    """Note what the files of a version are, to notice later that one is damaged."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    digests = {name: _digest(folder / name) for name in names if name != DIGESTS}
    (folder / DIGESTS).write_text(json.dumps(digests))


def _is_intact(folder: Path) -> bool | None:
    """Return whether files are those that were downloaded; None if they were not recorded.

    Files that were added later, such as a compiled form, are not checked.
    """
    try:
        digests: dict[str, str] = json.loads((folder / DIGESTS).read_bytes())
        altered = [name for name, digest in digests.items() if _digest(folder / name) != digest]
    except FileNotFoundError as error:
        if error.filename == str(folder / DIGESTS):
            return None
        logger.warning("A file of a version is missing: %s", error)
        return False
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        logger.warning("The files of a version cannot be read: %s: %s", folder, error)
        return False
    if altered:
        logger.warning("Files of a version are damaged: %s in %s", ", ".join(altered), folder)
    return not altered


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(folder: Path) -> int:
    return int(folder.name.partition("-")[0])


def _age(folder: Path) -> float:
    return folder.stat().st_mtime if folder.exists() else 0.0

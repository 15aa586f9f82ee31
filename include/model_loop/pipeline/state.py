"""State of a run without Airflow: small JSON values in files that outlive the process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from upath import UPath

from model_loop.objects.documents import read_document
from model_loop.objects.store import write_bytes


class FileStore:
    """Small JSON values, each in a file of its own.

    Parameters
    ----------
    folder
        Folder of the values.
    """

    def __init__(self, folder: UPath) -> None:
        self.folder = folder

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """Return the value of a key; None if there is none."""
        return read_document(self._path(key), lambda content: content)

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep a value; its file appears whole or not at all."""
        write_bytes(self._path(key), json.dumps(value).encode())

    def once(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the value of a key, which is made where there is none yet."""
        kept: dict[str, Any] | None = self.get(key)
        if kept is None:
            kept = make()
            self.set(key, kept)
        return kept

    def _path(self, key: str) -> UPath:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

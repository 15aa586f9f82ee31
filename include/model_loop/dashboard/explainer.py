"""Explaining single predictions, which needs whole models, and for forests a library of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from model_loop.datasets.reading import Value
from model_loop.datasets.registry import find_variant
from model_loop.models.explanation import reasons_of
from model_loop.scoring.rows import as_rows, to_frame
from model_loop.serving.models.store import ModelStore
from model_loop.settings import Settings
from model_loop.tracking.registry import LoadedModel, read_model
from model_loop.tracking.trained import dataset_of_version

#: Models that are kept in memory.
_KEPT = 2


class Models:
    """The models that were asked for last.

    Parameters
    ----------
    settings
        Where they are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[tuple[str, int], LoadedModel] = {}

    def explain(
        self, service: str, version: int, row: list[Value | None], columns: list[str]
    ) -> dict[str, Any]:
        """Explain the prediction of a row by a version of a variant; see `scoring.rows`."""
        name = find_variant(service)[1].model_name
        loaded = self._loaded(name, version)
        dataset = dataset_of_version(name, version, loaded.declaration)
        rows = as_rows(dataset, [[np.nan if value is None else value for value in row]])
        frame = to_frame(dataset, rows, columns)
        reasons = reasons_of(loaded.model, frame)
        if reasons is None:
            return {"why": "This kind of model cannot be taken apart into what each column adds."}
        return asdict(reasons)

    def _loaded(self, name: str, version: int) -> LoadedModel:
        found = self._kept.pop((name, version), None)
        if found is None:
            folder = self._settings.serving_folder / "models"
            store = ModelStore(self._settings.tracking_uri, name, folder)
            found = read_model(store.files(version), f"Version {version}")
        self._kept[name, version] = found
        while len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept)))
        return found

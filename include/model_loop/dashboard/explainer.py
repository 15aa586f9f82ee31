"""Explaining single predictions, which needs whole models, and for forests a library of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from model_loop.models.explanation import reasons_of
from model_loop.scoring.rows import to_frame
from model_loop.serving.models.store import ModelStore
from model_loop.settings import Settings
from model_loop.tracking.deployments import registered_name
from model_loop.tracking.registry import LoadedModel, read_model

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
        name = registered_name(settings.service)
        self._store = ModelStore(settings.tracking_uri, name, settings.serving_folder / "models")
        self._kept: dict[int, LoadedModel] = {}

    def explain(self, version: int, row: list[float | None], columns: list[str]) -> dict[str, Any]:
        """Explain a version's prediction of a row; see `scoring.rows`."""
        rows = np.array([[np.nan if value is None else value for value in row]])
        reasons = reasons_of(self._loaded(version).model, to_frame(rows, columns))
        if reasons is None:
            return {"why": "This kind of model cannot be taken apart into what each column adds."}
        return asdict(reasons)

    def _loaded(self, version: int) -> LoadedModel:
        found = self._kept.pop(version, None) or read_model(
            self._store.files(version), f"Version {version}"
        )
        self._kept[version] = found
        while len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept)))
        return found

"""Explaining single predictions, which needs whole models, and for forests a library of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from model_loop.datasets.registry import find_variant
from model_loop.models.explanation import reasons_of
from model_loop.scoring.rows import as_rows, to_frame
from model_loop.serving.models.store import ModelStore
from model_loop.settings import Settings
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
        self._dataset, variant = find_variant(settings.variant)
        name = variant.model_name
        self._store = ModelStore(settings.tracking_uri, name, settings.serving_folder / "models")
        self._kept: dict[int, LoadedModel] = {}

    def explain(self, version: int, row: list[float | None], columns: list[str]) -> dict[str, Any]:
        """Explain a version's prediction of a row; see `scoring.rows`."""
        rows = as_rows(self._dataset, [[np.nan if value is None else value for value in row]])
        frame = to_frame(self._dataset, rows, columns)
        reasons = reasons_of(self._loaded(version).model, frame)
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

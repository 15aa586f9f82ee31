"""A process that explains single predictions: a line of JSON in, a line of JSON out.

Explaining needs the whole model, and for forests a library of its own: the api-server, which people
look at, does not pay for it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from trip_duration.models.explanation import reasons_of
from trip_duration.serving.rows import to_frame
from trip_duration.serving.store import ModelStore
from trip_duration.settings import get_settings
from trip_duration.tracking.registry import LoadedModel, read_model
from trip_duration.tracking.standing import registered_name

#: Models that are kept in memory.
_KEPT = 2


class Models:
    """The models that were asked for last."""

    def __init__(self) -> None:
        settings = get_settings()
        name = registered_name(settings.service)
        self._store = ModelStore(settings.tracking_uri, name, settings.serving_folder / "models")
        self._kept: dict[int, LoadedModel] = {}

    def explain(self, version: int, row: list[float | None], columns: list[str]) -> dict[str, Any]:
        """How a version comes to its prediction of a row; see `serving.rows`."""
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


def main() -> None:
    """Answer line by line until the input ends."""
    # What libraries print goes to the log, and the answers alone to whoever asks.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        models = Models()
        for line in sys.stdin:
            try:
                answer = models.explain(**json.loads(line))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the next one is answered
                answer = {"why": f"{type(error).__name__}: {str(error)[:300]}"}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""Drifts that no retraining has answered yet, those of older versions of this package among them.

Older evidence names neither source nor recipe, and no moment: there was one champion for each
service, and one source.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from typing import Any

from model_loop.datasets.dataset import Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.schedules.drift_memory import DriftMemory
from model_loop.orchestration.schedules.watermarks import StateStore
from model_loop.settings import get_settings

#: Field that evidence has always had, and events of other programs have not.
_RUN = "run_url"


def completed(evidence: Mapping[str, Any], service: str) -> dict[str, Any]:
    """Return evidence with what an older version of this package has not written.

    Source and recipe are those of the settings and of the version that has drifted; a version that
    is gone tells nothing.
    """
    known = str(evidence.get("version", ""))
    if not (_RUN in evidence and known.isdecimal()) or {"moment", "recipe"} & evidence.keys():
        return dict(evidence)
    versions, number = versions_of(service), int(known)
    found: dict[str, Any] = {"source": get_settings().source}
    with contextlib.suppress(InvalidInputError):
        found["recipe"] = versions.find(number).tags.get("recipe")
        found["moment"] = versions.known_moment(number)
    return {**found, **evidence}


def drift_of(memory: DriftMemory) -> dict[str, Any] | None:
    """Return the drift that a memory holds, completed; None if none waits."""
    found = memory.pending()
    return None if found is None else completed(found, memory.service)


def waiting_drifts(store: StateStore, service: str) -> dict[Moment, DriftMemory]:
    """Return what holds a drift that waits, by the moment of the version that has drifted.

    Parameters
    ----------
    store
        The state store of the asset `drift`.
    """
    found: dict[Moment, DriftMemory] = {}
    dataset = dataset_of_variant(service)
    for kept in dataset.moments:
        memory = DriftMemory(store, service, dt.timedelta(0), kept)
        if (drift := drift_of(memory)) is not None:
            recipe = dataset.recipes.get(str(drift.get("recipe")))
            found.setdefault(recipe.moment if recipe else drift.get("moment") or kept, memory)
    return found

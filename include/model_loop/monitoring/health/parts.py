"""The parts of the health of a service, cached for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_loop.background_cache import BackgroundCache
from model_loop.monitoring.health.types import (
    Answers,
    Champion,
    DagHealth,
    Product,
    ServiceHealth,
    Traffic,
)


@dataclass(frozen=True)
class HealthParts:
    """Sources of the parts of the health; see `ServiceHealth`.

    Parameters
    ----------
    service
        Whose health.
    traffic, answers, champion, products, dags
        Each part.
    patience_seconds
        How long each may take before it counts as not answering.
    """

    service: str
    traffic: BackgroundCache[Traffic]
    answers: BackgroundCache[Answers]
    champion: BackgroundCache[Champion]
    products: BackgroundCache[tuple[Product, ...]]
    dags: BackgroundCache[tuple[DagHealth, ...]]
    patience_seconds: float = 2.0

    def look(self) -> ServiceHealth:
        """The health now, or as it was a few seconds ago."""
        parts: Mapping[str, BackgroundCache[Any]] = {
            name: getattr(self, name) for name in PART_NAMES
        }
        for part in parts.values():
            part.refresh()
        deadline = time.monotonic() + self.patience_seconds
        entries = {
            name: part.get(max(deadline - time.monotonic(), 0.0)) for name, part in parts.items()
        }
        return ServiceHealth(
            service=self.service,
            at=time.time(),
            problems={name: one.problem for name, one in entries.items() if one.problem},
            **{name: one.value for name, one in entries.items()},
        )


#: The parts of `ServiceHealth`.
PART_NAMES = ("traffic", "answers", "champion", "products", "dags")

"""A registered version, ready to answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from model_loop.serving.rows import NAMES, PLACES, Rows
from model_loop.trips.services import ATTRIBUTES

if TYPE_CHECKING:
    from model_loop.serving.forms import Form

Predict = Callable[[Rows], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Predictor:
    """A version that can answer.

    Parameters
    ----------
    version
        Number in the registry.
    columns
        Raw columns that it reads.
    places
        Places in a row of those that may not be unknown.
    predict
        Minutes of rows, shape (trips,). It may run in several threads at once.
    plain
        Why it is served as it is; empty if it is compiled.
    form
        The compiled form that answers, for whoever has to hand it on.
    """

    version: int
    columns: tuple[str, ...]
    places: tuple[int, ...]
    predict: Predict
    plain: str = ""
    form: Form | None = None

    def lacking(self, rows: Sequence[Sequence[float]]) -> str:
        """What some row lacks, as requests name it; empty if nothing is missing."""
        for row in rows:
            for place in self.places:
                if row[place] != row[place]:  # NaN: ten times as fast as a call
                    return NAMES[place]
        return ""

    @property
    def compiled(self) -> bool:
        """Whether the compiled form answers."""
        return not self.plain


def places_of(columns: Sequence[str]) -> tuple[int, ...]:
    """Places in a row of those columns that may not be unknown."""
    return tuple(PLACES[name] for name in columns if name not in ATTRIBUTES)

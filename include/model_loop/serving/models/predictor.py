"""A registered version, ready to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_loop.datasets.reading import Row
from model_loop.scoring.rows import PLACES
from model_loop.serving.compiled.model import CompiledModel, Predict
from trip_duration.columns import TRIP_COLUMNS


@dataclass(frozen=True)
class ServedVersion:
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
        Reason why it is served as it is; empty if it is compiled.
    form
        The compiled form that answers, for whoever has to hand it on.
    """

    version: int
    columns: tuple[str, ...]
    places: tuple[int, ...]
    predict: Predict
    plain: str = ""
    form: CompiledModel | None = None

    def lacking(self, rows: Sequence[Row], *, computed: bool = False) -> str:
        """Return the field that some row lacks; empty if nothing is missing.

        Parameters
        ----------
        computed
            Whether values that can be computed from the others are taken as given.
        """
        for row in rows:
            values = row[0]
            for place in self.places:
                if values[place] != values[place]:  # NaN: ten times as fast as a call
                    if computed and TRIP_COLUMNS[place].default == "computed":
                        continue
                    return TRIP_COLUMNS[place].field
        return ""

    @property
    def compiled(self) -> bool:
        """True if the compiled form answers."""
        return not self.plain


def places_of(columns: Sequence[str]) -> tuple[int, ...]:
    """Places in a row of those columns that may not be unknown."""
    return tuple(PLACES[name] for name in columns if TRIP_COLUMNS[PLACES[name]].required)

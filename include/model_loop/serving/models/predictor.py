"""A registered version, ready to answer."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from model_loop.datasets.columns import Columns
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.reading import Row
from model_loop.datasets.stored import dataset_of_text
from model_loop.intervals.adaptive import NO_CORRECTION, Correction
from model_loop.intervals.calibrated import Intervals
from model_loop.scoring.notices import ValueWatch
from model_loop.scoring.outcomes import DecisionRules
from model_loop.scoring.reasons import Explain
from model_loop.serving.compiled.explaining import explainer_of, require_reasons
from model_loop.serving.compiled.model import CompiledModel, Predict


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
        Predictions of rows, as `models.outcomes` describes them. It may run in several threads at
        once.
    plain
        Reason why it is served as it is; empty if it is compiled.
    form
        The compiled form that answers, for callers that pass it on.
    watch
        Compares rows with what it has learned from; None where that was not stored.
    declaration
        The stored declaration that it was trained on; empty if it has none.
    intervals
        Intervals around its predictions; None where they were not stored.
    correction
        Correction of the intervals at the last look at the registry.
    deciding
        Rules by which it answers with classes; None where it answers with numbers.
    remote
        Whether another process answers, for which a request may have to wait.
    own_reasons
        Function of a version that is code of its own that explains its predictions; None where it
        has none, and of any other version.
    """

    version: int
    columns: tuple[str, ...]
    places: tuple[int, ...]
    predict: Predict
    plain: str = ""
    form: CompiledModel | None = None
    watch: ValueWatch | None = None
    declaration: str = ""
    intervals: Intervals | None = None
    correction: Correction = NO_CORRECTION
    deciding: DecisionRules | None = None
    remote: bool = False
    own_reasons: Explain | None = None

    def dataset(self, present: Dataset) -> Dataset:
        """Return the dataset by which it reads rows: that of its declaration, or the present."""
        return dataset_of_text(self.declaration) if self.declaration else present

    def lacking(self, columns: Columns, rows: Sequence[Row], *, computed: bool = False) -> str:
        """Return the field that some row lacks; empty if nothing is missing.

        Parameters
        ----------
        columns
            Columns of the table.
        computed
            Whether values that can be computed from the others are taken as given.
        """
        for row in rows:
            values = row[0]
            for place in self.places:
                if values[place] != values[place]:  # NaN: ten times as fast as a call
                    if computed and columns[place].default == "computed":
                        continue
                    return columns[place].field
        return ""

    @functools.cached_property
    def explain(self) -> Explain:
        """Return the function that explains its predictions.

        Raises
        ------
        InvalidInputError
            If it has none, or one for which no request can wait.
        """
        if self.own_reasons is not None:
            return self.own_reasons
        return explainer_of(require_reasons(self.form, f"Version {self.version}", self.plain))

    @property
    def compiled(self) -> bool:
        """True if the compiled form answers."""
        return not self.plain


def required_positions(table: Columns, columns: Sequence[str]) -> tuple[int, ...]:
    """Return the places in a row of those columns that may not be unknown."""
    return tuple(table.places[name] for name in columns if name in table.required)

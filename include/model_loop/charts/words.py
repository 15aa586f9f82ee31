"""Words of charts: the target, its unit, and the rows of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from model_loop.datasets.dataset import Dataset


@dataclass(frozen=True)
class Words:
    """Words for one dataset.

    Parameters
    ----------
    target
        The target, in the middle of a sentence.
    unit
        Its unit; empty if it has none.
    rows, row
        Word for several rows, and for one.
    former
        Older name of predictions; empty if there is none.
    """

    target: str
    unit: str
    rows: str
    row: str
    former: str = ""

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the words of a dataset."""
        target = dataset.target
        return cls(target.title or target.name, target.unit, *dataset.rows, target.former)

    def axis(self, name: str) -> str:
        """Return the title of an axis or column, with the unit: ``actual duration (min)``."""
        return f"{name} ({self.unit})" if self.unit and not name.endswith(self.unit) else name

    def amount(self, value: float, digits: int = 1) -> str:
        """Return an amount of the target in words: ``5.3 min``."""
        return f"{value:.{digits}f} {self.unit}".rstrip()

    def renewed(self, numbers: Any) -> Any:  # noqa: ANN401 - JSON
        """Return the numbers of a run with the keys of today, whatever version has written them.

        Before 0.2, counts had the word for rows, and contributions the older name of predictions.
        """
        if isinstance(numbers, Mapping):
            names = {self.rows: "rows", self.former: "added"}
            return {names.get(key, key): self.renewed(value) for key, value in numbers.items()}
        return [self.renewed(each) for each in numbers] if isinstance(numbers, list) else numbers

"""Words of charts: the target, its unit, and the rows of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from model_loop.datasets.dataset import Dataset

#: Keys of the numbers of runs before 0.2, and what they are called now.
_FORMER = {"trips": "rows", "minutes": "added"}


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
    """

    target: str
    unit: str
    rows: str
    row: str

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the words of a dataset."""
        target = dataset.target
        return cls(target.title or target.name, target.unit, *dataset.rows)

    def axis(self, name: str) -> str:
        """Return the title of an axis or column, with the unit: ``actual duration (min)``."""
        return f"{name} ({self.unit})" if self.unit else name

    def amount(self, value: float, digits: int = 1) -> str:
        """Return an amount of the target in words: ``5.3 min``."""
        return f"{value:.{digits}f} {self.unit}".rstrip()


def renewed(numbers: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the numbers of a run with the keys of today, whatever version has written them."""
    if isinstance(numbers, Mapping):
        return {_FORMER.get(name, name): renewed(value) for name, value in numbers.items()}
    return [renewed(each) for each in numbers] if isinstance(numbers, list) else numbers

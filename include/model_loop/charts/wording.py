"""Words of charts: the target, its unit, and the rows of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from model_loop.charts.formatting import UNKNOWN
from model_loop.datasets.dataset import Dataset
from model_loop.models.search import metric_title


@dataclass(frozen=True)
class Wording:
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
    metric, error
        Name of the metric that models are ranked by, in runs and for people.
    """

    target: str
    unit: str
    rows: str
    row: str
    former: str = ""
    metric: str = "rmse"
    error: str = "RMSE"

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the words of a dataset."""
        target = dataset.target
        metric = target.main_metric
        return cls(
            target.title or target.name,
            target.unit,
            *dataset.rows,
            target.former,
            metric,
            metric_title(metric),
        )

    @property
    def is_classified(self) -> bool:
        """Return whether the target is a class, and no number."""
        return self.metric != "rmse"

    def axis(self, name: str) -> str:
        """Return the title of an axis or column, with the unit: ``actual duration (min)``."""
        return f"{name} ({self.unit})" if self.unit and not name.endswith(self.unit) else name

    @property
    def capitalized(self) -> str:
        """The name of the metric at the beginning of a title."""
        return f"{self.error[:1].upper()}{self.error[1:]}"

    @property
    def constant(self) -> str:
        """Answer of a rule without any column, which is the same for each row."""
        return "the share of the classes" if self.is_classified else "the median"

    def score(self, value: float | None, digits: int = 2) -> str:
        """Return a value of the metric in words: ``5.31 min``, ``0.442``; a dash of none."""
        if value is None:
            return UNKNOWN
        return f"{value:.{digits + 1}f}" if self.is_classified else self.amount(value, digits)

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

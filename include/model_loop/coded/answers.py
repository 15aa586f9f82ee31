"""Rows of a dataset as code gets them, and what its answers predict."""

from __future__ import annotations

import datetime as dt
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from model_loop.coded.description import BASE, CodeDescription
from model_loop.datasets.dataset import Dataset
from model_loop.runner.errors import CodeFailedError
from model_loop.scoring.reasons import Contributions
from model_loop.scoring.rows import Rows, from_frame

if TYPE_CHECKING:
    import pandas as pd

#: Rows that are handed over first, and at most; seconds below which more are handed over next.
#: Other callers of the version wait meanwhile, and one that exceeds its time is ended.
_FIRST_ROWS, _MOST_ROWS, _QUICK_SECONDS = 50, 2_000, 1.0
#: By how much the probabilities of all classes may miss one, and reasons the answer.
_TOLERANCE, _SUM = 1e-6, 1e-4

#: Why code gives no reasons.
NO_REASONS = "it is code of its own, without a function for them"

JsonRow = dict[str, Any]
Ask = Callable[[list[JsonRow]], list[JsonRow]]
"""Asks code for the answers of rows; it may run in several threads at once."""


@dataclass(frozen=True)
class CodeModel:
    """Predicts rows of a dataset by asking code.

    Parameters
    ----------
    dataset
        The dataset of the rows.
    description
        Description of the code.
    columns
        Columns of the dataset that it reads, by their names in frames.
    threshold
        Probability from which it answers with the positive class of two.
    ask
        Asks for answers.
    ask_reasons
        Asks for explanations; None where the code has no function for them.
    """

    dataset: Dataset
    description: CodeDescription
    columns: tuple[str, ...]
    threshold: float
    ask: Ask
    ask_reasons: Ask | None = None

    def predict(self, rows: Any, /) -> npt.NDArray[np.float64]:  # noqa: ANN401 - as scikit-learn's
        """Return predictions of a frame of raw rows, as `models.outcomes` describes them."""
        frame: pd.DataFrame = rows
        return self.predict_rows(from_frame(self.dataset, frame, self.columns))

    def predict_rows(self, rows: Rows) -> npt.NDArray[np.float64]:
        """Return predictions of rows of values.

        Raises
        ------
        CodeFailedError
            If the code fails, or answers with what cannot be a prediction.
        RunnerUnavailableError
            If nothing answers now.
        """
        return outcomes_of(self.description, self.dataset, self._in_pieces(self.ask, rows))

    def _in_pieces(self, ask: Ask, rows: Rows) -> list[JsonRow]:
        """Return the answers of rows, as many of which are handed over as are answered quickly."""
        answers: list[JsonRow] = []
        size = _FIRST_ROWS
        while len(answers) < len(rows):
            began = time.monotonic()
            piece = rows[len(answers) : len(answers) + size]
            answers += ask(self.as_json(piece))
            quick = time.monotonic() - began < _QUICK_SECONDS
            size = min(2 * size, _MOST_ROWS) if quick else max(size // 2, 1)
        return answers

    def as_json(self, rows: Rows) -> list[JsonRow]:
        """Return rows as the code gets them: an object each, by the names of its inputs."""
        return [
            {name: convert(row[place]) for name, place, convert in self._converters} for row in rows
        ]

    def shap_rows(self, most: int) -> int | None:
        """Return the number of rows that its own function explains; None if it has none."""
        return None if self.ask_reasons is None else most

    def shap_by_feature(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return what each column adds to the prediction of each row, as the code says."""
        import pandas as pd  # noqa: PLC0415 - servers need no frames

        found = self.explain(from_frame(self.dataset, rows, self.columns))
        places = [self.dataset.columns.places[name] for name in self.columns]
        return pd.DataFrame(found.added[:, places], columns=list(self.columns))

    @functools.cached_property
    def _converters(self) -> list[tuple[str, int, Callable[[Any], Any]]]:
        places = self.dataset.columns.places
        return [
            (one.name, places[column], _CONVERTERS[one.type])
            for one, column in zip(self.description.package.inputs, self.columns, strict=True)
        ]

    def explain(self, rows: Rows) -> Contributions:
        """Return what each column adds to the predictions of rows, as the code's own function says.

        Raises
        ------
        CodeFailedError
            As `predict_rows`.
        """
        assert self.ask_reasons is not None, "the version says before whether it explains"
        answers = self._in_pieces(self.ask_reasons, rows)
        added = np.zeros((len(rows), len(self.dataset.columns)))
        for name, place, _ in self._converters:
            added[:, place] = [answer[name] for answer in answers]
        base = np.array([answer[BASE] for answer in answers], dtype=np.float64)
        predicted, outputs = self.predict_rows(rows), None
        if self.dataset.target.is_classified:
            outputs = np.ones(len(rows), dtype=np.int64)
            if predicted.ndim > 1:
                outputs = predicted.argmax(axis=1)
                predicted = predicted.max(axis=1)
        elif np.ptp(base) > 0:
            raise CodeFailedError(
                "The reasons of the code", "begin at several amounts", "Begin all at the same base."
            )
        if not np.allclose(base + added.sum(axis=1), predicted, rtol=_SUM, atol=_SUM):
            raise CodeFailedError(
                "The reasons of the code",
                "do not add up to its answer",
                "Let base and the amounts of all inputs make the prediction in sum.",
            )
        return Contributions(
            float(base[0]) if outputs is None else base,
            added,
            average=True,
            unit="" if outputs is None else "probability",
            outputs=outputs,
        )


def outcomes_of(
    description: CodeDescription, dataset: Dataset, answers: Sequence[JsonRow]
) -> npt.NDArray[np.float64]:
    """Return the predictions that answers hold, as `models.outcomes` describes them.

    Raises
    ------
    CodeFailedError
        If a value is not a probability, or those of a row do not add up to one.
    """
    target = dataset.target
    if not target.is_classified:
        return np.array([each[description.prediction] for each in answers], dtype=np.float64)
    classes = target.labels
    if classes.is_binary and description.probability:
        found = np.array([each[description.probability] for each in answers], dtype=np.float64)
    else:
        names = [description.probabilities[str(label)] for label in classes.labels]
        several = np.array(
            [[each[name] for name in names] for each in answers], dtype=np.float64
        ).reshape(-1, len(names))
        off = np.abs(several.sum(axis=1) - 1) > _TOLERANCE
        if off.any():
            raise _failed(f"gives probabilities that add up to {several[off][0].sum():.6g}")
        found = np.ascontiguousarray(several[:, 1]) if classes.is_binary else several
    if ((found < 0) | (found > 1)).any():
        wrong = found[(found < 0) | (found > 1)][0]
        raise _failed(f"gives {wrong:.6g} as a probability")
    return found


def _failed(rule: str) -> CodeFailedError:
    return CodeFailedError(
        "The answer of the code", rule, "Give probabilities from 0 to 1 that add up to 1."
    )


def _number(value: Any) -> float | None:  # noqa: ANN401 - a cell
    number = float(value)
    return None if number != number else number  # noqa: PLR0124 - NaN alone differs from itself


def _text(value: Any) -> str | None:  # noqa: ANN401 - a cell
    return value if isinstance(value, str) else None


def _yes_no(value: Any) -> bool | None:  # noqa: ANN401 - a cell
    number = _number(value)
    return None if number is None else bool(number)


def _time(value: Any) -> str | None:  # noqa: ANN401 - a cell
    number = _number(value)
    if number is None:
        return None
    return dt.datetime.fromtimestamp(number, dt.UTC).replace(tzinfo=None).isoformat()


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "number": _number,
    "text": _text,
    "yes/no": _yes_no,
    "time": _time,
}

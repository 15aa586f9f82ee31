"""From the scores of a classifier to the probabilities of its classes, in steps.

Every step takes and returns numbers of shape (rows, columns): a column for the positive class of
two, or one for each of several classes. Each computes as the library does that it replaces.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from model_loop.datasets.classes import HALF
from model_loop.serving.compiled.flat import Linear, Trees

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int32]
Unit = Literal["log-odds", "probability"]

#: Bound of XGBoost against an overflow.
_MOST_EXPONENT = np.float32(88.7)


class Affine(NamedTuple):
    """Multiply each column by a factor, and add a shift; both of shape (columns,)."""

    factors: _Floats
    shifts: _Floats

    def apply(self, numbers: _Floats) -> _Floats:
        """Carry out the step."""
        return numbers * self.factors + self.shifts


class Logistic(NamedTuple):
    """Make a probability of each log-odds, in single precision where XGBoost does."""

    single: bool

    def apply(self, numbers: _Floats) -> _Floats:
        """Carry out the step."""
        if not self.single:
            return _expit(numbers)
        exponents = np.minimum(-numbers.astype(np.float32), _MOST_EXPONENT)
        return (np.float32(1) / (_exp(exponents) + np.float32(1))).astype(np.float64)


class Softmax(NamedTuple):
    """Make probabilities of scores of several classes, in single precision where XGBoost does."""

    single: bool

    def apply(self, numbers: _Floats) -> _Floats:
        """Carry out the step."""
        if not self.single:
            grown: _Floats = np.exp(numbers - numbers.max(axis=1, keepdims=True))
            return _shares(grown, grown.sum(axis=1, keepdims=True))
        scores = numbers.astype(np.float32)
        single: npt.NDArray[np.float32] = _exp(scores - scores.max(axis=1, keepdims=True))
        total = single.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
        shares: npt.NDArray[np.float32] = single / total
        return shares.astype(np.float64)


class Logits(NamedTuple):
    """Make logarithms of probabilities, or the log-odds of the positive class of two.

    Parameters
    ----------
    least
        Number that is added to a probability, so that zero has a logarithm.
    """

    least: float

    def apply(self, numbers: _Floats) -> _Floats:
        """Carry out the step."""
        logs = np.log(numbers + self.least)
        if numbers.shape[1] == 1:
            logs -= np.log(1 - numbers + self.least)
        return logs


class Isotonic(NamedTuple):
    """Interpolate each column between its own points, which rise.

    Parameters
    ----------
    inputs, outputs
        Points of all columns, one column after another.
    ends
        Number of points up to the end of each column, shape (columns,).
    """

    inputs: _Floats
    outputs: _Floats
    ends: _Ints

    def apply(self, numbers: _Floats) -> _Floats:
        """Carry out the step."""
        result, first = np.empty_like(numbers), 0
        for column, end in enumerate(self.ends.tolist()):
            points = slice(first, end)
            result[:, column] = np.interp(
                numbers[:, column], self.inputs[points], self.outputs[points]
            )
            first = end
        return result


class Shares(NamedTuple):
    """Divide the numbers of each row by their sum; equal shares where all are zero."""

    def apply(self, numbers: _Floats) -> _Floats:
        """Carry out the step."""
        total = numbers.sum(axis=1, keepdims=True)
        equal = np.full_like(numbers, 1 / numbers.shape[1])
        shares: _Floats = np.divide(numbers, total, out=equal, where=total != 0)
        return shares


Step = Affine | Logistic | Softmax | Logits | Isotonic | Shares
STEPS: dict[str, type[Step]] = {
    kind.__name__: kind for kind in (Affine, Logistic, Softmax, Logits, Isotonic, Shares)
}
#: From the probability of a class to that of the other one.
COMPLEMENT = Affine(np.array([-1.0]), np.array([1.0]))


class Scores(NamedTuple):
    """A classifier: scores, each as a flat estimator, and the steps to probabilities.

    Parameters
    ----------
    columns
        The score of the positive class of two, or one score of each of several classes.
    steps
        Steps from the scores to the probabilities.
    unit
        Unit of the scores; log-odds of several classes are relative to each other.
    threshold
        Probability of the positive class of two from which the model answers with it.
    """

    columns: tuple[Trees | Linear, ...]
    steps: tuple[Step, ...]
    unit: Unit
    threshold: float = HALF

    def probabilities(self, scores: _Floats) -> _Floats:
        """Return probabilities of scores of shape (columns, rows).

        Their shape is (rows,) of the positive class, or (rows, classes) of several ones.
        """
        numbers = np.ascontiguousarray(scores.T)
        for step in self.steps:
            numbers = step.apply(numbers)
        return numbers[:, 0] if len(self.columns) == 1 else numbers


class ContributionScale(NamedTuple):
    """The scale on which the contributions to scores add up.

    Parameters
    ----------
    factors, shifts
        Numbers that make this scale of the scores, shape (columns,).
    unit
        Unit of the scale.
    answered
        Whether it is that of the answers; otherwise they are calibrated afterwards, by a curve.
    """

    factors: _Floats
    shifts: _Floats
    unit: Unit
    answered: bool


def added_scale(scores: Scores) -> ContributionScale:
    """Return the last scale that is linear in the scores: log-odds of the answers where possible.

    A calibration by a sigmoid or a temperature is linear in log-odds; one by an isotonic curve is
    not.
    """
    steps, turned = list(scores.steps), False
    if len(scores.columns) == 1 and steps and _is_complement(steps[-1]):
        steps.pop()
        turned = True
    factors, shifts = np.ones(len(scores.columns)), np.zeros(len(scores.columns))
    last = ContributionScale(factors, shifts, scores.unit, answered=not steps)
    # The numbers of a step are linear in the scores, or probabilities of linear log-odds.
    is_linear = True
    for number, step in enumerate(steps):
        if isinstance(step, Affine) and is_linear:
            factors, shifts = factors * step.factors, shifts * step.factors + step.shifts
        elif isinstance(step, Logistic | Softmax) and is_linear:
            ends = all(isinstance(each, Shares) for each in steps[number + 1 :])
            last, is_linear = ContributionScale(factors, shifts, "log-odds", answered=ends), False
        elif isinstance(step, Logits) and not is_linear:
            is_linear = True
        else:
            break
    if turned:
        whole = 1.0 if last.unit == "probability" else 0.0
        last = last._replace(factors=-last.factors, shifts=whole - last.shifts)
    return last


def _is_complement(step: Step) -> bool:
    return isinstance(step, Affine) and step.factors[0] == -1.0 and step.shifts[0] == 1.0


def _shares(numbers: _Floats, totals: _Floats) -> _Floats:
    return numbers / totals


def _expit(numbers: _Floats) -> _Floats:
    """Return the probability of log-odds; no exponential overflows."""
    shrunk = np.exp(-np.abs(numbers))
    return np.where(numbers >= 0, 1.0, shrunk) / (1.0 + shrunk)


def _exp(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return exponentials rounded once, as the C library does; those of NumPy differ at the end."""
    return np.exp(numbers.astype(np.float64)).astype(np.float32)

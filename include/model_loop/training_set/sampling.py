"""Samples of rows that hold the share of each day, and of each class of each day, of all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from model_loop.training_set.matrices import Matrix, Targets
    from model_loop.training_set.types import TrainingSet

Positions = npt.NDArray[np.int64]
Days = npt.NDArray[np.int32]


def draw_evenly(
    number: int,
    wanted: int,
    seed: int,
    days: Days | None = None,
    classes: Targets | None = None,
) -> Positions:
    """Draw some of so many rows, evenly from each day and class.

    Rows are put in the order of their class and day and cut into as many runs as rows are wanted,
    and one row is drawn from each run (Cochran, "Sampling Techniques", 3rd edition, section 8.4):
    each class of each day has its share to within two rows, and a rare class stays as rare as it
    is. Every n-th row would not do: of a table of hours, every 24th is always the same hour.

    Parameters
    ----------
    days
        Days since 1970, shape (rows,); None where rows have no time.
    classes
        Codes of classes, shape (rows,); None of numbers.

    Returns
    -------
    numpy.ndarray
        Positions of the drawn rows in their order, shape (min(number, wanted),).
    """
    if wanted >= number:
        return np.arange(number)
    bounds = np.arange(wanted + 1) * number // wanted
    places: Positions = np.random.default_rng(seed).integers(bounds[:-1], bounds[1:])
    # Tables mostly come in the order of their time, which is then the order that is asked for.
    if days is not None and classes is None and (days[1:] >= days[:-1]).all():
        return places
    keys = [key for key in (days, classes) if key is not None]
    if not keys:
        return places
    drawn: Positions = np.sort(np.lexsort(keys)[places])
    return drawn


_Rows = TypeVar("_Rows", "Matrix", "Targets")


def rows_of(values: _Rows, positions: Positions | None) -> _Rows:
    """Return the rows of a matrix or of targets at some positions; all of them for None."""
    return values if positions is None else values[positions]


def train_sample(training_set: TrainingSet, wanted: int, seed: int) -> Positions | None:
    """Draw positions of train rows; None where no more than so many are there.

    Parameters
    ----------
    wanted
        Most rows; 0 for all.
    """
    return _drawn(training_set, training_set.train_target, training_set.train_days, wanted, seed)


def validation_sample(training_set: TrainingSet, wanted: int, seed: int) -> Positions | None:
    """Draw positions of validation rows; see `train_sample`."""
    target, days = training_set.validation_target, training_set.validation_days
    return _drawn(training_set, target, days, wanted, seed)


def learned_sample(training_set: TrainingSet, wanted: int, seed: int) -> Positions | None:
    """Draw positions of the train and validation rows together; see `train_sample`."""
    train, validation = training_set.train_days, training_set.validation_days
    known = train is not None and validation is not None
    both = np.concatenate([train, validation]) if known else None
    return _drawn(training_set, training_set.train_validation_target, both, wanted, seed)


def _drawn(
    training_set: TrainingSet, target: Targets, days: Days | None, wanted: int, seed: int
) -> Positions | None:
    if not wanted or len(target) <= wanted:
        return None
    classes = target if training_set.target.is_classified else None
    return draw_evenly(len(target), wanted, seed, days, classes)

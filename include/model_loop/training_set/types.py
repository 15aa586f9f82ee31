"""The training set's types: what was asked for, what went in, and what came out."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.dataset import Dataset, Recipe, Target
from model_loop.datasets.learned import LearnedValues
from model_loop.days import days_of
from model_loop.findings import Finding
from model_loop.sources.origin import data_source_of
from model_loop.training_set.encodings import Layout
from model_loop.training_set.matrices import Matrix, Targets
from model_loop.training_set.request import PreparationRequest


@dataclass(frozen=True)
class Period:
    """First and last time of some rows, as ISO 8601 text on the clocks of their place."""

    first: str
    last: str


class RowEncoder(Protocol):
    """A scikit-learn transformer from raw columns to a design matrix."""

    def fit_transform(self, X: pd.DataFrame, y: Targets) -> Matrix:
        """Learn from rows and encode the same rows."""

    def transform(self, X: pd.DataFrame) -> Matrix:
        """Encode rows."""

    def get_feature_names_out(self) -> npt.NDArray[np.object_]:
        """Names of the columns."""


@dataclass(frozen=True)
class EncodedSplits:
    """One layout of the training set.

    Tuning learns the encoding from the train rows alone, so that the validation rows hold what
    any new rows hold: categories that were never seen. The final fit learns it from both.

    Parameters
    ----------
    train, validation
        Design matrices of shape (rows, columns on train).
    train_validation
        Design matrix of shape (rows, columns on all), train first.
    train_encoder, encoder
        Encoders of the first two, and of the third.
    targets
        Targets of the train and of the validation rows, where the layout has a sample of the rows;
        None where it has all.
    """

    train: Matrix
    validation: Matrix
    train_validation: Matrix
    train_encoder: RowEncoder
    encoder: RowEncoder
    targets: tuple[Targets, Targets] | None = None


@dataclass(frozen=True)
class EncodedFold:
    """One fold of a cross-validation in one layout.

    Parameters
    ----------
    train, validation
        Design matrices of shape (rows, columns), by an encoder of these train rows alone.
    train_target, validation_target
        Targets, each of shape (rows,).
    names
        Names of the columns.
    train_rows, validation_rows
        The same rows as raw columns with their target, for rules that need no model; None in
        training sets of earlier versions of this package.
    """

    train: Matrix
    validation: Matrix
    train_target: Targets
    validation_target: Targets
    names: tuple[str, ...]
    train_rows: pd.DataFrame | None = None
    validation_rows: pd.DataFrame | None = None


@dataclass(frozen=True)
class TrainingSet:
    """Encoded rows with their target, and where they come from.

    Parameters
    ----------
    request
        Request for the training set.
    files
        The files that went in, with their digests.
    cleaning
        Rows that were left out of each file, and the reasons.
    layouts
        The design matrices, by layout. The encoding ``one_hot`` has one layout, ``native`` two.
    train_target, validation_target
        Targets, each of shape (rows,).
    test_rows
        The test rows as raw columns with their target: models are judged on them as they will be
        served, from raw columns. Of a dataset with groups, the column of the group is among them.
    example_rows
        A few validation rows as raw columns, to show what a model takes.
    periods
        First and last time of each part that has rows.
    strays
        Number of rows outside of their part of the time line, which belong to no part.
    reference_rows
        A sample of the train and validation rows as raw columns: what later rows are compared
        with. None in training sets of earlier versions of this package.
    findings
        Doubtful findings about the partitions, compared with those before them.
    train_rows, validation_rows
        Train and validation rows as raw columns with their target, or a sample of each: baselines
        and slices are learned from them, and sizes of errors from the latter. None of datasets
        whose own functions do without.
    calibration_rows
        Rows between validation and test that no model learns from, as raw columns with the target;
        None where there are none.
    parts
        Keys of the partitions that each part has rows of; empty of months, whose request says it.
    validation_times
        Times of the validation rows, seconds since 1970 on the clocks of the table, shape (rows,);
        None where some have none, and in training sets of earlier versions.
    folds
        Folds of the train and validation rows by which settings are chosen, by layout; empty where
        the validation part is large enough for that.
    learned
        Values of the train and validation rows, column by column: what answers call unlike them.
        None in training sets of earlier versions, and of datasets in Python.
    compared
        Positions of the validation rows that every layout has, by which settings and families are
        chosen; None where all layouts have all of them.
    validation_places
        Positions of `validation_rows` among the rows that settings are chosen by; None where they
        are all of them, and in training sets of earlier versions.
    train_days
        Days of the train rows since 1970 on the clocks of the table, shape (rows,); None where
        some have none, and in training sets of earlier versions.
    """

    #: `PreparationRequest`; code of the dataset knows which.
    request: Any
    #: `SourceFile`, or as the dataset's own preparation has it.
    files: tuple[Any, ...]
    #: `PartitionReport`, or as the dataset's own preparation has it.
    cleaning: tuple[Any, ...]
    layouts: Mapping[Layout, EncodedSplits]
    train_target: Targets
    validation_target: Targets
    test_rows: pd.DataFrame
    example_rows: pd.DataFrame
    periods: Mapping[str, Period]
    strays: int = 0
    reference_rows: pd.DataFrame | None = None
    findings: tuple[Finding, ...] = ()
    train_rows: pd.DataFrame | None = None
    validation_rows: pd.DataFrame | None = None
    calibration_rows: pd.DataFrame | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    folds: Mapping[Layout, tuple[EncodedFold, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    validation_times: npt.NDArray[np.float64] | None = None
    learned: LearnedValues | None = None
    train_days: npt.NDArray[np.int32] | None = None
    compared: npt.NDArray[np.int64] | None = None
    validation_places: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Make the arrays read-only: many tasks and trials share them."""
        for array in self._arrays().values():
            array.flags.writeable = False

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The table that the rows are of, as the request declares it."""
        dataset: Dataset = self.request.dataset
        return dataset

    @property
    def variant(self) -> str:
        """Key of the variant that the rows are of."""
        key: str = self.request.service
        return key

    @property
    def target(self) -> Target:
        """The column that is predicted."""
        return self.dataset.target

    def partitions(self, part: str) -> tuple[str, ...]:
        """Return the keys of the partitions that a part has rows of, in their order.

        Parameters
        ----------
        part
            ``train``, ``validation``, ``calibration`` or ``test``.
        """
        return partitions_of(self.request, self.parts, part)

    @property
    def recipe(self) -> Recipe:
        """Columns that the model may use."""
        return self.dataset.recipe(self.request.recipe)

    @property
    def test_target(self) -> Targets:
        """Target of the test rows, shape (rows,)."""
        target: Targets = self.test_rows[self.dataset.target.name].to_numpy(dtype=np.float64)
        return target

    @property
    def test_inputs(self) -> pd.DataFrame:
        """Columns of the test rows that the model is asked with."""
        return self.test_rows[list(self.recipe.columns)]

    @property
    def chosen_by(self) -> str:
        """Rows that settings and families are chosen by, for people."""
        noun = self.dataset.rows[0]
        for folds in self.folds.values():
            judged = sum(len(fold.validation_target) for fold in folds)
            others = "before them" if self.request.split.rule == "time" else "of the other folds"
            return (
                f"cross-validation: {len(folds)} folds of {judged:,} {noun} in all, "
                f"each judged by a model of the {noun} {others}"
            )
        if self.compared is not None:
            of_all = f"{len(self.validation_target):,} validation {noun}"
            return f"{len(self.compared):,} {noun}, drawn of {of_all}"
        return f"{len(self.validation_target):,} validation {noun}"

    @property
    def validation_days(self) -> npt.NDArray[np.int32] | None:
        """Days of the validation rows; see `train_days`."""
        times = self.validation_times
        return None if times is None else days_of(times).astype(np.int32)

    def judged_target(self, wanted: Layout) -> Targets:
        """Targets of the rows that settings are chosen by, in the order of their predictions."""
        for folds in self.folds.values():
            return np.concatenate([fold.validation_target for fold in folds])
        target = self.targets_for(wanted)[1]
        return target if self.compared is None else self.validation_target[self.compared]

    @property
    def judged_times(self) -> npt.NDArray[np.float64] | None:
        """Times of the rows of `judged_target`; None of folds, and where a row has none."""
        if self.folds or self.validation_times is None or self.compared is None:
            return None if self.folds else self.validation_times
        return self.validation_times[self.compared]

    @property
    def train_validation_target(self) -> Targets:
        """Targets of the train and the validation rows, in this order."""
        return np.concatenate([self.train_target, self.validation_target])

    @property
    def data_source(self) -> str:
        """Source of the files: ``sample`` as soon as one of them is generated."""
        return data_source_of(self.files)

    @functools.cached_property
    def rows_digests(self) -> dict[str, str]:
        """Digest (sha256, hex) of the rows of the validation and of the test part.

        Errors can be compared where these are the same, whatever the recipe and the encoding. The
        targets in their order stand for the rows.
        """
        targets = {"validation": self.validation_target, "test": self.test_target}
        return {
            part: hashlib.sha256(np.ascontiguousarray(found, dtype=np.float64).data).hexdigest()
            for part, found in targets.items()
            if len(found)
        }

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows in each part; ``all`` is train and validation."""
        train, validation = len(self.train_target), len(self.validation_target)
        test = len(self.test_rows)
        return {
            "all": train + validation,
            "train": train,
            "validation": validation,
            "test": test,
        }

    def columns(self, layout: Layout) -> dict[str, int]:
        """Number of columns of a layout, encoded on all and on the train rows."""
        splits = self.layouts[layout]
        return {"all": splits.train_validation.shape[1], "train": splits.train.shape[1]}

    def layout_for(self, wanted: Layout) -> EncodedSplits:
        """The layout *wanted*, or the only one where the encoding leaves no choice."""
        if len(self.layouts) == 1:
            return next(iter(self.layouts.values()))
        return self.layouts[wanted]

    def targets_for(self, wanted: Layout) -> tuple[Targets, Targets]:
        """Targets of the train and of the validation rows of a layout, see `layout_for`."""
        found = self.layout_for(wanted).targets
        return (self.train_target, self.validation_target) if found is None else found

    @functools.cached_property
    def digest(self) -> str:
        """Digest (sha256, hex) of what went in and of every number that came out."""
        digest = hashlib.sha256(self.request.content_key.encode())
        for file in self.files:
            digest.update(file.digest.encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        arrays: dict[str, npt.NDArray[np.generic]] = {
            # The names that digests have held since the first version.
            "train_minutes": self.train_target,
            "validation_minutes": self.validation_target,
        }
        for layout, splits in self.layouts.items():
            for name in ("train", "validation", "train_validation"):
                arrays |= _parts(f"{layout}.{name}", getattr(splits, name))
            for name, targets in zip(("train", "validation"), splits.targets or (), strict=False):
                arrays[f"{layout}.{name}_target"] = targets
        for layout, folds in self.folds.items():
            for number, fold in enumerate(folds):
                which = f"folds.{layout}.{number}"
                for name in ("train", "validation"):
                    arrays |= _parts(f"{which}.{name}", getattr(fold, name))
                    arrays[f"{which}.{name}_target"] = getattr(fold, f"{name}_target")
        return arrays


def _parts(name: str, matrix: Matrix) -> dict[str, npt.NDArray[np.generic]]:
    if isinstance(matrix, np.ndarray):
        return {name: matrix}
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices,
        f"{name}.indptr": matrix.indptr,
    }


def partitions_of(
    request: PreparationRequest, parts: Mapping[str, tuple[str, ...]], part: str
) -> tuple[str, ...]:
    """Return the keys of the partitions that a part has rows of."""
    return parts.get(part, ()) or request.partitions_in(part)

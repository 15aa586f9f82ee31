"""Tests of the training set of months, run before anybody learns from it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.datasets.dataset import Moment
from model_loop.training_set.data_tests import DataTestResult
from model_loop.training_set.matrices import Matrix
from model_loop.training_set.types import TrainingSet
from trip_duration.columns import KNOWN_FROM, known_too_late
from trip_duration.services import DURATION, OUTCOME_COLUMNS, WHEN

#: Share of validation trips between zones that the train months never saw. The real months have
#: 3 to 6 %; with more than this the months do not belong together.
MOST_UNSEEN = 0.5
#: Medians of durations may differ by this factor between neighbouring splits; those of the real
#: months differ by less than 1.1.
MOST_SHIFT = 2.0


def rows_are_conserved(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """Every row of every file is in a split, or was left out for a reason that was counted."""
    kept = 0
    for report in training_set.cleaning:
        left_out = report.quarantined + report.too_short + report.too_long
        kept += report.rows_kept
        yield DataTestResult(
            f"{report.month}: rows read are rows kept and rows left out",
            report.rows_read == report.rows_kept + left_out,
            f"{report.rows_read:,} = {report.rows_kept:,} + {left_out:,}",
        )
    rows = training_set.rows
    used = rows["all"] + rows["test"] + training_set.strays
    yield DataTestResult(
        "rows kept are in one split, or strays", kept == used, f"{kept:,} = {used:,}"
    )


def nothing_leaks(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """No split reaches into the next, and every column is known when the model is asked."""
    periods = training_set.periods
    names = [name for name in ("train", "validation", "test") if name in periods]
    for earlier, later in itertools.pairwise(names):
        yield DataTestResult(
            f"every {earlier} trip begins before every {later} trip",
            periods[earlier].last < periods[later].first,
            f"{periods[earlier].last} and {periods[later].first}",
        )
    recipe = training_set.recipe
    late = known_too_late(recipe.columns, recipe.moment)
    yield DataTestResult(
        f"every raw column is known {WHEN[recipe.moment]}", not late, _too_late(late, recipe.moment)
    )
    features = {
        str(feature)
        for splits in training_set.layouts.values()
        for feature in splits.encoder.get_feature_names_out()
    }
    # Features that are not raw columns are computed from those.
    raw = [name for name in features if name in KNOWN_FROM or name in OUTCOME_COLUMNS]
    leaking = known_too_late(raw, recipe.moment)
    yield DataTestResult(
        f"every feature is known {WHEN[recipe.moment]}",
        not leaking,
        _too_late(leaking, recipe.moment),
    )


def _too_late(columns: Sequence[str], moment: Moment) -> str:
    told = f"moment: {moment}"
    return f"{told}; known too late: {', '.join(columns)}" if columns else told


def matrices_match_targets(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """There is one finite row for each trip."""
    rows = training_set.rows
    for layout, splits in training_set.layouts.items():
        found = {
            "train": splits.train.shape[0],
            "validation": splits.validation.shape[0],
            "all": splits.train_validation.shape[0],
        }
        agree = found == {name: rows[name] for name in found}
        yield DataTestResult(f"{layout}: one row for each trip", agree, f"{found}")
        matrices = (splits.train, splits.validation, splits.train_validation)
        finite = all(bool(np.isfinite(_values(matrix)).all()) for matrix in matrices)
        yield DataTestResult(
            f"{layout}: every value is finite", finite, f"{len(matrices)} matrices"
        )


def categories_were_seen(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """Nearly every validation trip is between zones that the train months know."""
    splits = training_set.layouts["sparse"]
    # A trip between unknown zones lacks the entry that every other trip has.
    entries = int(_row_lengths(splits.train).max())
    share = float(np.mean(_row_lengths(splits.validation) < entries))
    yield DataTestResult(
        "validation trips are between zones that the train months know",
        share <= MOST_UNSEEN,
        f"{share:.2%} are not",
    )


def distributions_are_sane(training_set: TrainingSet) -> Iterable[DataTestResult]:
    """Durations keep to the rules, vary, and are alike in neighbouring splits."""
    rules, splits = training_set.request.rules, _durations(training_set)
    low = min(float(minutes.min()) for minutes in splits.values())
    high = max(float(minutes.max()) for minutes in splits.values())
    yield DataTestResult(
        "durations lie within the cleaning rules",
        rules.minimum_duration <= low and high <= rules.maximum_duration,
        f"{low:.2f} to {high:.2f} minutes",
    )
    medians = {name: float(np.median(minutes)) for name, minutes in splits.items()}
    shift = max(medians.values()) / max(min(medians.values()), 1e-9)
    yield DataTestResult(
        "median durations are alike in all splits",
        shift <= MOST_SHIFT,
        ", ".join(f"{name} {median:.2f}" for name, median in medians.items()) + " minutes",
    )
    spread = float(np.std(splits["train"]))
    yield DataTestResult("durations vary", spread > 0, f"standard deviation {spread:.2f} minutes")


#: Every test, by the name of its task.
DATA_TESTS: Mapping[str, Callable[[TrainingSet], Iterable[DataTestResult]]] = MappingProxyType(
    {
        test.__name__: test
        for test in (
            rows_are_conserved,
            nothing_leaks,
            matrices_match_targets,
            categories_were_seen,
            distributions_are_sane,
        )
    }
)


def _durations(training_set: TrainingSet) -> dict[str, npt.NDArray[np.float64]]:
    splits = {
        "train": training_set.train_target,
        "validation": training_set.validation_target,
        "test": training_set.test_rows[DURATION].to_numpy(dtype=np.float64),
    }
    return {name: minutes for name, minutes in splits.items() if len(minutes)}


def _row_lengths(matrix: Matrix) -> npt.NDArray[np.int32]:
    """Number of stored entries of each row of a sparse matrix."""
    starts: npt.NDArray[np.int32] = getattr(matrix, "indptr")  # noqa: B009 - the dense layout has none
    return np.diff(starts)


def _values(matrix: Matrix) -> Any:  # noqa: ANN401 - the stored values, whatever the layout
    return matrix if isinstance(matrix, np.ndarray) else matrix.data

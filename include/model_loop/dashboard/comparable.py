"""Comparable training runs: those that were judged on the same rows of one source."""

from __future__ import annotations

from collections.abc import Sequence

from model_loop.dashboard.types import FamilyRun
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError
from model_loop.sources.origin import is_generated, source_label

#: Partitions that are named one by one.
_NAMED = 2
#: Metrics that a run has whose model was judged on test rows, of numbers and of classes.
_TESTED = frozenset({"test_rmse", "test_log_loss"})


def source_of(run: FamilyRun) -> str:
    """Return the words for what a run was trained on."""
    return source_label(run.source) if run.source else "not known"


def model_input(run: FamilyRun) -> str:
    """Return the words for a run's recipe and encoding, and for the moment of its model."""
    try:
        recipes = dataset_of_variant(run.service).recipes.values()
    except InvalidInputError:
        # A dataset that was removed leaves its runs behind.
        return run.recipe
    # If all recipes have the same moment, it distinguishes nothing.
    several = len({one.moment for one in recipes}) > 1
    asked = next((one.asked for one in recipes if several and one.moment == run.moment), "")
    return f"{run.recipe}, {asked}" if asked else run.recipe


def judged_on(run: FamilyRun) -> str:
    """Return the words for what the errors of a run are of."""
    if not run.test_partitions:
        return source_of(run)
    return f"{source_of(run)}, test {_partitions_of(run)} {span_of(run.test_partitions)}"


def span_of(partitions: str) -> str:
    """Return a list of partitions in words: ``2012-09 to 2012-12``."""
    names = [each.strip() for each in partitions.split(",")]
    return f"{names[0]} to {names[-1]}" if len(names) > _NAMED else ", ".join(names)


def _partitions_of(run: FamilyRun) -> str:
    try:
        return dataset_of_variant(run.service).partitions[0]
    except InvalidInputError:
        return "partitions"


def same_rows(runs: Sequence[FamilyRun], newest: FamilyRun | None = None) -> list[FamilyRun]:
    """Return the runs whose errors are of the same rows as those of the newest run with errors.

    Parameters
    ----------
    runs
        The newest first.
    newest
        Compare with this one instead.
    """
    newest = newest or next((run for run in runs if not _TESTED.isdisjoint(run.metrics)), None)
    newest = newest or next(iter(runs), None)
    if newest is None:
        return []
    return [run for run in runs if (run.source, run.rows) == (newest.source, newest.rows)]


def same_kind(runs: Sequence[FamilyRun]) -> list[FamilyRun]:
    """Return the runs of generated rows, or of published ones: whichever the newest run is."""
    newest = next(iter(runs), None)
    if newest is None:
        return []
    generated = is_generated(newest.source)
    return [run for run in runs if is_generated(run.source) == generated]


def left_out(runs: Sequence[FamilyRun], compared: Sequence[FamilyRun]) -> str:
    """Return a sentence that says how many runs a comparison leaves out; nothing if none."""
    count = len(runs) - len(compared)
    if not count:
        return ""
    return f" Left out: {count} {'runs' if count > 1 else 'run'} of other rows or another source."

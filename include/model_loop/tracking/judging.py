"""The test rows that versions are compared on: none that any of them has learned from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.errors import InvalidInputError
from model_loop.models.gate import Check
from model_loop.sources.origin import source_label
from model_loop.tracking.learned import Learned
from model_loop.tracking.registry import Answering
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import parts_of, places_of
from model_loop.training_set.types import TrainingSet


@dataclass(frozen=True)
class JudgedRows:
    """The test rows that versions are judged by.

    Parameters
    ----------
    rows
        Raw columns with the target; empty where none are left.
    partitions
        Keys of the partitions that they are of.
    left_out
        A line for each part that was left out, with the version that has learned from it.
    unknown
        Versions of which nobody knows whether they have learned from the rows.
    remedy
        Advice where no row is left, as it continues a sentence.
    """

    rows: pd.DataFrame
    partitions: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    unknown: tuple[int, ...] = ()
    remedy: str = "judge by newer rows, that neither was trained or tuned on"

    def remarks(self, noun: str) -> tuple[str, ...]:
        """Return what the history repeats of the choice; *noun* is the word for rows."""
        parts = [f"left out of the comparison: {line}" for line in self.left_out]
        parts += [
            f"not known whether version {version} has learned from the test {noun}"
            for version in self.unknown
        ]
        return tuple(parts)


def columns_of(training_set: TrainingSet, models: Iterable[Answering]) -> list[str]:
    """List the raw columns that a comparison needs: of the recipe, of every model, and the time."""
    asked = (name for model in models for name in model.inputs)
    time = training_set.dataset.time
    days = () if time is None or time not in training_set.test_rows else (time,)
    return list(dict.fromkeys((*training_set.recipe.columns, *asked, *days)))


def judged_rows(
    training_set: TrainingSet,
    columns: Sequence[str],
    contenders: Sequence[Learned],
    *,
    storage_root: str,
    timeout_seconds: float,
) -> JudgedRows:
    """Choose the test rows of a training set that none of some versions has learned from.

    Parameters
    ----------
    columns
        Raw columns that the versions ask for.
    contenders
        The versions; of one that is unknown, nothing is left out.

    Raises
    ------
    InvalidInputError
        If the training set has no test rows, or they lack a column.
    SourceError, ContractError
        If a dataset reads its rows once more, and they are gone or have changed.
    """
    own = training_set.dataset.extensions.load("judged_rows")
    if own is not None:
        found: JudgedRows = own(
            training_set,
            columns,
            contenders,
            storage_root=storage_root,
            timeout_seconds=timeout_seconds,
        )
        return found
    rows, noun = training_set.test_rows, training_set.dataset.rows[0]
    if rows.empty:
        raise InvalidInputError(
            f"The training set {training_set.digest[:16]}",
            f"has no test {noun}, so that nothing can be compared",
            "Give the split a share of test rows.",
        )
    if lacking := [name for name in columns if name not in rows]:
        raise InvalidInputError(
            f"The test {noun} of the training set {training_set.digest[:16]}",
            f"lack {', '.join(lacking)}, which a version asks for",
            "Train a version with the recipe of the champion.",
        )
    left, left_out, unknown = np.ones(len(rows), dtype=bool), [], []
    for contender in contenders:
        learned = _learned_rows(training_set, contender)
        if learned is None:
            unknown.append(contender.version)
        elif learned.any():
            left &= ~learned
            left_out.append(
                f"{learned.sum():,} {noun}, from which version {contender.version} has learned"
            )
    return JudgedRows(
        rows[left].reset_index(drop=True),
        training_set.partitions("test"),
        tuple(left_out),
        tuple(unknown),
    )


def seen_test_data(learned: Learned, training_set: TrainingSet) -> str:
    """Return which test data of a training set a version has learned from, in words; else nothing.

    Partitions are named; of a table whose rows are split one by one, the rows are counted.
    """
    if isinstance(training_set.request, TableRequest):
        rows = _learned_rows(training_set, learned)
        if rows is None or not rows.any():
            return ""
        return f"{rows.sum():,} of the test {training_set.dataset.rows[0]}"
    digests = {file.partition: file.digest for file in training_set.files}
    test = training_set.partitions("test")
    return ", ".join(each for each in test if learned.has_seen(each, digests[each]))


def _learned_rows(training_set: TrainingSet, contender: Learned) -> npt.NDArray[np.bool_] | None:
    """Return which test rows a version has learned from, shape (rows,); None if nobody knows."""
    request, rows = training_set.request, training_set.test_rows
    theirs = contender.request
    if theirs is None or not isinstance(request, TableRequest):
        return None
    if theirs.split == request.split:
        same = {file.digest for file in training_set.files} == contender.digests
        # Chance puts a row elsewhere when others come before it, and so do shares of each stratum;
        # no other rule does.
        seeded = theirs.random_state == request.random_state and same
        moves = request.split.rule == "shuffle" or request.split.stratify_on
        if seeded or not moves:
            return np.zeros(len(rows), dtype=bool)
        return None
    if theirs.split.rule not in {"time", "group"} or theirs.split.on not in rows:
        return None
    places = places_of(theirs.split, training_set.dataset, rows, theirs.random_state)
    parts = parts_of(theirs.split, places)
    return parts["train"] | parts["validation"] | parts["calibration"]


def unseen_check(rows: JudgedRows, training_set: TrainingSet) -> Check:
    """Make the check that says by which rows is judged, and what they are not.

    It fails where no row is left.
    """
    noun = training_set.dataset.rows[0]
    name, wanted = f"unseen test {noun}", f"test {noun} that neither has learned from"
    if rows.rows.empty:
        found = f"none: {'; '.join(rows.left_out)}"
        return Check(name, passed=False, found=found, wanted=f"{wanted}: {rows.remedy}")
    parts, label = ", ".join(rows.partitions), source_label(training_set.data_source)
    of = f" of {parts}" if parts else ""
    found = f"{len(rows.rows):,} {noun}{of} ({label})"
    return Check(name, passed=True, found="; ".join((found, *rows.remarks(noun))), wanted=wanted)

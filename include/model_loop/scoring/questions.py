"""A few rows that a person or a program asks for, answered by a version that is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from model_loop.datasets.dataset import Moment
from model_loop.datasets.reading import Row
from model_loop.scoring.answers import answer_of
from model_loop.scoring.assumptions import compute_missing
from model_loop.scoring.identifiers import new_ids
from model_loop.scoring.predictor import Predictor
from model_loop.scoring.rows import to_frame
from trip_duration.columns import TRIP_COLUMNS


def answer(
    predictor: Predictor, rows: Sequence[Row], moment: Moment
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Predict a few rows.

    Parameters
    ----------
    moment
        Moment of the version.

    Returns
    -------
    list of Row
        The rows, with what the version needs and was computed.
    list of dict
        Their answers, as JSON.

    Raises
    ------
    InvalidInputError
        If a value that is missing cannot be computed.
    """
    needed = {*predictor.columns} - given_columns(rows)
    complete = compute_missing(rows) if needed & TRIP_COLUMNS.computed else list(rows)
    values = np.array([row.cells for row in complete], dtype=np.float64)
    minutes = predictor.minutes(to_frame(values, predictor.columns)).tolist()
    identifiers = new_ids(len(complete)).astype(str).tolist()
    version = predictor.version.number
    answers = [
        msgspec.to_builtins(answer_of(row, took, identifier, version, moment))
        for row, took, identifier in zip(complete, minutes, identifiers, strict=True)
    ]
    return complete, answers


def given_columns(rows: Sequence[Row]) -> set[str]:
    """Return the columns, by names in frames, that every row has."""
    return {
        name
        for place, name in enumerate(TRIP_COLUMNS.names)
        # Only NaN differs from itself.
        if all(row.cells[place] == row.cells[place] for row in rows)
    }

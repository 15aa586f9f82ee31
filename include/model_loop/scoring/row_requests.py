"""A few rows that a person or a program asks for, answered by a version that is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.reading import Row
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.scoring.answers import NOTICES, answer_maker, class_in_words
from model_loop.scoring.assumptions import compute_missing
from model_loop.scoring.identifiers import new_ids
from model_loop.scoring.limits import limits_in_words
from model_loop.scoring.notices import notices_of, settled
from model_loop.scoring.outcomes import answers_of_rows
from model_loop.scoring.predictor import Predictor
from model_loop.scoring.reasons import Explain, reasons_in_words, reasons_of_rows
from model_loop.scoring.rows import as_rows, known_columns, to_frame


def predict_rows(
    predictor: Predictor,
    rows: Sequence[Row],
    moment: Moment,
    level: float = DEFAULT_LEVEL,
    explain: Explain | None = None,
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Predict a few rows.

    Parameters
    ----------
    moment
        Moment of the version.
    level
        Percentage of true values that the intervals or sets are to hold, from 50 to 99.
    explain
        Computes the reasons of the predictions; None where they are not asked for.

    Returns
    -------
    list of Row
        The rows, with what the version needs and was computed.
    list of dict
        Their answers, as JSON.

    Raises
    ------
    InvalidInputError
        If a value that is missing cannot be computed, or the level is out of its bounds.
    """
    dataset = predictor.version.dataset
    needed = {*predictor.columns} - given_columns(dataset, rows)
    complete = list(rows)
    if needed & dataset.columns.computed:
        complete = compute_missing(dataset, rows)
    complete = [*settled(predictor.watch, complete)]
    cells = [row.cells for row in complete]
    values = as_rows(dataset, cells)
    predicted = predictor.predict(to_frame(dataset, values, predictor.columns))
    identifiers = new_ids(len(complete)).astype(str).tolist()
    version, make, watch = predictor.version.number, answer_maker(dataset), predictor.watch
    predictions, limits = answers_of_rows(
        predictor.deciding,
        predictor.intervals,
        dataset,
        level,
        predicted,
        cells,
        predictor.correction,
    )
    answers = [
        make(row, value, identifier, version, moment, notices_of(watch, row), around)
        for row, value, identifier, around in zip(
            complete, predictions, identifiers, limits, strict=True
        )
    ]
    if explain is not None:
        reasons = reasons_of_rows(explain, dataset, values, predicted)
        for one, own in zip(answers, reasons, strict=True):
            one.reasons = own
    return complete, msgspec.to_builtins(answers)


def in_words(dataset: Dataset, row: Row, answered: Mapping[str, Any]) -> str:
    """Return an answer in one sentence, and its reasons in another one.

    The first is that of the dataset, or tells value, unit and version.
    """
    because, summary = (
        reasons_in_words(dataset.target, answered),
        dataset.extensions.load("summary"),
    )
    if summary is not None:
        return f"{summary(row, answered)}{because}"
    notes = [f" Note: {notice['message']}." for notice in answered.get(NOTICES, ())]
    title = dataset.target.title or dataset.target.name
    # The letters of kW and the like stay.
    begin = title if title[1:2].isupper() else f"{title[:1].upper()}{title[1:]}"
    if dataset.target.is_classified:
        said = class_in_words(dataset.target.labels, answered)
    else:
        value = dataset.target.with_unit(f"{answered['prediction']:.4g}")
        said = f"about {value}{limits_in_words(answered)}"
    return f"{begin}: {said}, says version {answered['model_version']}." + "".join(notes) + because


def given_columns(dataset: Dataset, rows: Sequence[Row]) -> set[str]:
    """Return the columns, by names in frames, that every row has."""
    return known_columns(dataset, [row.cells for row in rows])

"""Queries of the request log, and the statements that note feedback and remove old entries."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Select, delete, func, insert, select

from model_loop.datasets.classes import Classes, Label
from model_loop.datasets.dataset import Dataset
from model_loop.errors import ModelLoopError
from model_loop.scoring.answers import ACTUAL, PREDICTION, actual_name, answered
from model_loop.scoring.limits import LABEL, free_name, limit_names
from model_loop.serving.request_log.inputs import (
    columns_of_their_own,
    dataset_of_logged,
    read_inputs,
)
from model_loop.serving.request_log.tables import (
    ACTUAL_LABEL,
    LIMITS,
    OF_CLASSES,
    declarations,
    dropped,
    feedback,
    losses,
    predictions,
)

#: Old predictions that are removed in one transaction, at most: others wait for the database.
REMOVED = 10_000

#: Ids that one statement names, at most.
_IDS = 500


def logged_rows() -> Select[Any]:
    """Select predictions with their true values, and the declarations by which they were read."""
    by = declarations.c.declaration == predictions.c.declaration
    given = feedback.c.prediction_id == predictions.c.prediction_id
    return (
        select(
            predictions, feedback.c.actual_minutes, feedback.c[ACTUAL_LABEL], declarations.c.text
        )
        .join(feedback, given, isouter=True)
        .join(declarations, by, isouter=True)
    )


def note_declarations(engine: Engine, texts: Mapping[str, str]) -> None:
    """Keep stored declarations by their digests; those that are there already stay."""
    with engine.begin() as connection:
        there = set(connection.scalars(select(declarations.c.declaration)))
        if new := [name for name in texts if name not in there]:
            connection.execute(
                insert(declarations),
                [{"declaration": name, "text": texts[name]} for name in new],
            )


def find_declaration(engine: Engine, digest: str) -> str:
    """Return a stored declaration by its digest; empty if the log does not have it."""
    query = select(declarations.c.text).where(declarations.c.declaration == digest)
    with engine.connect() as connection:
        return connection.scalar(query) or ""


def find_prediction(
    engine: Engine, prediction_id: str, variants: Collection[str] | None = None
) -> dict[str, Any] | None:
    """Return a prediction that is in the log, with its feedback; None if it is not.

    Parameters
    ----------
    variants
        Keys of the variants whose predictions are looked at; all by default.
    """
    known = logged_rows()
    with engine.connect() as connection:
        query = known.where(predictions.c.prediction_id == prediction_id, *_of(variants))
        row = connection.execute(query).mappings().first()
    return _named({**row}) if row else None


#: Name of the probability that the log counts with: that of the positive class of two, and of the
#: predicted one of several.
PROBABILITY = "probability"

#: Columns of a logged prediction that have other names for people.
STORED = (
    *("minutes", "shadow_minutes", "actual_minutes", "inputs", "text"),
    *(*OF_CLASSES, ACTUAL_LABEL),
)


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a logged prediction by the names that its dataset gives."""
    try:
        dataset = dataset_of_logged(row["service"], row["text"])
    except ModelLoopError:
        # It was removed, and what it has answered is still there.
        return {**row}
    own = {column.field for column in columns_of_their_own()}
    former = dataset.target.former
    own |= {*STORED, *LIMITS, *(() if row["declaration"] else ("declaration",))}
    plain = {name: value for name, value in row.items() if name not in own}
    inputs = read_inputs(dataset, row)
    named = {
        **plain,
        **inputs,
        **{name: row[stored] for name, stored in zip(limit_names(inputs), LIMITS, strict=True)},
        **answered(dataset.target, row["minutes"], row["version"]),
        f"shadow_{former or PREDICTION}": row["shadow_minutes"],
        actual_name(dataset.target): row["actual_minutes"],
    }
    return named | _of_classes(dataset, row) if dataset.target.is_classified else named


def _of_classes(dataset: Dataset, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is logged of a class by the names of answers: `prediction` is its label."""

    def label(text: str | None) -> Label | None:
        classes = dataset.target.classes
        return text if text is None or classes is None else native_label(classes, text)

    taken, said = dataset.columns.fields, {name: row[name] for name in OF_CLASSES[1:]}
    return {
        PREDICTION: label(row[LABEL]),
        free_name(PROBABILITY, taken): row["minutes"],
        **{
            free_name(name, taken): text and msgspec.json.decode(text)
            for name, text in said.items()
        },
        ACTUAL: label(row[ACTUAL_LABEL]),
    }


def native_label(classes: Classes, text: str) -> Label:
    """Return a label of the log as answers have it; one that no class has any longer as text."""
    code = classes.codes.get(text)
    return text if code is None else classes.labels[code]


def find_known(engine: Engine, ids: Sequence[str]) -> set[str]:
    """Return the ids of predictions that are in the log."""
    with engine.connect() as connection:
        return _known(connection, ids)


def note_feedback(
    engine: Engine,
    actual: Mapping[str, float | Label],
    caller: str,
    variants: Collection[str] | None = None,
    classes: Classes | None = None,
) -> list[str]:
    """Note true values; see `RequestLog.add_feedback`."""
    now = time.time()
    with engine.begin() as connection:
        known = _known(connection, list(actual), variants)
        if unknown := [one for one in actual if one not in known]:
            return unknown
        for some in _some(list(actual)):
            given = feedback.c.prediction_id.in_(some)
            connection.execute(delete(feedback).where(given))
        connection.execute(
            insert(feedback),
            [
                {
                    "prediction_id": one,
                    "at": now,
                    "actual_minutes": value if classes is None else classes.code(value),
                    "caller": caller,
                    ACTUAL_LABEL: None if classes is None else str(value),
                }
                for one, value in actual.items()
            ],
        )
    return []


def note_losses(engine: Engine, lost: dict[str, int]) -> None:
    """Note losses in all by the spool that has counted them: noting them again changes nothing."""
    now = time.time()
    with engine.begin() as connection:
        connection.execute(delete(losses).where(losses.c.spool.in_(lost)))
        connection.execute(
            insert(losses),
            [{"spool": name, "at": now, "predictions": count} for name, count in lost.items()],
        )


def count_lost(connection: Connection) -> int:
    """Predictions that were answered and are not in the log, as far as the log knows."""
    return sum(
        connection.scalar(select(func.sum(table.c.predictions))) or 0 for table in (dropped, losses)
    )


def remove_older(engine: Engine, than: float, most: int = REMOVED) -> int:
    """Remove predictions that were made before a time, with their feedback.

    Parameters
    ----------
    most
        The oldest so many of them; the others stay for the next time.

    Returns
    -------
    int
        How many were removed.
    """
    at, one = predictions.c.at, predictions.c.prediction_id
    old = select(one).where(at < than).order_by(at, one).limit(most)
    with engine.begin() as connection:
        connection.execute(delete(feedback).where(feedback.c.prediction_id.in_(old)))
        removed = connection.execute(delete(predictions).where(one.in_(old))).rowcount
        for table in (dropped, losses):
            connection.execute(delete(table).where(table.c.at < than))
    return removed


def _known(
    connection: Connection, ids: Sequence[str], variants: Collection[str] | None = None
) -> set[str]:
    """Select the ids of predictions that are in the log."""
    column = predictions.c.prediction_id
    return {
        one
        for some in _some(ids)
        for one in connection.scalars(select(column).where(column.in_(some), *_of(variants)))
    }


def _of(variants: Collection[str] | None) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a prediction is of some variants."""
    return () if variants is None else (predictions.c.service.in_(variants),)


def _some(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Parts that are short enough for one statement."""
    for first in range(0, len(ids), _IDS):
        yield ids[first : first + _IDS]

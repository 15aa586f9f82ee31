"""Answers to the questions of a draft: those that were given, and the defaults of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model_loop.datasets.classes import TaskKind

#: Answer that there is no such column.
NONE = "none"
DateOrder = Literal["day_first", "month_first"]


@dataclass(frozen=True)
class DraftAnswers:
    """DraftAnswers that a draft does not have to guess.

    Parameters
    ----------
    name
        Name of the dataset, which never changes; made of the file's by default.
    title
        Title, for people.
    owner
        Address that is mailed about failures.
    unit
        Unit of the target, as people write it.
    task
        Kind of the prediction: a number (`regression`), yes or no (`binary`) or which of several
        classes (`multiclass`); by default what the values of the target show.
    positive_class
        Label of the target whose probability is predicted, where there are two; by default the one
        that is called yes, true, 1 or the like, else the rarer one.
    known_later
        Column whose value is known only after the prediction. Repeat it for several.
    known_at_request
        Column that was asked about, and is known when a prediction is requested. Repeat it for
        several.
    time_column
        Column of the row's time, by which rows are split; `none` if the table has none. Found in
        the columns by default.
    group_on
        Column of the entity whose rows stay together; `none` if they need not.
    shuffle
        Split the rows at random.
    date_order
        Order of day and month in dates that can be read in both.
    stored_in
        Time zone on whose clocks times without an offset are written; by default what the rows
        show, or that of the place.
    time_zone
        Time zone of the place, whose days and hours count, such as Europe/Berlin; UTC by default.
    """

    name: str | None = None
    title: str | None = None
    owner: str | None = None
    unit: str | None = None
    task: TaskKind | None = None
    positive_class: str | None = None
    known_later: tuple[str, ...] = ()
    known_at_request: tuple[str, ...] = ()
    time_column: str | None = None
    group_on: str | None = None
    shuffle: bool = False
    date_order: DateOrder | None = None
    stored_in: str | None = None
    time_zone: str | None = None

"""Answers to the questions of a draft: those that were given, and the defaults of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Answer that there is no such column.
NONE = "none"
DateOrder = Literal["day_first", "month_first"]


@dataclass(frozen=True)
class Answers:
    """Answers that a draft does not have to guess.

    Parameters
    ----------
    name, title, owner, unit
        As in the declaration; the name is made of the file's by default.
    known_later
        Columns whose value is known only after the prediction.
    known_at_request
        Columns that were asked about, and are known when a prediction is requested.
    time_column
        Column of the row's time; ``none`` if it has none. Found by default.
    group_on
        Column of the entity whose rows stay together; ``none`` if they need not.
    shuffle
        Whether rows are split at random.
    date_order
        Order of day and month where the values allow both.
    stored_in, time_zone
        Time zone of the values of the time, and of the place.
    """

    name: str | None = None
    title: str | None = None
    owner: str | None = None
    unit: str | None = None
    known_later: tuple[str, ...] = ()
    known_at_request: tuple[str, ...] = ()
    time_column: str | None = None
    group_on: str | None = None
    shuffle: bool = False
    date_order: DateOrder | None = None
    stored_in: str | None = None
    time_zone: str | None = None

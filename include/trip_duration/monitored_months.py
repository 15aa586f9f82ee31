"""Published months as windows of monitoring."""

from __future__ import annotations

from collections.abc import Sequence

from model_loop.monitoring.windows import Window, WindowRows, of_rows
from model_loop.scoring.predictor import Predictor
from trip_duration.cleaning import Selection, clean_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth
from trip_duration.months import Month
from trip_duration.services import get_service


def month_window(service: str, month: Month) -> Window:
    """Return the window of a month, which begins at midnight on the city's clocks."""
    return Window.of_partition(service, str(month))


def of_month(
    month: CheckedMonth,
    columns: Sequence[str],
    rules: CleaningRules,
    predictor: Predictor | None = None,
) -> WindowRows:
    """Return the trips of a published month, cleaned as for training, with how long they took.

    Parameters
    ----------
    columns
        Raw columns that are wanted.
    predictor
        The version that predicts them; None leaves them without predictions.

    Raises
    ------
    ContractError
        If the file is damaged, or no trip is left.
    """
    service = get_service(month.raw.service)
    trips = clean_month(month, service, Selection(tuple(columns), rules))
    window = month_window(service.name, Month.parse(month.raw.month))
    return of_rows(window, trips, columns, predictor)

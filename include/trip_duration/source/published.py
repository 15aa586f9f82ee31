"""Months as sources publish them: their versions, and those that a retraining takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.errors import InvalidInputError
from model_loop.sources.cache import FileVersion
from trip_duration.months import Month, MonthSplit, parse_months
from trip_duration.services import get_service
from trip_duration.settings import get_trip_settings
from trip_duration.source.fetching import look_up_month


def find_version(
    source: str, service: str, month: str, timeout_seconds: float
) -> FileVersion | None:
    """Return the version of a month at a source; see `look_up_month`."""
    known = get_service(service), Month.parse(month)
    return look_up_month(source, *known, timeout_seconds=timeout_seconds)


def newest_configured() -> str:
    """Return the newest month that the settings name.

    Raises
    ------
    InvalidInputError
        If they name none.
    """
    known = get_trip_settings()
    named = [known.train_months, known.validation_months, known.test_months]
    months = [month for text in named for month in parse_months(text)]
    if not months:
        raise InvalidInputError(
            "The settings", "name no month", "Set MODEL_LOOP_TRAIN_MONTHS, for example 2024-01."
        )
    return str(max(months))


def retrained_on(newest: str, form: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the months of a retraining that is judged by the newest month."""
    split = MonthSplit.ending_at(Month.parse(newest), form["train_months_count"])
    return {
        "train_months": [str(month) for month in split.train],
        "validation_months": [str(month) for month in split.validation],
        "test_months": [str(month) for month in split.test],
    }

"""Fields that several forms have, and the sections that they stand in."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from airflow.sdk import Param

from model_loop.settings import get_settings
from model_loop.trips.months import MONTH_PATTERN, parse_months
from model_loop.trips.services import SERVICES

Form = dict[str, Param]

#: A field `moment` that is left open.
ANY_MOMENT = "any"


class Section(StrEnum):
    """Headings of a form."""

    DATA = "Data"
    MODEL_INPUT = "What the model knows"
    SEARCH = "Search"
    TERMINATION = "Early termination"
    SELECTION = "Feature selection"
    MODELS = "Models"
    ACTION = "Action"
    GATE = "Gate"
    RETENTION = "What is kept"
    WINDOW = "Months"
    TRIP = "Trip"
    LIST = "Several trips"
    MODEL = "Model"
    FILES = "What to score"
    MONTHS = "Or whole months"
    HOW = "How"
    WATCHED = "What to look at"
    JUDGED = "When to act"


def service_field(section: str) -> Param:
    """Whose trips."""
    return choice_field(
        get_settings().service,
        {name: service.title for name, service in SERVICES.items()},
        "Service",
        "Whose trips.",
        section=section,
    )


def version_field(section: str, left_empty: str) -> Param:
    """A number in the registry, and what it is where the field is left empty."""
    return Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Version",
        description=f"Number in the registry. Left empty, {left_empty}.",
        section=section,
    )


def months_field(default: str, title: str, description: str, least: int) -> Param:
    """A list of months, with at least so many."""
    return Param(
        [str(month) for month in parse_months(default)],
        # An empty field of the form is null; only one that may be empty takes it.
        type="array" if least else ["null", "array"],
        items={"type": "string", "pattern": MONTH_PATTERN},
        minItems=least,
        title=title,
        description=description,
        section=Section.DATA,
    )


def choice_field(
    default: str,
    choices: dict[str, str],
    title: str,
    description: str,
    *,
    section: str = Section.SEARCH,
) -> Param:
    """One of some values, each with a title."""
    return Param(
        default,
        type="string",
        enum=list(choices),
        values_display=choices,
        title=title,
        description=description,
        section=section,
    )


def share_field(
    default: float,
    title: str,
    description: str,
    *,
    section: str = Section.TERMINATION,
    **bounds: Any,  # noqa: ANN401 - JSON schema
) -> Param:
    """A share, or another number that is not negative."""
    return Param(
        default,
        type="number",
        minimum=0,
        title=title,
        description=description,
        section=section,
        **bounds,
    )


def number_field(
    default: int,
    title: str,
    description: str,
    *,
    section: str = Section.SEARCH,
    **bounds: int,
) -> Param:
    """A whole number that is not negative."""
    limits: dict[str, Any] = {"minimum": 0, **bounds}
    return Param(
        default, type="integer", title=title, description=description, section=section, **limits
    )

"""The trigger forms: what a person may set before a run, with titles, help, bounds and choices."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from trip_duration.models.catalogue import FAMILIES, SKLEARN_FAMILIES
from trip_duration.models.search import SEARCH_ALGORITHMS
from trip_duration.settings import get_settings
from trip_duration.training_set.recipes import ENCODINGS, RECIPES
from trip_duration.trips.months import MONTH_PATTERN, parse_months
from trip_duration.trips.services import SERVICES

Form = dict[str, Param]

_DATA = "Data"
_MODEL_INPUT = "What the model knows"
_SEARCH = "Search"
_RETENTION = "What is kept"


def source_form() -> Form:
    """The field that says where months come from."""
    return {
        "source": Param(
            get_settings().source,
            type="string",
            minLength=1,
            title="Source of the months",
            description="sample (generated trips), tlc (TLC's own site), a folder, s3://, or an "
            "https:// address.",
            section=_DATA,
        )
    }


def preparation_form() -> Form:
    """Fields of the DAG that prepares training sets."""
    return {
        **data_form(),
        "rebuild": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Build again",
            description="Build the training set even if the source has not changed since the last "
            "time.",
            section=_DATA,
        ),
    }


def data_form() -> Form:
    """Fields of every DAG that needs a training set."""
    settings = get_settings()
    return {
        **source_form(),
        "service": Param(
            settings.service,
            type="string",
            enum=list(SERVICES),
            values_display={name: service.title for name, service in SERVICES.items()},
            title="Service",
            description="Whose trips.",
            section=_DATA,
        ),
        "train_months": _months(
            settings.train_months, "Train months", "Months to learn from, one a line: 2024-01.", 1
        ),
        "validation_months": _months(
            settings.validation_months,
            "Validation months",
            "Months to tune on. They follow the train months.",
            1,
        ),
        "test_months": _months(
            settings.test_months,
            "Test months",
            "Months that tuning never sees; may be empty. They follow the validation months.",
            0,
        ),
        "minimum_duration": Param(
            settings.minimum_duration,
            type="number",
            minimum=0,
            title="Shortest trip (minutes)",
            description="Shorter trips are left out.",
            section=_DATA,
        ),
        "maximum_duration": Param(
            settings.maximum_duration,
            type="number",
            exclusiveMinimum=0,
            title="Longest trip (minutes)",
            description="Longer trips are left out.",
            section=_DATA,
        ),
        "recipe": Param(
            "rich",
            type="string",
            enum=list(RECIPES),
            values_display={name: f"{name}: {recipe.title}" for name, recipe in RECIPES.items()},
            title="Recipe",
            description="Which columns of a trip the model may know.",
            section=_MODEL_INPUT,
        ),
        "encoding": Param(
            "native",
            type="string",
            enum=list(ENCODINGS),
            values_display={
                "native": "native: what suits each model family",
                "one_hot": "one_hot: the course's matrix, exactly",
            },
            title="Encoding",
            description="In which form the model gets them.",
            section=_MODEL_INPUT,
        ),
    }


def training_form() -> Form:
    """Fields of every training DAG."""
    settings = get_settings()
    return {
        **data_form(),
        "max_age_seconds": _number(
            settings.max_age_seconds,
            "Age of the training set (seconds)",
            "A training set is used again without asking its source for so long; 0 always asks. "
            "It is rebuilt only if the source has changed.",
            section=_DATA,
        ),
        "max_evaluations": _number(
            settings.max_evaluations,
            "Evaluations",
            "Trials per model family.",
            minimum=1,
            maximum=1_000,
        ),
        "search_algorithm": Param(
            "tpe",
            type="string",
            enum=list(SEARCH_ALGORITHMS),
            values_display={
                "tpe": "tpe: tree-structured Parzen estimators",
                "random": "random search",
                "anneal": "anneal: simulated annealing",
            },
            title="Search algorithm",
            description="How the next trial is chosen.",
            section=_SEARCH,
        ),
        "random_state": _number(
            42, "Random state", "Seed of the search and of every fit: same seed, same result."
        ),
        "early_stopping_rounds": _number(
            20,
            "Early stopping rounds",
            "XGBoost ends a trial when validation has not improved for so many rounds.",
            minimum=1,
            maximum=200,
        ),
        "time_budget_seconds": _number(
            0,
            "Time budget (seconds)",
            "Start no further trial of a family after so long; 0 sets no limit.",
        ),
    }


def sklearn_form() -> Form:
    """Fields of the DAG that trains the scikit-learn families."""
    return {
        "models": Param(
            list(SKLEARN_FAMILIES),
            type="array",
            items={"type": "string", "enum": list(SKLEARN_FAMILIES)},
            examples=list(SKLEARN_FAMILIES),
            values_display={name: FAMILIES[name].title for name in SKLEARN_FAMILIES},
            minItems=1,
            uniqueItems=True,
            title="Model families",
            description="Which families to tune and train, side by side.",
            section="Models",
        ),
        **training_form(),
    }


def maintenance_form() -> Form:
    """Fields of the DAG that removes what nobody needs any more."""
    settings = get_settings()
    return {
        "versions": _number(
            settings.retention_versions,
            "Versions kept",
            "Newest training sets of each service, recipe and encoding that are never removed.",
            section=_RETENTION,
        ),
        "days": Param(
            settings.retention_days,
            type="number",
            minimum=0,
            title="Days kept",
            description="Older training sets and months stay if they were used within so many "
            "days.",
            section=_RETENTION,
        ),
        "only_look": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Only look",
            description="List what would be removed, and remove nothing.",
            section=_RETENTION,
        ),
    }


def _months(default: str, title: str, description: str, least: int) -> Param:
    return Param(
        [str(month) for month in parse_months(default)],
        # An empty field of the form is null; only one that may be empty takes it.
        type="array" if least else ["null", "array"],
        items={"type": "string", "pattern": MONTH_PATTERN},
        minItems=least,
        title=title,
        description=description,
        section=_DATA,
    )


def _number(
    default: int,
    title: str,
    description: str,
    *,
    section: str = _SEARCH,
    **bounds: int,
) -> Param:
    limits: dict[str, Any] = {"minimum": 0, **bounds}
    return Param(
        default, type="integer", title=title, description=description, section=section, **limits
    )

"""Forms of the DAGs that train."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import FAMILIES, SKLEARN_FAMILIES
from model_loop.models.search import FeatureSelection, SearchRequest
from model_loop.models.termination import EarlyTermination
from model_loop.orchestration.forms.data import data_form
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    option_fields,
    setting_field,
)
from model_loop.settings import get_settings
from model_loop.settings.part import split_list


def training_form(dataset: Dataset) -> FormFields:
    """Return the fields of every training DAG."""
    age = setting_field("max_age_seconds", Section.DATA)
    return {**data_form(dataset), "max_age_seconds": age, **search_form()}


def search_form() -> FormFields:
    """Return the fields that say how settings are searched."""
    return {
        **option_fields(SearchRequest, Section.SEARCH),
        **option_fields(EarlyTermination, Section.TERMINATION),
        **option_fields(FeatureSelection, Section.SELECTION),
    }


def sklearn_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that trains the scikit-learn families."""
    return {**models_form(), **training_form(dataset)}


def models_form() -> FormFields:
    """Fields that say which scikit-learn families are trained."""
    return {
        "models": Param(
            _usual_models(),
            type="array",
            items={"type": "string", "enum": list(SKLEARN_FAMILIES)},
            examples=list(SKLEARN_FAMILIES),
            values_display={name: FAMILIES[name].title for name in SKLEARN_FAMILIES},
            uniqueItems=True,
            title="Model families",
            description="Families to tune and train, side by side.",
            section=Section.MODELS,
        ),
        "extra_models": Param(
            {},
            type="object",
            additionalProperties={"type": "object"},
            title="Further models",
            description="Other regressors of scikit-learn with their search spaces, for example "
            '{"neighbors.KNeighborsRegressor": {"n_neighbors": {"low": 5, "high": 50}, '
            '"weights": ["uniform", "distance"]}}. Fixed settings alone are one trial: '
            '{"tree.DecisionTreeRegressor": {"max_depth": 3}}.',
            section=Section.MODELS,
        ),
    }


def _usual_models() -> list[str]:
    """Return the families that the settings name, or all.

    Raises
    ------
    InvalidInputError
        If the settings name a family that is not there.
    """
    listed = split_list(get_settings().sklearn_models)
    unknown = [name for name in listed if name not in SKLEARN_FAMILIES]
    if unknown:
        raise InvalidInputError(
            f"MODEL_LOOP_SKLEARN_MODELS={get_settings().sklearn_models}",
            f"names families that are not scikit-learn's: {', '.join(unknown)}",
            f"Use {', '.join(SKLEARN_FAMILIES)}, separated by commas.",
        )
    return list(dict.fromkeys(listed)) or list(SKLEARN_FAMILIES)

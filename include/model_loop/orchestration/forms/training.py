"""Forms of the DAGs that train."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.classes import TaskKind
from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import families_for, sklearn_families
from model_loop.models.search import FeatureSelection, SearchRequest, primary_metrics
from model_loop.models.termination import EarlyTermination
from model_loop.options import options_of
from model_loop.orchestration.forms.data import data_form
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    choice_field,
    option_fields,
    setting_field,
)
from model_loop.settings import get_settings
from model_loop.settings.part import split_list

#: Examples of further models, as the form shows them.
_REGRESSORS = (
    '{"neighbors.KNeighborsRegressor": {"n_neighbors": {"low": 5, "high": 50}, '
    '"weights": ["uniform", "distance"]}}. Fixed settings alone are one trial: '
    '{"tree.DecisionTreeRegressor": {"max_depth": 3}}.'
)
_CLASSIFIERS = (
    '{"ensemble.HistGradientBoostingClassifier": {"max_iter": {"low": 20, "high": 200}, '
    '"learning_rate": [0.05, 0.1]}}. Fixed settings alone are one trial: '
    '{"tree.DecisionTreeClassifier": {"max_depth": 3}}.'
)


def training_form(dataset: Dataset) -> FormFields:
    """Return the fields of every training DAG."""
    age = setting_field("max_age_seconds", Section.DATA)
    return {**data_form(dataset), "max_age_seconds": age, **search_form(dataset)}


def search_form(dataset: Dataset) -> FormFields:
    """Return the fields that say how settings are searched, with the metrics of the target."""
    fields = option_fields(SearchRequest, Section.SEARCH)
    metric = options_of(SearchRequest)["primary_metric"]
    fields["primary_metric"] = choice_field(
        primary_metrics(dataset.target)[0],
        {name: metric.choices[name] for name in primary_metrics(dataset.target)},
        metric.title,
        metric.description,
    )
    return {
        **fields,
        **option_fields(EarlyTermination, Section.TERMINATION),
        **option_fields(FeatureSelection, Section.SELECTION),
    }


def sklearn_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that trains the scikit-learn families."""
    return {**models_form(dataset), **training_form(dataset)}


def models_form(dataset: Dataset) -> FormFields:
    """Fields that say which scikit-learn families are trained."""
    kind = dataset.target.kind
    names, families = sklearn_families(kind), families_for(kind)
    learners, example = "regressors", _REGRESSORS
    if dataset.target.is_classified:
        learners, example = "classifiers", _CLASSIFIERS
    return {
        "models": Param(
            _usual_models(kind),
            type="array",
            items={"type": "string", "enum": list(names)},
            examples=list(names),
            values_display={name: families[name].title for name in names},
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
            description=f"Other {learners} of scikit-learn with their search spaces, for example "
            f"{example}",
            section=Section.MODELS,
        ),
    }


def _usual_models(kind: TaskKind) -> list[str]:
    """Return the families of a kind of target that the settings name, or all.

    Raises
    ------
    InvalidInputError
        If the settings name a family that is not there.
    """
    listed = split_list(get_settings().sklearn_models)
    known = [*sklearn_families("regression"), *sklearn_families("binary")]
    unknown = [name for name in listed if name not in known]
    if unknown:
        raise InvalidInputError(
            f"MODEL_LOOP_SKLEARN_MODELS={get_settings().sklearn_models}",
            f"names families that are not scikit-learn's: {', '.join(unknown)}",
            f"Use {', '.join(known)}, separated by commas.",
        )
    names = sklearn_families(kind)
    return [name for name in dict.fromkeys(listed) if name in names] or list(names)

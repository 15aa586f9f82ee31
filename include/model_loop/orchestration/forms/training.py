"""Forms of the DAGs that train."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import FAMILIES, SKLEARN_FAMILIES
from model_loop.models.search import LARGEST_SEED, FeatureSelection
from model_loop.models.termination import EarlyTermination
from model_loop.orchestration.forms.data import data_form
from model_loop.orchestration.forms.fields import (
    Form,
    Section,
    choice_field,
    number_field,
    share_field,
)
from model_loop.settings import get_settings
from model_loop.settings.part import split_list


def training_form() -> Form:
    """Fields of every training DAG."""
    settings = get_settings()
    return {
        **data_form(),
        "max_age_seconds": number_field(
            settings.max_age_seconds,
            "Age of the training set (seconds)",
            "A training set is used again without asking its source for so long; 0 always asks. "
            "It is rebuilt only if the source has changed.",
            section=Section.DATA,
        ),
        **search_form(),
    }


def search_form() -> Form:
    """Fields that say how settings are searched."""
    return {
        "max_evaluations": number_field(
            get_settings().max_evaluations,
            "Evaluations",
            "Trials per model family.",
            minimum=1,
            maximum=1_000,
        ),
        "search_algorithm": choice_field(
            "tpe",
            {
                "tpe": "tpe: tree-structured Parzen estimators, after a random half (5 to 20)",
                "random": "random search",
                "anneal": "anneal: simulated annealing",
                "grid": "grid: the finest that the evaluations allow",
            },
            "Search algorithm",
            "How the next trial is chosen.",
        ),
        "primary_metric": choice_field(
            "rmse",
            {
                "rmse": "rmse: root mean squared error, lower is better",
                "mse": "mse: mean squared error, lower is better",
                "mae": "mae: mean absolute error, lower is better",
                "r2": "r2: coefficient of determination, higher is better",
                "rae": "rae: relative absolute error, lower is better",
                "rse": "rse: relative squared error, lower is better",
            },
            "Primary metric",
            "What decides which trial is the best.",
        ),
        "random_state": number_field(
            42,
            "Random state",
            "Seed of the search and of every fit: same seed, same result.",
            maximum=LARGEST_SEED,
        ),
        "early_stopping_rounds": number_field(
            50,
            "Early stopping rounds",
            "XGBoost ends a trial when validation has not improved for so many rounds.",
            minimum=1,
            maximum=200,
        ),
        "time_budget_seconds": number_field(
            0,
            "Time budget (seconds)",
            "Start no further trial of a family after so long, but at least one; 0 sets no limit.",
        ),
        "patience_evaluations": number_field(
            0,
            "Patience (evaluations)",
            "End a search when so many trials in a row were no better; 0 sets no limit.",
        ),
        **early_termination_form(),
        **feature_selection_form(),
    }


def early_termination_form() -> Form:
    """Fields that say which trials are given up before they end."""
    rule = EarlyTermination()
    return {
        "early_termination": choice_field(
            "truncation",
            {
                "none": "none: every trial ends by itself",
                "bandit": "bandit: too far behind the best",
                "median": "median: worse than the median of the averages",
                "truncation": "truncation: among the worst",
            },
            "Early termination",
            "Which trials are given up, by their learning curves.",
            section=Section.TERMINATION,
        ),
        "evaluation_interval": number_field(
            rule.evaluation_interval,
            "Evaluation interval",
            "Look at a trial after every so many intervals of its learning curve.",
            section=Section.TERMINATION,
            minimum=1,
        ),
        "delay_evaluations": number_field(
            rule.delay_evaluations,
            "Delay (intervals)",
            "Let every trial go on for so many intervals first.",
            section=Section.TERMINATION,
        ),
        "slack_factor": share_field(
            rule.slack_factor, "Slack factor", "bandit: how far above the best, as a share of it."
        ),
        "slack_amount": share_field(
            rule.slack_amount,
            "Slack amount (minutes)",
            "bandit: the same in minutes; used in place of the factor where it is not 0.",
        ),
        "truncation_share": share_field(
            rule.truncation_share,
            "Truncation share",
            "truncation: share of the worst.",
            maximum=0.95,
        ),
    }


def feature_selection_form() -> Form:
    """Fields that say which columns of the design matrix are used."""
    rule = FeatureSelection()
    return {
        "feature_selection": choice_field(
            rule.method,
            {
                "none": "none: all columns",
                "correlation": "correlation with the duration",
                "chi2": "chi²: between the column and ten groups of durations",
                "mutual_information": "mutual information with the duration",
                "permutation": "permutation: what XGBoost loses when a column is shuffled",
            },
            "Feature selection",
            "How columns are chosen, by the train months alone.",
            section=Section.SELECTION,
        ),
        "selected_share": share_field(
            rule.share,
            "Selected share",
            "Share of the columns that is kept.",
            section=Section.SELECTION,
            maximum=1,
        ),
    }


def sklearn_form() -> Form:
    """Fields of the DAG that trains the scikit-learn families."""
    return {**models_form(), **training_form()}


def models_form() -> Form:
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
            description="Which families to tune and train, side by side.",
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
            f"names what is no family of scikit-learn here: {', '.join(unknown)}",
            f"Use {', '.join(SKLEARN_FAMILIES)}, separated by commas.",
        )
    return list(dict.fromkeys(listed)) or list(SKLEARN_FAMILIES)

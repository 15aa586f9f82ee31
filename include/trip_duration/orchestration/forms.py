"""The trigger forms: what a person may set before a run, with titles, help, bounds and choices."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from trip_duration.models.catalogue import FAMILIES, SKLEARN_FAMILIES
from trip_duration.models.gate_rules import GateRules
from trip_duration.models.search import FeatureSelection
from trip_duration.models.termination import EarlyTermination
from trip_duration.settings import get_settings
from trip_duration.training_set.recipes import ENCODINGS, RECIPES
from trip_duration.trips.months import MONTH_PATTERN, parse_months
from trip_duration.trips.services import SERVICES

Form = dict[str, Param]

_DATA = "Data"
_MODEL_INPUT = "What the model knows"
_SEARCH = "Search"
_TERMINATION = "Early termination"
_SELECTION = "Feature selection"
_MODELS = "Models"
_ACTION = "Action"
_GATE = "Gate"
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


def alerts_form() -> Form:
    """The field of the DAG that delivers alerts."""
    return {
        "test": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Send a test",
            description="Send a test through every channel, to see that alerts arrive.",
            section=_ACTION,
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
        "service": _service(_DATA),
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
        **search_form(),
    }


def search_form() -> Form:
    """Fields that say how settings are searched."""
    return {
        "max_evaluations": _number(
            get_settings().max_evaluations,
            "Evaluations",
            "Trials per model family.",
            minimum=1,
            maximum=1_000,
        ),
        "search_algorithm": _choice(
            "tpe",
            {
                "tpe": "tpe: tree-structured Parzen estimators",
                "random": "random search",
                "anneal": "anneal: simulated annealing",
                "grid": "grid: the finest that the evaluations allow",
            },
            "Search algorithm",
            "How the next trial is chosen.",
        ),
        "primary_metric": _choice(
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
        "random_state": _number(
            42, "Random state", "Seed of the search and of every fit: same seed, same result."
        ),
        "early_stopping_rounds": _number(
            50,
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
        "patience_evaluations": _number(
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
        "early_termination": _choice(
            "truncation",
            {
                "none": "none: every trial ends by itself",
                "bandit": "bandit: too far behind the best",
                "median": "median: worse than the median of the averages",
                "truncation": "truncation: among the worst",
            },
            "Early termination",
            "Which trials are given up, by their learning curves.",
            section=_TERMINATION,
        ),
        "evaluation_interval": _number(
            rule.evaluation_interval,
            "Evaluation interval",
            "Look at a trial after every so many intervals of its learning curve.",
            section=_TERMINATION,
            minimum=1,
        ),
        "delay_evaluations": _number(
            rule.delay_evaluations,
            "Delay (intervals)",
            "Let every trial go on for so many intervals first.",
            section=_TERMINATION,
        ),
        "slack_factor": _share(
            rule.slack_factor, "Slack factor", "bandit: how far above the best, as a share of it."
        ),
        "slack_amount": _share(
            rule.slack_amount,
            "Slack amount (minutes)",
            "bandit: the same in minutes; used in place of the factor where it is not 0.",
        ),
        "truncation_share": _share(
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
        "feature_selection": _choice(
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
            section=_SELECTION,
        ),
        "selected_share": _share(
            rule.share,
            "Selected share",
            "Share of the columns that is kept.",
            section=_SELECTION,
            maximum=1,
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
            uniqueItems=True,
            title="Model families",
            description="Which families to tune and train, side by side.",
            section=_MODELS,
        ),
        "extra_models": Param(
            {},
            type="object",
            additionalProperties={"type": "object"},
            title="Further models",
            description="Other regressors of scikit-learn with their search spaces, for example "
            '{"neighbors.KNeighborsRegressor": {"n_neighbors": {"low": 5, "high": 50}, '
            '"weights": ["uniform", "distance"]}}.',
            section=_MODELS,
        ),
        **training_form(),
    }


def promotion_form() -> Form:
    """Fields of the DAG that moves versions."""
    rules, settings = GateRules(), get_settings()
    return {
        "action": _choice(
            "promote",
            {
                "promote": "promote: become champion",
                "canary": "canary: answer a share of the requests",
                "shadow": "shadow: answer unseen",
                "rollback": "rollback: to the champion before, or to a version",
                "disable": "disable: nothing answers",
                "enable": "enable: the champion answers again",
                "retire": "retire: never answer again",
            },
            "Action",
            "What is to be done.",
            section=_ACTION,
        ),
        "service": _service(_ACTION),
        "version": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Version",
            description="Number in the registry. Left empty, promote takes the best of the newest "
            "training set, and rollback the champion before.",
            section=_ACTION,
        ),
        "share": Param(
            0.1,
            type="number",
            exclusiveMinimum=0,
            maximum=1,
            title="Share",
            description="canary: share of the requests.",
            section=_ACTION,
        ),
        "why": Param(
            "",
            type="string",
            title="Why",
            description="For the history.",
            section=_ACTION,
        ),
        "who": Param(
            "",
            type="string",
            title="Who",
            description="For the history; left empty, the user who triggers.",
            section=_ACTION,
        ),
        "gate": Param(
            True,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Through the gate",
            description="Without it, promote moves at once, to the version that is named.",
            section=_GATE,
        ),
        "approval": Param(
            settings.approval,
            type="boolean",
            title="Ask a person",
            description="What passes the gate waits for an approval in the Airflow UI.",
            section=_GATE,
        ),
        "margin_share": _share(
            rules.margin_share,
            "Margin",
            "How much lower the RMSE has to be, as a share of the champion's.",
            section=_GATE,
            maximum=1,
        ),
        "confidence": Param(
            rules.confidence,
            type="number",
            minimum=0.5,
            maximum=0.999,
            title="Confidence",
            description="Share of resampled test months in which it has to be.",
            section=_GATE,
        ),
        "slice_share": _share(
            rules.slice_share,
            "Worst slice",
            "How much higher the RMSE of a slice may be, as a share of the champion's.",
            section=_GATE,
        ),
        "latency_milliseconds": Param(
            rules.latency_milliseconds,
            type="number",
            exclusiveMinimum=0,
            title="Latency (milliseconds)",
            description="Longest time for one trip.",
            section=_GATE,
        ),
        "size_megabytes": Param(
            rules.size_megabytes,
            type="number",
            exclusiveMinimum=0,
            title="Size (megabytes)",
            description="Largest size as stored.",
            section=_GATE,
        ),
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


def _service(section: str) -> Param:
    return _choice(
        get_settings().service,
        {name: service.title for name, service in SERVICES.items()},
        "Service",
        "Whose trips.",
        section=section,
    )


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


def _choice(
    default: str,
    choices: dict[str, str],
    title: str,
    description: str,
    *,
    section: str = _SEARCH,
) -> Param:
    return Param(
        default,
        type="string",
        enum=list(choices),
        values_display=choices,
        title=title,
        description=description,
        section=section,
    )


def _share(
    default: float,
    title: str,
    description: str,
    *,
    section: str = _TERMINATION,
    **bounds: Any,  # noqa: ANN401 - JSON schema
) -> Param:
    return Param(
        default,
        type="number",
        minimum=0,
        title=title,
        description=description,
        section=section,
        **bounds,
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

"""Request and result of a search."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from model_loop.datasets.dataset import Target
from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import ModelFamily
from model_loop.models.spaces import Setting, Settings
from model_loop.models.termination import EarlyTermination
from model_loop.options import option, options, setting_option
from model_loop.training_set.options import LARGEST_SEED

if TYPE_CHECKING:
    import pandas as pd

    from model_loop.training_set.matrices import Targets

SearchAlgorithm = Literal["tpe", "random", "anneal", "grid"]
PrimaryMetric = Literal[
    "rmse",
    "mse",
    "mae",
    "r2",
    "rae",
    "rse",
    "log_loss",
    "average_precision",
    "roc_auc",
    "brier",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "mcc",
]
#: Primary metrics of numbers, and those of classes.
NUMBER_METRICS: tuple[PrimaryMetric, ...] = ("rmse", "mse", "mae", "r2", "rae", "rse")
CLASS_METRICS: tuple[PrimaryMetric, ...] = (
    "log_loss",
    "average_precision",
    "roc_auc",
    "brier",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "mcc",
)
#: Primary metrics that are better when they are lower.
_LOWER_IS_BETTER = frozenset({"rmse", "mse", "mae", "rae", "rse", "log_loss", "brier"})
Direction = Literal["minimize", "maximize"]
SelectionMethod = Literal["none", "correlation", "chi2", "mutual_information", "permutation"]

#: Times as many rows as trials have seen, on which the best are judged again.
AGAIN = 10
#: The most boosting rounds of one XGBoost fit; early stopping ends nearly all of them sooner.
MAXIMUM_ROUNDS = 3_000


@options
class FeatureSelection:
    """Selection of columns of the design matrix, by the train rows alone."""

    method: SelectionMethod = option(
        "none",
        "Feature selection",
        "Method for choosing columns of the design matrix, by the train rows alone.",
        name="feature_selection",
        choices={
            "none": "none: all columns",
            "correlation": "correlation with the target",
            "chi2": "chi²: between the column and ten groups of targets",
            "mutual_information": "mutual information with the target",
            "permutation": "permutation: loss of XGBoost when a column is shuffled",
        },
    )
    share: float = option(
        0.5,
        "Selected share",
        "Share of the columns that is kept; at least one is.",
        name="selected_share",
        ge=0,
        le=1,
    )


@options
class SearchRequest:
    """Length and method of a search."""

    max_evaluations: int = setting_option("max_evaluations")
    search_algorithm: SearchAlgorithm = option(
        "tpe",
        "Search algorithm",
        "Method for choosing the next trial.",
        choices={
            "tpe": "tpe: tree-structured Parzen estimators, after a random half (5 to 20)",
            "random": "random search",
            "anneal": "anneal: simulated annealing",
            "grid": "grid: the finest that the evaluations allow",
        },
    )
    primary_metric: PrimaryMetric = option(
        "rmse",
        "Primary metric",
        "Metric that decides which trial is the best.",
        choices={
            "rmse": "rmse: root mean squared error, lower is better",
            "mse": "mse: mean squared error, lower is better",
            "mae": "mae: mean absolute error, lower is better",
            "r2": "r2: coefficient of determination, higher is better",
            "rae": "rae: relative absolute error, lower is better",
            "rse": "rse: relative squared error, lower is better",
            "log_loss": "log_loss: of classes, lower is better",
            "average_precision": "average_precision: of classes, higher is better",
            "roc_auc": "roc_auc: area below the ROC curve, of classes, higher is better",
            "brier": "brier: squared error of probabilities, of classes, lower is better",
            "accuracy": "accuracy: share of right classes, higher is better",
            "balanced_accuracy": "balanced_accuracy: mean over the classes, higher is better",
            "f1": "f1: of precision and recall, of classes, higher is better",
            "mcc": "mcc: Matthews correlation, of classes, higher is better",
        },
    )
    random_state: int = option(
        42,
        "Random state",
        "Seed of the search and of every fit: same seed, same result.",
        ge=0,
        le=LARGEST_SEED,
    )
    early_stopping_rounds: int = option(
        50,
        "Early stopping rounds",
        "Number of rounds without an improvement on the validation rows after which "
        "XGBoost ends a trial.",
        ge=1,
        le=200,
    )
    time_budget_seconds: float = option(
        0.0,
        "Time budget (seconds)",
        "Start no further trial of a family after this time, but at least one; 0 sets no "
        "limit. A search that runs out of time is not repeatable.",
        ge=0,
    )
    sample_rows: int = option(
        2_000_000,
        "Sample rows",
        "Most rows that trials learn from, drawn evenly from each day and class; the best three "
        "are judged again on ten times as many. Forests and gradient boosting of scikit-learn "
        "are fitted on no more in the end. 0 takes all rows. Tables of millions of rows have a "
        "sample of their own for linear models.",
        ge=0,
    )
    patience_evaluations: int = option(
        0,
        "Patience (evaluations)",
        "End a search after this many trials in a row without an improvement; 0 sets no limit.",
        ge=0,
    )
    early_termination: EarlyTermination = field(default_factory=EarlyTermination)
    feature_selection: FeatureSelection = field(default_factory=FeatureSelection)
    threads: int = setting_option("xgboost_threads", offered=False)
    device: Literal["cpu", "cuda"] = setting_option("xgboost_device", offered=False)

    @property
    def direction(self) -> Direction:
        """Direction in which the primary metric improves."""
        return "minimize" if self.primary_metric in _LOWER_IS_BETTER else "maximize"

    @property
    def curve_metric(self) -> Literal["rmse", "mae", "log_loss"]:
        """The error that learning curves show: the one that ranks as the primary metric does.

        That of classes is the log loss: the others change in steps, or not at all, while a fit
        grows.
        """
        if self.primary_metric in CLASS_METRICS:
            return "log_loss"
        return "mae" if self.primary_metric in {"mae", "rae"} else "rmse"

    def finalist_rows(self, family: ModelFamily) -> int:
        """Return the most train rows that the best trials are judged again on; 0 for all."""
        return self.sample_rows if family.is_sampled else AGAIN * self.sample_rows

    def loss(self, metrics: Metrics) -> float:
        """The primary metric as a number that is better when it is lower."""
        value: float = getattr(metrics, self.primary_metric)
        if math.isnan(value):
            # A class is missing among the judged rows, so that the metric says nothing.
            return math.inf
        return -value if self.direction == "maximize" else value

    def for_target(self, target: Target) -> Self:
        """Return the request with the metric of a kind of target, where it has the default.

        Raises
        ------
        InvalidInputError
            If its metric is one of the other kind.
        """
        if target.is_classified and self.primary_metric == "rmse":
            return dataclasses.replace(self, primary_metric="log_loss")
        self.require_for(target)
        return self

    def require_for(self, target: Target) -> None:
        """Check that the primary metric is one of the target's kind.

        Raises
        ------
        InvalidInputError
            If it is not.
        """
        fitting = primary_metrics(target)
        if self.primary_metric not in fitting:
            kinds = ("classes", "numbers") if target.is_classified else ("numbers", "classes")
            raise InvalidInputError(
                f"Primary metric {self.primary_metric!r}",
                f"is of {kinds[1]}, and the target {target.name} is of {kinds[0]}",
                f"Choose one of: {', '.join(fitting)}.",
            )


def primary_metrics(target: Target) -> tuple[PrimaryMetric, ...]:
    """Return the primary metrics of a kind of target, the default one first."""
    return CLASS_METRICS if target.is_classified else NUMBER_METRICS


@dataclass(frozen=True)
class ErrorMetrics:
    """Errors of predictions.

    Parameters
    ----------
    rmse, mae
        Root mean squared and mean absolute error, in the unit of the target.
    mse
        Mean squared error, in its square.
    r2
        Coefficient of determination.
    rae, rse
        Relative absolute and relative squared error: the sum of absolute (squared) errors as a
        share of that of the mean of the actual targets (Witten et al., "Data Mining", 4th edition,
        section 5.9).
    """

    rmse: float
    mse: float
    mae: float
    r2: float
    rae: float
    rse: float

    def named(self, part: str) -> dict[str, float]:
        """The metrics by their tracked names: ``validation_rmse`` and so on."""
        return {f"{part}_{name}": value for name, value in asdict(self).items()}


#: Names of metrics for people, where they are not their own in capitals.
_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "r2": "R²",
        "log_loss": "log loss",
        "average_precision": "average precision",
        "roc_auc": "ROC AUC",
        "brier": "Brier score",
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "precision": "precision",
        "recall": "recall",
    }
)


def metric_title(name: str) -> str:
    """Return a metric's name for people, in the middle of a sentence: ``RMSE``, ``log loss``."""
    return _TITLES.get(name, name.upper())


#: `ErrorMetrics` or `ClassMetrics`: code that asks for a metric by name knows the kind of target.
Metrics: TypeAlias = Any


@dataclass(frozen=True)
class Trial:
    """One evaluation: some settings, fitted on train, judged on validation.

    Parameters
    ----------
    number
        From 0, in the order of the search.
    settings
        Values of the searched settings; with the family's fixed settings they are complete.
    metrics
        Errors on the validation rows, when the trial ended or was pruned; None if it failed.
    started
        Seconds since the epoch.
    seconds
        Time of the fit and its evaluation.
    rounds
        Boosting rounds at the lowest validation error, where the family has any.
    curve
        Validation error after each interval of effort; see `SearchRequest.curve_metric`.
    steps
        Rounds, trees or iterations at each point of the curve.
    outlook
        Error that the fit was expected to come to, as seen from each point of the curve; where
        nothing is known of that, the curve itself.
    stopped
        Reason why the trial was pruned.
    error
        Reason why the trial failed.
    """

    number: int
    settings: Mapping[str, Setting]
    metrics: Metrics | None
    started: float
    seconds: float
    rounds: int | None = None
    curve: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    outlook: tuple[float, ...] = ()
    stopped: str | None = None
    error: str | None = None

    @property
    def finished(self) -> bool:
        """True if the trial ended well: neither pruned nor failed."""
        return self.metrics is not None and self.stopped is None


@dataclass(frozen=True)
class SampledSearch:
    """A search whose trials have seen a sample of the rows.

    Parameters
    ----------
    train_rows, judged_rows
        Rows that trials have learned from, and validation rows that they were judged by.
    again_rows
        Rows that the best were fitted on again; the rows that all families are compared by judge
        them then, see `TrainingSet.judged_target`.
    finalists
        The best trials of the sample in their order there, as they were judged again.
    regret
        Loss of the best trial of the sample less that of the best finalist, both judged again: what
        a choice by the sample alone would have cost. In the unit of the primary metric.
    """

    train_rows: int
    judged_rows: int
    again_rows: int
    finalists: tuple[Trial, ...]
    regret: float


@dataclass(frozen=True)
class TuningResult:
    """Result of a search for one family.

    Parameters
    ----------
    family
        Name of the family.
    best
        The trial with the best primary metric on the validation rows.
    trials
        All trials. Settings that the search proposed again were not fitted again.
    seconds
        Time of the search.
    columns
        Scores of the columns and which were kept; see `selection.score_columns`.
    fixed
        Settings of every trial that were not searched; None of searches of earlier versions, which
        had those of the family alone.
    predicted
        Predictions of the best trial for the rows that it was judged by, shape (rows,): its fit has
        learned from the train rows alone. None where another process has fitted it, and of searches
        of earlier versions.
    sampled
        Rows that the trials have seen, where they are not all.
    """

    family: str
    best: Trial
    trials: tuple[Trial, ...]
    seconds: float
    columns: pd.DataFrame | None = None
    fixed: Settings | None = None
    predicted: Targets | None = field(default=None, compare=False, repr=False)
    sampled: SampledSearch | None = None

    def family_of(self, family: ModelFamily) -> ModelFamily:
        """Return the family as it was searched."""
        return family if self.fixed is None else dataclasses.replace(family, fixed=self.fixed)

    @property
    def validation(self) -> Metrics:
        """Errors of the best trial on the validation rows."""
        if self.best.metrics is None:
            msg = f"The best trial of {self.family} has no metrics"
            raise ValueError(msg)
        return self.best.metrics

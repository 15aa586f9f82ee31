"""What a search is asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from model_loop.errors import InvalidInputError, require_within
from model_loop.models.spaces import Setting
from model_loop.models.termination import EarlyTermination

if TYPE_CHECKING:
    import pandas as pd

SearchAlgorithm = Literal["tpe", "random", "anneal", "grid"]
SEARCH_ALGORITHMS: tuple[SearchAlgorithm, ...] = get_args(SearchAlgorithm)

PrimaryMetric = Literal["rmse", "mse", "mae", "r2", "rae", "rse"]
PRIMARY_METRICS: tuple[PrimaryMetric, ...] = get_args(PrimaryMetric)
Direction = Literal["minimize", "maximize"]

SelectionMethod = Literal["none", "correlation", "chi2", "mutual_information", "permutation"]
SELECTION_METHODS: tuple[SelectionMethod, ...] = get_args(SelectionMethod)

#: The most boosting rounds of one XGBoost fit; early stopping ends nearly all of them sooner.
MAXIMUM_ROUNDS = 3_000


@dataclass(frozen=True)
class FeatureSelection:
    """How columns are chosen.

    Parameters
    ----------
    method
        ``none`` keeps all; ``correlation``, ``chi2`` and ``mutual_information`` look at each column
        by itself; ``permutation`` at what XGBoost loses when a column is shuffled.
    share
        Share of the columns that is kept; at least one is.

    Raises
    ------
    InvalidInputError
        If a value is out of bounds.
    """

    method: SelectionMethod = "none"
    share: float = 0.5

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.method not in SELECTION_METHODS:
            raise InvalidInputError(
                f"Feature selection {self.method!r}",
                "is unknown",
                f"Choose one of: {', '.join(SELECTION_METHODS)}.",
            )
        require_within("selected_share", self.share, least=0.0, most=1.0)


#: Fits of scikit-learn take none beyond; who asks for a search is told before the data are read.
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class SearchRequest:
    """How long and how to search.

    Parameters
    ----------
    max_evaluations
        Trials per family.
    random_state
        Seed of the search and of every fit.
    search_algorithm
        Tree-structured Parzen estimators (tpe), random search, simulated annealing, or the finest
        grid of at most `max_evaluations` points.
    primary_metric
        What decides which trial is the best; see `direction`.
    early_termination
        Which trials are given up before they end.
    feature_selection
        Which columns of the design matrix are used.
    early_stopping_rounds
        XGBoost stops a fit when validation has not improved for so many rounds.
    time_budget_seconds
        Start no further trial after so many seconds, but at least one; 0 sets no limit. A search
        that runs out of time is not repeatable.
    patience_evaluations
        End the search when so many trials in a row were no better than the best; 0 sets no limit.
    threads
        Processor threads of one XGBoost fit.
    device
        Where XGBoost computes: ``cpu`` or ``cuda``.

    Raises
    ------
    InvalidInputError
        If a value is out of bounds.
    """

    max_evaluations: int = 50
    random_state: int = 42
    search_algorithm: SearchAlgorithm = "tpe"
    primary_metric: PrimaryMetric = "rmse"
    early_termination: EarlyTermination = field(default_factory=EarlyTermination)
    feature_selection: FeatureSelection = field(default_factory=FeatureSelection)
    early_stopping_rounds: int = 50
    time_budget_seconds: float = 0.0
    patience_evaluations: int = 0
    threads: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, least in (
            ("max_evaluations", 1),
            ("random_state", 0),
            ("early_stopping_rounds", 1),
            ("time_budget_seconds", 0),
            ("patience_evaluations", 0),
            ("threads", 1),
        ):
            require_within(name, getattr(self, name), least=least)
        for what, value, known in (
            ("Search algorithm", self.search_algorithm, SEARCH_ALGORITHMS),
            ("Primary metric", self.primary_metric, PRIMARY_METRICS),
        ):
            if value not in known:
                raise InvalidInputError(
                    f"{what} {value!r}", "is unknown", f"Choose one of: {', '.join(known)}."
                )

    @property
    def direction(self) -> Direction:
        """Whether the primary metric is better when it is lower or when it is higher."""
        return "maximize" if self.primary_metric == "r2" else "minimize"

    @property
    def curve_metric(self) -> Literal["rmse", "mae"]:
        """The error that learning curves show: the one that ranks as the primary metric does."""
        return "mae" if self.primary_metric in {"mae", "rae"} else "rmse"

    def loss(self, metrics: Metrics) -> float:
        """The primary metric as a number that is better when it is lower."""
        value: float = getattr(metrics, self.primary_metric)
        return -value if self.direction == "maximize" else value


@dataclass(frozen=True)
class Metrics:
    """Errors of predictions.

    Parameters
    ----------
    rmse, mae
        Root mean squared and mean absolute error, in minutes.
    mse
        Mean squared error, in square minutes.
    r2
        Coefficient of determination.
    rae, rse
        Relative absolute and relative squared error: the sum of absolute (squared) errors as a
        share of that of the mean of the actual minutes (Witten et al., "Data Mining", 4th edition,
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


@dataclass(frozen=True)
class Trial:
    """One evaluation: some settings, fitted on train, judged on validation.

    Parameters
    ----------
    number
        From 0, in the order of the search.
    settings
        What was searched; together with the family's fixed settings they are all there is.
    metrics
        Errors on the validation months, when the trial ended or was given up; None if it failed.
    started
        Seconds since the epoch.
    seconds
        How long the fit and its evaluation took.
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
        Why the trial was given up before it ended.
    error
        Why the trial failed.
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
        """Whether it ended well: neither given up nor failed."""
        return self.metrics is not None and self.stopped is None


@dataclass(frozen=True)
class TuningResult:
    """What a search found for one family.

    Parameters
    ----------
    family
        Name of the family.
    best
        The trial with the best primary metric on the validation months.
    trials
        All trials. Settings that the search proposed again were not fitted again.
    seconds
        How long the search took.
    columns
        Scores of the columns and which were kept; see `selection.score_columns`.
    """

    family: str
    best: Trial
    trials: tuple[Trial, ...]
    seconds: float
    columns: pd.DataFrame | None = None

    @property
    def validation(self) -> Metrics:
        """Errors of the best trial on the validation months."""
        if self.best.metrics is None:
            msg = f"The best trial of {self.family} has no metrics"
            raise ValueError(msg)
        return self.best.metrics

"""What a search is asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from trip_duration.errors import InvalidInputError, require_within
from trip_duration.models.spaces import Setting

SearchAlgorithm = Literal["tpe", "random", "anneal"]
SEARCH_ALGORITHMS: tuple[SearchAlgorithm, ...] = get_args(SearchAlgorithm)

#: The most boosting rounds of one XGBoost fit; early stopping ends nearly all of them sooner.
MAXIMUM_ROUNDS = 750


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
        Tree-structured Parzen estimators (tpe), random search, or simulated annealing.
    early_stopping_rounds
        XGBoost stops a fit when validation has not improved for so many rounds.
    time_budget_seconds
        Start no further trial after so many seconds; 0 sets no limit. A search that runs out of
        time is not repeatable.
    threads
        Processor threads of one XGBoost fit.

    Raises
    ------
    InvalidInputError
        If a value is out of bounds.
    """

    max_evaluations: int = 50
    random_state: int = 42
    search_algorithm: SearchAlgorithm = "tpe"
    early_stopping_rounds: int = 20
    time_budget_seconds: float = 0.0
    threads: int = 2

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, least in (
            ("max_evaluations", 1),
            ("random_state", 0),
            ("early_stopping_rounds", 1),
            ("time_budget_seconds", 0),
            ("threads", 1),
        ):
            require_within(name, getattr(self, name), least=least)
        if self.search_algorithm not in SEARCH_ALGORITHMS:
            raise InvalidInputError(
                f"Search algorithm {self.search_algorithm!r}",
                "is unknown",
                f"Choose one of: {', '.join(SEARCH_ALGORITHMS)}.",
            )


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
    """

    rmse: float
    mse: float
    mae: float
    r2: float

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
        Errors on the validation months; None for a failed trial.
    started
        Seconds since the epoch.
    seconds
        How long the fit and its evaluation took.
    rounds
        Boosting rounds at the lowest validation error, where the family has any.
    curve
        Validation RMSE after each boosting round.
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
    error: str | None = None


@dataclass(frozen=True)
class TuningResult:
    """What a search found for one family.

    Parameters
    ----------
    family
        Name of the family.
    best
        The trial with the lowest validation RMSE.
    trials
        All trials. Settings that the search proposed again were not fitted again.
    seconds
        How long the search took.
    """

    family: str
    best: Trial
    trials: tuple[Trial, ...]
    seconds: float

    @property
    def validation(self) -> Metrics:
        """Errors of the best trial on the validation months."""
        if self.best.metrics is None:
            msg = f"The best trial of {self.family} has no metrics"
            raise ValueError(msg)
        return self.best.metrics

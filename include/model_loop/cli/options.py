"""Options that several commands share, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from model_loop.errors import require_within
from model_loop.models.catalogue import FAMILIES, get_family
from model_loop.models.search import (
    LARGEST_SEED,
    FeatureSelection,
    PrimaryMetric,
    SearchAlgorithm,
    SearchRequest,
    SelectionMethod,
)
from model_loop.models.termination import EarlyTermination, Policy
from model_loop.settings import get_settings
from model_loop.training_set.recipes import DEFAULT_RECIPE
from model_loop.trips.months import MonthSplit

_settings = get_settings()


@Parameter(name="*", group="Data")
@dataclass(frozen=True)
class DataOptions:
    """Which trips.

    Parameters
    ----------
    source
        sample (generated trips), tlc, a folder, or an https:// address.
    service
        green, yellow or fhvhv.
    train
        Months to learn from: 2024-01, a list with commas, or a range 2023-11..2024-01.
    validation
        Months to tune on; they follow the train months.
    test
        Months to judge by; they follow the validation months. May be left out.
    recipe
        What the model may know: booking (what is known when a ride is booked), or, for models that
        are asked when the trip has ended, rich or pair_distance (the course's inputs).
    encoding
        In which form: one_hot (the course's matrix, exactly) or native (what suits each family).
    minimum_duration
        Minutes; shorter trips are left out.
    maximum_duration
        Minutes; longer trips are left out.
    storage
        Where downloaded and generated months are kept.
    accept
        A finding that does not refuse its month: "2024-02 another_unit"; repeat it for several.
    """

    source: str = _settings.source
    service: str = _settings.service
    train: str = _settings.train_months
    validation: str = _settings.validation_months
    test: str = ""
    recipe: str = DEFAULT_RECIPE
    encoding: str = "native"
    minimum_duration: float = _settings.minimum_duration
    maximum_duration: float = _settings.maximum_duration
    storage: Annotated[str, Parameter(show_default=False)] = _settings.storage_root
    accept: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()

    @property
    def split(self) -> MonthSplit:
        """The months.

        Raises
        ------
        InvalidInputError
            If they break a rule.
        """
        return MonthSplit.parse(self.train, self.validation, self.test)


@Parameter(name="*", group="Search")
@dataclass(frozen=True)
class SearchOptions:
    """How to search.

    Parameters
    ----------
    model
        A model family, for example xgboost or linear_model.Lasso; repeat it for several. All of
        them when left out.
    max_evaluations
        Trials per family.
    random_state
        Seed of the search and of every fit.
    search_algorithm
        How the next trial is chosen.
    primary_metric
        What decides which trial is the best.
    early_termination
        Which trials are given up by their learning curves.
    feature_selection
        How columns of the design matrix are chosen.
    selected_share
        Share of the columns that is kept.
    early_stopping_rounds
        XGBoost ends a trial when validation has not improved for so many rounds.
    time_budget_seconds
        Start no further trial of a family after so long; 0 sets no limit.
    patience_evaluations
        End a search when so many trials in a row were no better; 0 sets no limit.
    """

    model: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    max_evaluations: int = _settings.max_evaluations
    random_state: int = 42
    search_algorithm: SearchAlgorithm = "tpe"
    primary_metric: PrimaryMetric = "rmse"
    early_termination: Policy = "truncation"
    feature_selection: SelectionMethod = "none"
    selected_share: float = 0.5
    early_stopping_rounds: int = 50
    time_budget_seconds: float = 0.0
    patience_evaluations: int = 0

    @property
    def families(self) -> list[str]:
        """Names of the families.

        Raises
        ------
        InvalidInputError
            If one is unknown.
        """
        return [get_family(name).name for name in self.model or FAMILIES]

    @property
    def request(self) -> SearchRequest:
        """The typed request.

        Raises
        ------
        InvalidInputError
            If a value is out of bounds.
        """
        require_within("random_state", self.random_state, least=0, most=LARGEST_SEED)
        return SearchRequest(
            max_evaluations=self.max_evaluations,
            random_state=self.random_state,
            search_algorithm=self.search_algorithm,
            primary_metric=self.primary_metric,
            early_termination=EarlyTermination(self.early_termination),
            feature_selection=FeatureSelection(self.feature_selection, self.selected_share),
            early_stopping_rounds=self.early_stopping_rounds,
            time_budget_seconds=self.time_budget_seconds,
            patience_evaluations=self.patience_evaluations,
            threads=_settings.xgboost_threads,
            device=_settings.xgboost_device,
        )

"""The model families: one entry each, with its search space and its fixed settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from model_loop.datasets.classes import TaskKind
from model_loop.errors import InvalidInputError, look_up
from model_loop.models.spaces import Categorical, Integer, Real, Settings, Space
from model_loop.training_set.encodings import Encoding, Layout

XGBOOST = "xgboost"

#: Rows that a bin of XGBoost's histograms holds at most, as far as the most bins allow.
_ROWS_OF_A_BIN = 256
#: XGBoost's default, and four times as many: more cost time and tell nothing.
_FEWEST_BINS, _MOST_BINS = 256, 1_024
#: Rows times iterations of a linear fit, at most, and iterations that any fit may take.
_MOST_PASSES, _FEWEST_ITERATIONS = 60_000_000, 100
#: Standard deviation of the targets that the bounds of the search spaces are written for.
_DEVIATION = 10.0


@dataclass(frozen=True)
class Resource:
    """Unit of effort of a family's fits, so that its learning curve can be watched.

    Parameters
    ----------
    grows
        Boosting rounds of XGBoost, boosting stages or forest trees of scikit-learn. Lineages of
        earlier versions hold the iterations of Lasso, which is fitted at once now.
    interval
        Steps of one interval of the learning curve. Where steps are scaled, it is the sum of the
        scale over the steps.
    scaled_by
        The setting that says how far one step goes: boosting with half the learning rate gets
        about as far in twice the rounds or stages.
    projected
        Whether a fit tells what it will come to, long before it does; see `fitting.project`.
    """

    grows: Literal["rounds", "stages", "trees", "iterations"]
    interval: float
    scaled_by: str | None = None
    projected: bool = False

    def __str__(self) -> str:
        """An interval, for people."""
        scaled = f" / {self.scaled_by}" if self.scaled_by else ""
        return f"{self.interval:g}{scaled} {self.grows}"

    def steps_in_interval(self, settings: Settings) -> float:
        """Steps of one interval, which need not be whole."""
        scale = settings.get(self.scaled_by) if self.scaled_by else None
        return self.interval / scale if isinstance(scale, int | float) and scale else self.interval


@dataclass(frozen=True)
class ModelFamily:
    """One kind of model.

    Parameters
    ----------
    name
        Its name in forms, tags and tables: a class of scikit-learn by module and name, or
        ``xgboost``.
    title
        Name in a few words.
    layout
        The form of matrix that suits it, where the encoding leaves the choice.
    space
        Search space.
    fixed
        Settings that are not searched.
    seeded
        Whether its result depends on ``random_state``.
    resource
        Unit of effort of a fit; None where there is nothing to see before its end.
    reads_sparse
        Whether it learns from a sparse matrix too, the only one that some encodings make.
    estimator
        Class of scikit-learn by module and name, where the name of the family is another.
    calibrated
        Whether its scores become probabilities by a sigmoid that is fitted on folds.
    """

    name: str
    title: str
    layout: Layout
    space: Space
    fixed: Settings = field(default_factory=lambda: MappingProxyType({}))
    seeded: bool = True
    resource: Resource | None = None
    reads_sparse: bool = True
    estimator: str = ""
    calibrated: bool = False

    @property
    def estimator_name(self) -> str:
        """Class of scikit-learn by module and name."""
        return self.estimator or self.name

    @property
    def is_sampled(self) -> bool:
        """Return whether it is fitted on a sample of a large table, as it holds all in memory."""
        return self.resource is not None and self.resource.grows in {"trees", "stages"}

    def require_readable(self, encoding: Encoding) -> None:
        """Check that the family can learn from what an encoding makes.

        Raises
        ------
        InvalidInputError
            If it needs a dense matrix, and the encoding makes none.
        """
        if encoding == "one_hot" and not self.reads_sparse:
            raise InvalidInputError(
                f"Model {self.name!r}",
                f"cannot read a sparse matrix, the only one that the encoding {encoding} makes",
                "Choose the encoding native, or another model.",
            )

    def complete(self, settings: Settings, *, random_state: int) -> dict[str, object]:
        """All settings of one fit: searched, fixed and the seed."""
        seed = {"random_state": random_state} if self.seeded else {}
        return {**self.fixed, **settings, **seed}


_ADDED_TREES = Resource("trees", 0.5, projected=True)

FAMILIES: Mapping[str, ModelFamily] = MappingProxyType(
    {
        family.name: family
        for family in (
            ModelFamily(
                "linear_model.LinearRegression",
                "Ordinary least squares",
                "sparse",
                {"fit_intercept": Categorical((True, False))},
                seeded=False,
            ),
            ModelFamily(
                "linear_model.Lasso",
                "Least squares with an L1 penalty",
                "sparse",
                {
                    "alpha": Real(1e-4, 0.1, log=True, power=1),
                    "max_iter": Integer(20, 120),
                },
                {"tol": 1e-3},
            ),
            ModelFamily(
                "svm.LinearSVR",
                "Linear support vector regression",
                "sparse",
                {
                    "epsilon": Real(0.0, 2.0, power=1),
                    "C": Real(0.01, 20.0, log=True, power=1),
                    "max_iter": Integer(200, 1_000),
                },
            ),
            ModelFamily(
                "ensemble.ExtraTreesRegressor",
                "Forest of extremely randomised trees",
                "dense",
                {
                    "n_estimators": Integer(20, 50),
                    "max_depth": Integer(10, 20),
                    "min_samples_leaf": Integer(2, 20),
                    "max_features": Real(0.3, 0.8),
                },
                resource=_ADDED_TREES,
            ),
            ModelFamily(
                "ensemble.GradientBoostingRegressor",
                "Gradient-boosted trees",
                "dense",
                {
                    "n_estimators": Integer(30, 80),
                    "learning_rate": Real(0.08, 0.3, log=True),
                    "max_depth": Integer(4, 8),
                    "min_samples_leaf": Integer(5, 40),
                    "max_features": Real(0.1, 0.3),
                    "subsample": Real(0.3, 0.6),
                },
                resource=Resource("stages", 0.25, scaled_by="learning_rate"),
            ),
            ModelFamily(
                "ensemble.RandomForestRegressor",
                "Forest of bagged trees",
                "dense",
                {
                    "n_estimators": Integer(20, 50),
                    "max_depth": Integer(10, 18),
                    "min_samples_leaf": Integer(2, 20),
                    "max_features": Real(0.15, 0.4),
                    "max_samples": Real(0.3, 0.6),
                },
                resource=_ADDED_TREES,
            ),
            ModelFamily(
                XGBOOST,
                "XGBoost: gradient boosting with histograms and early stopping",
                "dense",
                {
                    "max_depth": Integer(4, 12),
                    "learning_rate": Real(0.015, 0.2, log=True),
                    "min_child_weight": Real(1.0, 200.0, log=True),
                    "subsample": Real(0.6, 1.0),
                    "colsample_bytree": Real(0.4, 1.0),
                    "reg_alpha": Real(1e-3, 10.0, log=True, power=1),
                    "reg_lambda": Real(1e-2, 10.0, log=True),
                    "gamma": Real(1e-3, 5.0, log=True, power=2),
                },
                {"objective": "reg:squarederror", "tree_method": "hist"},
                resource=Resource("rounds", 0.5, scaled_by="learning_rate"),
            ),
        )
    }
)


_XGBOOST_CLASSIFIER = dataclasses.replace(
    FAMILIES[XGBOOST],
    space={
        **FAMILIES[XGBOOST].space,
        # Weights of rows are those of the log loss here: p (1 - p), a quarter at most.
        "min_child_weight": Real(0.1, 50.0, log=True),
    },
    # The objective follows from the number of classes.
    fixed={"tree_method": "hist"},
)

#: Families of classifiers, the counterparts of those of numbers.
CLASSIFIERS: Mapping[str, ModelFamily] = MappingProxyType(
    {
        family.name: family
        for family in (
            ModelFamily(
                "linear_model.LogisticRegression",
                "Logistic regression with an L2 penalty",
                "sparse",
                {"C": Real(1e-3, 100.0, log=True)},
                {"max_iter": 300},
            ),
            ModelFamily(
                "linear_model.LogisticRegressionL1",
                "Logistic regression with an L1 penalty",
                "sparse",
                {"C": Real(1e-3, 10.0, log=True)},
                {"l1_ratio": 1.0, "solver": "saga", "max_iter": 100, "tol": 1e-3},
                estimator="linear_model.LogisticRegression",
            ),
            ModelFamily(
                "svm.LinearSVC",
                "Linear support vectors with calibrated scores",
                "sparse",
                {"C": Real(1e-3, 10.0, log=True)},
                {"max_iter": 500},
                calibrated=True,
            ),
            ModelFamily(
                "ensemble.ExtraTreesClassifier",
                "Forest of extremely randomised trees",
                "dense",
                {
                    "n_estimators": Integer(20, 60),
                    "max_depth": Integer(8, 24),
                    "min_samples_leaf": Integer(1, 20),
                    "max_features": Real(0.3, 1.0),
                },
                resource=Resource("trees", 0.5),
            ),
            ModelFamily(
                "ensemble.GradientBoostingClassifier",
                "Gradient-boosted trees",
                "dense",
                {
                    "n_estimators": Integer(30, 150),
                    "learning_rate": Real(0.05, 0.3, log=True),
                    "max_depth": Integer(2, 7),
                    "min_samples_leaf": Integer(5, 40),
                    "max_features": Real(0.2, 0.8),
                    "subsample": Real(0.4, 0.8),
                },
                resource=Resource("stages", 0.25, scaled_by="learning_rate"),
            ),
            ModelFamily(
                "ensemble.RandomForestClassifier",
                "Forest of bagged trees",
                "dense",
                {
                    "n_estimators": Integer(20, 60),
                    "max_depth": Integer(8, 20),
                    "min_samples_leaf": Integer(1, 20),
                    "max_features": Real(0.2, 0.8),
                    "max_samples": Real(0.5, 1.0),
                },
                resource=Resource("trees", 0.5),
            ),
            _XGBOOST_CLASSIFIER,
        )
    }
)


def families_for(kind: TaskKind) -> Mapping[str, ModelFamily]:
    """Return the families that learn a kind of target, by name."""
    return FAMILIES if kind == "regression" else CLASSIFIERS


def suited(family: ModelFamily, rows: int, deviation: float) -> ModelFamily:
    """Return a family as it suits a number of train rows, and the deviation of their targets.

    A loss in the unit of the target is weighed against penalties in another: with a penalty that
    suits minutes, prices are hardly learned. Bounds of such settings follow the target, in powers
    of ten, so that the unit that a table happens to have changes no prediction.

    Bins hold equally many rows, so that all of a long tail is in the last one: of 200,000 flights
    those that leave more than 260 minutes late were not divided further. Large tables get more
    bins; others keep XGBoost's default.

    A linear fit that does not converge passes over all rows as often as its iterations say: large
    tables get fewer, as each pass tells more.
    """
    scale = target_scale(deviation)
    space = {
        name: dimension.scaled(scale) if isinstance(dimension, Real) else dimension
        for name, dimension in family.space.items()
    }
    if isinstance(iterations := space.get("max_iter"), Integer):
        most = max(_MOST_PASSES // max(rows, 1), _FEWEST_ITERATIONS)
        bounded = Integer(min(iterations.low, most), min(iterations.high, most), iterations.log)
        space["max_iter"] = bounded
    fixed = family.fixed
    if family.name == XGBOOST and rows > _FEWEST_BINS * _ROWS_OF_A_BIN:
        fixed = {**fixed, "max_bin": min(rows // _ROWS_OF_A_BIN, _MOST_BINS)}
    return dataclasses.replace(family, space=space, fixed=fixed)


def target_scale(deviation: float) -> float:
    """Return the power of ten next to a tenth of the targets' standard deviation; 1 for none."""
    return 10.0 ** round(math.log10(deviation / _DEVIATION)) if deviation > 0 else 1.0


SKLEARN_FAMILIES: tuple[str, ...] = tuple(name for name in FAMILIES if name != XGBOOST)


def sklearn_families(kind: TaskKind) -> tuple[str, ...]:
    """Return the names of scikit-learn's families for a kind of target."""
    return tuple(name for name in families_for(kind) if name != XGBOOST)


def get_family(name: str, kind: TaskKind = "regression") -> ModelFamily:
    """Find a family by its name.

    Raises
    ------
    InvalidInputError
        If there is no such family, or it learns another kind of target.
    """
    families = families_for(kind)
    others = CLASSIFIERS if kind == "regression" else FAMILIES
    if name in others and name not in families:
        learns, target = (
            ("classes", "a number") if others is CLASSIFIERS else ("numbers", "a class")
        )
        raise InvalidInputError(
            f"Model family {name!r}",
            f"learns {learns}, and the target is {target}",
            f"Choose one of: {', '.join(families)}.",
        )
    return look_up("Model family", name, families)

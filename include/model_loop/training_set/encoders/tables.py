"""Encoders of declared tables, made of scikit-learn's parts alone.

A stored model of such a table is loaded wherever scikit-learn is. The parts follow from the types
of the columns; see `training_set.frames` for the frames that they read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import tandg
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from model_loop.datasets.classes import TaskKind
from model_loop.datasets.columns import Column
from model_loop.days import SECONDS_PER_DAY
from model_loop.training_set.encodings import Layout

_TargetType = Literal["continuous", "multiclass"]

FOLDS = 5
#: Rows of a category below which it is one of the rare ones: so many; of a small table this share
#: of its rows, at least so few. There, a few rows of a category say more than that it is rare, but
#: one or two lead a line without a penalty astray.
_FEWEST_ROWS, _SHARE, _LEAST_ROWS = 10, 0.01, 3
#: Categories that a sparse matrix has a column of each, and that get an order of their own.
_MOST_CATEGORIES, _FEW_CATEGORIES = 1_000, 32

_DAY, _WEEK, _YEAR = SECONDS_PER_DAY, 7 * SECONDS_PER_DAY, 365.2425 * SECONDS_PER_DAY
#: 1970 began on a Thursday: the first Monday is four days later.
_MONDAY = 4 * SECONDS_PER_DAY


def table_encoder(
    columns: Sequence[Column],
    layout: Layout,
    *,
    rows: int,
    holidays: Sequence[int] = (),
    dated: Sequence[str] = (),
    random_state: int = 42,
    kind: TaskKind = "regression",
) -> ColumnTransformer:
    """Return the encoder of some columns, not fitted yet.

    Parameters
    ----------
    layout
        ``sparse``: scaled numbers, one column for each category, and smooth functions of times,
        for linear models. ``dense``: a few numbers for each column, for trees.
    rows
        Number of rows that it will be fitted on.
    holidays
        Days since 1970 that are holidays. Whether a time is on one is a feature; none, if empty.
    dated
        Columns of times that have this feature.
    random_state
        Seed of the folds of target encodings.
    kind
        Kind of the target. Its codes are numbers, so that the mean of two classes is the share of
        the positive one; of several classes, a category gets the share of each.
    """
    names = {
        kind: [column.name for column in columns if column.kind == kind]
        for kind in ("number", "category", "yes_no", "time")
    }
    fewest = min(max(round(_SHARE * rows), _LEAST_ROWS), _FEWEST_ROWS)
    if layout == "sparse":
        parts = _sparse(names, fewest)
    else:
        target_type: _TargetType = "multiclass" if kind == "multiclass" else "continuous"
        parts = _dense(names, fewest, random_state, target_type)
    days = [name for name in names["time"] if name in dated and holidays]
    parts.append(("is_holiday", _holidays(days, holidays), days))
    return ColumnTransformer(
        [part for part in parts if part[2]], sparse_threshold=1.0 if layout == "sparse" else 0.0
    )


def _sparse(names: dict[str, list[str]], fewest: int) -> list[tuple[str, Any, list[str]]]:
    one_hot = OneHotEncoder(
        min_frequency=fewest,
        max_categories=_MOST_CATEGORIES,
        handle_unknown="infrequent_if_exist",
    )
    scaled = make_pipeline(_imputer("median"), StandardScaler())
    return [
        ("number", scaled, names["number"]),
        ("yes_no", _imputer("most_frequent"), names["yes_no"]),
        ("category", one_hot, names["category"]),
        ("time", _calendar(len(names["time"]), 24, 7, 12), names["time"]),
    ]


def _dense(
    names: dict[str, list[str]],
    fewest: int,
    random_state: int,
    target_type: _TargetType,
) -> list[tuple[str, Any, list[str]]]:
    folds = KFold(FOLDS, shuffle=True, random_state=random_state)
    ordinal = OrdinalEncoder(
        min_frequency=fewest,
        max_categories=_FEW_CATEGORIES,
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-2,
    )
    target = TargetEncoder(target_type=target_type, smooth="auto", cv=folds)
    return [
        ("number", _imputer("median"), names["number"]),
        ("yes_no", _imputer("most_frequent"), names["yes_no"]),
        ("category", ordinal, names["category"]),
        ("mean", target, names["category"]),
        ("time", _calendar(len(names["time"])), names["time"]),
    ]


def _imputer(strategy: str) -> SimpleImputer:
    return SimpleImputer(strategy=strategy, add_indicator=True, keep_empty_features=True)


def _calendar(columns: int, hours: int = 0, weekdays: int = 0, months: int = 0) -> Pipeline | None:
    """Return the time of the day, of the week and of the year, or bins of them.

    None for no column.

    All of them repeat: nothing grows with the calendar.

    The first step leaves numbers as they are, and raises an error for any other type: times of
    pandas' own may be of any unit.
    """
    if not columns:
        return None
    return make_pipeline(
        _function(np.positive),
        SimpleImputer(strategy="median", keep_empty_features=True),
        FeatureUnion(
            [
                ("day", _phase(columns, _DAY, bins=hours)),
                ("week", _phase(columns, _WEEK, _MONDAY, weekdays)),
                ("year", _phase(columns, _YEAR, bins=months)),
            ]
        ),
    )


def _phase(columns: int, period: float, start: float = 0.0, bins: int = 0) -> FrozenEstimator:
    """Return the place of times within their period, from -π/2 to π/2, or in so many equal bins.

    Nothing is learned: the arc tangent of a tangent is a line that begins anew in each period. It
    does so half a second before `start`, so that no whole second is at its pole.
    """
    ends = np.repeat([[start - 0.5], [start + period - 0.5]], columns, axis=1)
    steps = [MinMaxScaler((-90.0, 90.0)), _function(tandg), _function(np.arctan)]
    phase = make_pipeline(*steps).fit(ends)
    if bins:
        cut = KBinsDiscretizer(bins, strategy="uniform").fit(
            np.repeat([[-np.pi / 2], [np.pi / 2]], columns, axis=1)
        )
        phase = Pipeline([*phase.steps, ("bins", cut)])
    return FrozenEstimator(phase)


def _holidays(columns: Sequence[str], holidays: Sequence[int]) -> Pipeline | None:
    """Return 1 for times on a holiday, and 0 for others and missing ones.

    None for no column.

    The days are data of the encoder: later versions of calendars change nothing of a model.
    """
    if not columns:
        return None
    days = np.repeat(np.array(holidays, dtype=np.float64)[:, np.newaxis], len(columns), axis=1)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    steps = [
        MaxAbsScaler().fit(pd.DataFrame({name: [float(SECONDS_PER_DAY)] for name in columns})),
        _function(np.floor),
        ordinal.fit(days),
        Binarizer(threshold=-0.5).fit(days),
    ]
    return make_pipeline(_function(np.positive), FrozenEstimator(make_pipeline(*steps)))


def _function(function: np.ufunc) -> FunctionTransformer:
    return FunctionTransformer(function, feature_names_out="one-to-one")


def feature_columns(encoder: ColumnTransformer) -> list[str]:
    """Return the raw column that each feature of a fitted encoder is made of, in their order."""
    raw_columns: list[str] = [""] * sum(
        len(range(*where.indices(10**9))) for where in encoder.output_indices_.values()
    )
    for name, transformer, columns in encoder.transformers_:
        where = encoder.output_indices_[name]
        names = (
            transformer.get_feature_names_out(np.asarray(columns, dtype=object))
            if hasattr(transformer, "get_feature_names_out")
            else columns
        )
        for position, feature in zip(range(where.start, where.stop), names, strict=True):
            raw_columns[position] = _column_of(str(feature), columns)
    return raw_columns


def _column_of(feature: str, columns: Sequence[str]) -> str:
    """Return the column whose name a feature's holds: the longest one."""
    fitting = [name for name in columns if name in feature]
    return max(fitting, key=len) if fitting else feature


def as_float32(matrix: Any) -> Any:  # noqa: ANN401 - dense or sparse
    """Return a dense matrix in the precision in which trees read it; a sparse one as it is."""
    return matrix.astype(np.float32) if isinstance(matrix, np.ndarray) else matrix


def example_frame(columns: Sequence[Column]) -> pd.DataFrame:
    """Return an empty frame of some columns, as models take it."""
    return pd.DataFrame({column.name: pd.Series(dtype="object") for column in columns})

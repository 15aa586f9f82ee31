"""A small declared table for tests: flights, with texts, yes and no, times and missing values."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declared import dataset_of
from model_loop.training_set.encoders.tables import table_encoder
from model_loop.training_set.encodings import Layout

DECLARATION = """
name = "flights"
title = "Flights"
target = "arr_delay"
source = "flights.csv"
moments = ["planned", "departed"]
[time]
column = "time_hour"
stored_in = "UTC"
time_zone = "America/New_York"
[task]
unit = "min"
[columns.time_hour]
type = "time"
[columns.carrier]
type = "category"
title = "Airline"
constraints = {required = true}
[columns.flight]
type = "category"
[columns.distance]
type = "number"
unit = "mi"
constraints = {required = true, minimum = 0}
[columns.dep_delay]
type = "number"
known = "departed"
[columns.weekend]
type = "yes_no"
[columns.tailnum]
type = "id"
[recipes.planned]
at = "planned"
[recipes.departed]
at = "departed"
"""
ROWS = 1_500


def flights() -> Dataset:
    """Return the dataset of the declaration."""
    return dataset_of(Declaration.model_validate(tomllib.loads(DECLARATION)))


def rows(count: int = ROWS, seed: int = 3) -> pd.DataFrame:
    """Return rows as models take them, with `arr_delay`."""
    random = np.random.default_rng(seed)
    carriers = np.array(["UA", "AA", "B6", "DL", "EV"], dtype=object)
    # 2013-01-01, hour by hour.
    hours = 1_356_998_400.0 + 3_600.0 * random.integers(0, 8_760, count)
    frame = pd.DataFrame(
        {
            "time_hour": hours,
            "carrier": random.choice(carriers, count),
            "flight": random.integers(1, 60, count).astype(str).astype(object),
            "distance": random.gamma(3.0, 300.0, count).round(),
            "dep_delay": random.normal(10.0, 30.0, count).round(),
            "weekend": (hours // 86_400 % 7 > 4).astype(np.float64),
        }
    )
    late = 20.0 * (frame["carrier"] == "EV") + 0.9 * frame["dep_delay"] - frame["distance"] / 200
    frame["arr_delay"] = late + random.normal(0.0, 5.0, count)
    for name, share in (("flight", 0.1), ("dep_delay", 0.2), ("weekend", 0.1)):
        frame.loc[random.random(count) < share, name] = np.nan
    return frame


def fitted(dataset: Dataset, recipe: str, layout: Layout, holidays: Sequence[int] = ()) -> Pipeline:
    """Return a model of a recipe: a forest of dense columns, a linear model of sparse ones.

    Parameters
    ----------
    holidays
        Days since 1970 that count as holidays.
    """
    columns = list(dataset.recipe(recipe).columns)
    learned = rows()
    encoder = table_encoder(
        [one for one in dataset.columns if one.name in columns],
        layout,
        rows=len(learned),
        holidays=holidays,
        dated=["time_hour"],
    )
    estimator = (
        LinearRegression()
        if layout == "sparse"
        else RandomForestRegressor(12, max_depth=8, random_state=1)
    )
    matrix = encoder.fit_transform(learned[columns], learned["arr_delay"])
    estimator.fit(matrix, learned["arr_delay"])
    return Pipeline([("encode", encoder), ("estimate", estimator)])

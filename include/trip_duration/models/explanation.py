"""What a model needs to know: permutation importance of the raw columns, for every family."""

from __future__ import annotations

import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline

from trip_duration.trips.services import DURATION

#: Trips and repetitions that an explanation may cost.
SAMPLE_TRIPS = 5_000
REPETITIONS = 3


def explain(model: Pipeline, trips: pd.DataFrame, *, random_state: int) -> pd.DataFrame | None:
    """How much worse a model predicts when one raw column is shuffled (Breiman, 2001).

    Parameters
    ----------
    trips
        Raw columns with their ``duration``; at most `SAMPLE_TRIPS` of them are drawn.
    random_state
        Seed of the draw and of the shuffling.

    Returns
    -------
    pandas.DataFrame or None
        ``column``, ``increase`` of the RMSE and its ``spread`` (standard deviation) over
        `REPETITIONS` shufflings, in minutes, the most needed first; None where there are no trips.
    """
    if trips.empty:
        return None
    sample = trips.sample(min(len(trips), SAMPLE_TRIPS), random_state=random_state)
    columns = sample.drop(columns=DURATION)
    found = permutation_importance(
        model,
        columns,
        sample[DURATION],
        scoring="neg_root_mean_squared_error",
        n_repeats=REPETITIONS,
        random_state=random_state,
    )
    table = pd.DataFrame(
        {
            "column": list(columns.columns),
            "increase": found.importances_mean,
            "spread": found.importances_std,
        }
    )
    return table.sort_values("increase", ascending=False, ignore_index=True)

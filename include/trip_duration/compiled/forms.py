"""The forms of the encoders of trips, as servers look them up."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.days import HOUR, WEEKDAY
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.columns import Vocabulary
from model_loop.serving.compiled.encoders import Kernel, kernel_of
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.origins import Origins, origins_of
from trip_duration.columns import TRIP_COLUMNS
from trip_duration.compiled import vectors
from trip_duration.compiled.flat import DenseTables, SparseTables
from trip_duration.compiled.soundness import sound_width
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    TRIP_TYPE,
    VENDOR,
)

_ODD_SHARE = 0.3
#: 2000-01-01 and 2099-12-31, in seconds since 1970.
_TIMES = (946_684_800, 4_102_444_799)
#: Rare zones: the first and last of TLC's. Models refuse other numbers, as requests do.
_ODD_ZONES = (1, 263, 264, 265)
#: Miles: what the encoders clip or floor, and what meters have reported.
_ODD_DISTANCES = (0.0, 0.01, 0.3, 30.0, 30.01, 100.0, 201_421.0)
#: 2024-07-04, a holiday, and the last second of a leap day.
_ODD_TIMES = (1_720_051_200, 1_709_251_199)

#: Places in a row of the features that `sources` names; hour and weekday are of the time.
_ORIGINS: Mapping[str, int] = MappingProxyType(
    {
        **TRIP_COLUMNS.places,
        HOUR: TRIP_COLUMNS.places[PICKUP_TIME],
        WEEKDAY: TRIP_COLUMNS.places[PICKUP_TIME],
    }
)

_CODE: Mapping[tuple[type, type], str] = MappingProxyType(
    {
        (DenseTables, Trees): "predict_dense_trees",
        (SparseTables, Trees): "predict_sparse_trees",
        (SparseTables, Linear): "predict_sparse_linear",
    }
)


class TripForms:
    """Tables of `DenseTripEncoder` and of `OneHotTripEncoder`."""

    kinds: Mapping[str, type] = MappingProxyType(
        {kind.__name__: kind for kind in (DenseTables, SparseTables)}
    )

    def columns_of(self, encoder: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - any step of a pipeline
        """Return the raw columns that an encoder reads; None of another one."""
        from trip_duration.recipes import get_recipe  # noqa: PLC0415 - as above
        from trip_duration.training_set.encoders.dense import DenseTripEncoder  # noqa: PLC0415 - 150 MB
        from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder  # noqa: PLC0415 - as above

        if isinstance(encoder, DenseTripEncoder | OneHotTripEncoder):
            return get_recipe(encoder.recipe).columns
        return None

    def tables_of(self, encoder: Any) -> tuple[DenseTables | SparseTables, Vocabulary] | None:  # noqa: ANN401 - as above
        """Return the tables of a fitted encoder; None of another one."""
        from trip_duration.compiled.tables import (  # noqa: PLC0415 - as above
            dense_tables,
            sparse_tables,
        )
        from trip_duration.training_set.encoders.dense import DenseTripEncoder  # noqa: PLC0415 - as above
        from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder  # noqa: PLC0415 - as above

        if isinstance(encoder, OneHotTripEncoder):
            return sparse_tables(encoder), {}
        return (dense_tables(encoder), {}) if isinstance(encoder, DenseTripEncoder) else None

    def kernel(self, tables: Any, flat: Any, *, machine_code: bool) -> Kernel | None:  # noqa: ANN401 - as stored
        """Return the function that predicts; None for linear models of dense columns."""
        return kernel_of(_CODE.get((type(tables), type(flat))), __name__, machine_code=machine_code)

    def sound_width(self, tables: Any) -> int | None:  # noqa: ANN401 - as stored
        """Return the number of columns that tables make; None if they do not fit together."""
        return sound_width(tables)

    def design(
        self,
        rows: Rows,
        tables: DenseTables | SparseTables,
        absent: float,
    ) -> npt.NDArray[np.float64]:
        """Return the design matrix of rows."""
        return vectors.design(rows, tables, absent)

    def origins(self, encoder: Any, _tables: Any) -> Origins:  # noqa: ANN401 - as above
        """Return the columns of a row that each column of the design matrix is computed from."""
        return origins_of(
            [
                sorted({_ORIGINS[feature] for feature in encoder.sources(name)})
                for name in encoder.get_feature_names_out()
            ]
        )

    def odd_rows(self, _tables: Any, count: int, seed: int = 0) -> Rows:  # noqa: ANN401 - as stored
        """Return generated rows, among them every oddity that a request may have."""
        return odd_rows(count, seed)


def odd_rows(count: int, seed: int = 0) -> Rows:
    """Return generated rows, among them every oddity that a request may have."""
    random = np.random.default_rng(seed)

    def mixed(usual: np.ndarray, odd: tuple[float, ...]) -> np.ndarray:
        return np.where(random.random(count) < _ODD_SHARE, random.choice(odd, count), usual)

    places = TRIP_COLUMNS.places
    rows = np.empty((count, len(TRIP_COLUMNS)))
    for zone in (PICKUP_ZONE, DROPOFF_ZONE):
        rows[:, places[zone]] = mixed(random.integers(1, 266, count), _ODD_ZONES)
    rows[:, places[PICKUP_TIME]] = mixed(random.integers(*_TIMES, count), _ODD_TIMES)
    rows[:, places[DISTANCE]] = mixed(random.gamma(2.0, 1.5, count).round(2), _ODD_DISTANCES)
    for name in (PASSENGERS, VENDOR, TRIP_TYPE):
        rows[:, places[name]] = mixed(random.integers(0, 7, count), (np.nan,))
    return rows


FORMS = TripForms()

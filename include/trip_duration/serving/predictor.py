"""A registered version, ready to answer: compiled where that is possible and proven."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trip_duration.errors import InvalidInputError
from trip_duration.serving.rows import COLUMNS, NAMES, PLACES, Rows, from_frame, to_frame
from trip_duration.training_set.encoders import DenseTripEncoder, OneHotTripEncoder
from trip_duration.training_set.recipes import get_recipe
from trip_duration.training_set.types import Minutes
from trip_duration.trips.services import (
    DISTANCE,
    DROPOFF_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    TRIP_TYPE,
    VENDOR,
)

if TYPE_CHECKING:
    from trip_duration.tracking.registry import LoadedModel

#: Minutes by which the compiled form may differ from the registered model.
TOLERANCE = 1e-5

_GENERATED = 1_000
_ODD_SHARE = 0.3
#: 2000-01-01 and 2099-12-31, in seconds since 1970.
_TIMES = (946_684_800, 4_102_444_799)
#: Zones that are rare or none: the first and last of TLC's, and numbers beyond.
_ODD_ZONES = (0, 1, 263, 264, 265, 266, 511, 512, 10**9)
#: Miles: what the encoders clip or floor, and what meters have reported.
_ODD_DISTANCES = (0.0, 0.01, 0.3, 30.0, 30.01, 100.0, 201_421.0)
#: 2024-07-04, a holiday, and the last second of a leap day.
_ODD_TIMES = (1_720_051_200, 1_709_251_199)

_Predict = Callable[[Rows], Minutes]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictor:
    """A version that can answer.

    Parameters
    ----------
    version
        Number in the registry.
    columns
        Raw columns that it reads.
    places
        Places in a row of those that may not be unknown.
    predict
        Minutes of rows, shape (trips,). It may run in several threads at once.
    plain
        Why it is served as it is; empty if it is compiled.
    """

    version: int
    columns: tuple[str, ...]
    places: tuple[int, ...]
    predict: _Predict
    plain: str = ""

    def lacking(self, rows: Sequence[Sequence[float]]) -> str:
        """What some row lacks, as requests name it; empty if nothing is missing."""
        for row in rows:
            for place in self.places:
                if row[place] != row[place]:  # NaN: ten times as fast as a call
                    return NAMES[place]
        return ""

    @property
    def compiled(self) -> bool:
        """Whether the compiled form answers."""
        return not self.plain


def make_predictor(version: int, loaded: LoadedModel) -> Predictor:
    """Make a loaded version ready to answer.

    Its compiled form is used only if it says what the model says, on the example that is stored
    beside the model and on generated trips with every oddity that requests may have.

    Raises
    ------
    InvalidInputError
        If the model reads columns that no request has.
    """
    columns = _columns(loaded)
    if unknown := sorted(set(columns) - set(COLUMNS)):
        raise InvalidInputError(
            f"Version {version}",
            f"reads {', '.join(unknown)}, which requests do not hold",
            "Promote a version that reads raw columns of trips.",
        )

    def predict_plain(rows: Rows) -> Minutes:
        return np.asarray(loaded.model.predict(to_frame(rows, columns)), dtype=np.float64)

    predict: _Predict = predict_plain
    plain = ""
    try:
        predict = _proven(_compile(loaded), predict_plain, _sample(loaded, columns))
    except NotCompiledError as error:
        plain = str(error)
        logger.warning("Version %d is served as it is: %s", version, plain)
    except Exception as error:
        # A fault of the compiler is none of the model.
        plain = f"compiling it failed: {error!r}"
        logger.exception("Version %d is served as it is: %s", version, plain)
    optional = {PASSENGERS, VENDOR, TRIP_TYPE}
    places = tuple(PLACES[name] for name in columns if name not in optional)
    return Predictor(version, columns, places, predict, plain)


class NotCompiledError(Exception):
    """A model has no compiled form, or none that agrees with it."""


def _columns(loaded: LoadedModel) -> tuple[str, ...]:
    encoder = loaded.model.named_steps.get("encode")
    if isinstance(encoder, DenseTripEncoder | OneHotTripEncoder):
        return get_recipe(encoder.recipe).columns
    return loaded.inputs


def _compile(loaded: LoadedModel) -> _Predict:
    # Importing numba takes a second, and 60 MB that only those who predict should pay.
    from trip_duration.serving import forests, kernels
    from trip_duration.serving.tables import dense_tables, sparse_tables

    steps = dict(loaded.model.named_steps)
    encoder, selected = steps.pop("encode", None), steps.pop("select", None)
    estimator = steps.popitem()[1]
    if steps or not isinstance(encoder, DenseTripEncoder | OneHotTripEncoder):
        raise NotCompiledError("pipelines of other steps have no compiled form")
    width = len(encoder.get_feature_names_out())
    flat = forests.flatten(estimator, selected.places if selected else None, width)
    if flat is None:
        raise NotCompiledError(f"{type(estimator).__name__} has no compiled form")
    if isinstance(encoder, OneHotTripEncoder):
        linear = isinstance(flat, kernels.Linear)
        kernel = kernels.predict_sparse_linear if linear else kernels.predict_sparse_trees
        return _bound(kernel, sparse_tables(encoder), flat)
    if isinstance(flat, kernels.Linear):
        raise NotCompiledError("linear models of dense columns have no compiled form")
    return _bound(kernels.predict_dense_trees, dense_tables(encoder), flat)


def _bound(kernel: Callable[..., None], tables: object, flat: object) -> _Predict:
    def predict(rows: Rows) -> Minutes:
        minutes = np.empty(len(rows))
        kernel(rows, tables, flat, minutes)
        return minutes

    return predict


def _proven(compiled: _Predict, plain: _Predict, sample: Rows) -> _Predict:
    """The compiled form, if it says what the model says."""
    difference = float(np.max(np.abs(compiled(sample) - plain(sample))))
    # Written so that NaN is too much.
    if not difference <= TOLERANCE:
        raise NotCompiledError(
            f"its compiled form differs by up to {difference:g} minutes on the sample"
        )
    return compiled


def _sample(loaded: LoadedModel, columns: tuple[str, ...]) -> Rows:
    """The stored example and generated trips."""
    generated = odd_rows(_GENERATED)
    if loaded.example is None:
        return generated
    example: pd.DataFrame = loaded.example
    if PICKUP_TIME in columns:
        example = example.assign(**{PICKUP_TIME: pd.to_datetime(example[PICKUP_TIME])})
    return np.concatenate([from_frame(example, columns), generated])


def odd_rows(count: int, seed: int = 0) -> Rows:
    """Generated rows, among them every oddity that a request may have."""
    random = np.random.default_rng(seed)

    def mixed(usual: np.ndarray, odd: tuple[float, ...]) -> np.ndarray:
        return np.where(random.random(count) < _ODD_SHARE, random.choice(odd, count), usual)

    rows = np.empty((count, len(COLUMNS)))
    for zone in (PICKUP_ZONE, DROPOFF_ZONE):
        rows[:, PLACES[zone]] = mixed(random.integers(1, 266, count), _ODD_ZONES)
    rows[:, PLACES[PICKUP_TIME]] = mixed(random.integers(*_TIMES, count), _ODD_TIMES)
    rows[:, PLACES[DISTANCE]] = mixed(random.gamma(2.0, 1.5, count).round(2), _ODD_DISTANCES)
    for name in (PASSENGERS, VENDOR, TRIP_TYPE):
        rows[:, PLACES[name]] = mixed(random.integers(0, 7, count), (np.nan,))
    return rows

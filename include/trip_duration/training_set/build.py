"""From a request to a training set: fetch, check, clean, split, encode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from trip_duration.training_set.encoders import DenseTripEncoder, OneHotTripEncoder
from trip_duration.training_set.recipes import Layout, get_recipe
from trip_duration.training_set.types import (
    EncodedSplits,
    Minutes,
    TrainingSet,
    TrainingSetRequest,
    TripEncoder,
)
from trip_duration.trips.cleaning import CleanMonth, clean_month
from trip_duration.trips.contract import check_month
from trip_duration.trips.months import Month
from trip_duration.trips.services import DURATION, get_service
from trip_duration.trips.source import RawMonth, check_months, fetch_month
from trip_duration.trips.split import SplitTrips, split_trips

#: Miles. Linear models lose their slope to the 201,421-mile trips of the real files; 30 miles
#: is beyond every plausible trip within the city.
CLIP_DISTANCE = 30.0

EXAMPLE_TRIPS = 5


def check_request(request: TrainingSetRequest, *, timeout_seconds: float) -> None:
    """Refuse at once what cannot be built, before any expensive work.

    Raises
    ------
    SourceError
        If a month is not to be had from the source.
    """
    check_months(
        request.source,
        get_service(request.service),
        request.split.all,
        timeout_seconds=timeout_seconds,
    )


def fetch(
    request: TrainingSetRequest, month: Month, *, storage_root: str, timeout_seconds: float
) -> RawMonth:
    """Fetch one month of the request and check what is in it.

    Raises
    ------
    SourceError
        If the month is not to be had.
    ContractError
        If the file is not what TLC publishes for this service.
    """
    service = get_service(request.service)
    raw = fetch_month(
        request.source,
        service,
        month,
        storage_root,
        sample=request.sample,
        timeout_seconds=timeout_seconds,
    )
    check_month(raw, service, get_recipe(request.recipe).columns)
    return raw


def clean(request: TrainingSetRequest, raw: RawMonth) -> CleanMonth:
    """Clean one fetched month.

    Raises
    ------
    ContractError
        If no trip is left.
    """
    columns = get_recipe(request.recipe).columns
    return clean_month(raw, get_service(request.service), columns, request.rules)


def encode(
    request: TrainingSetRequest,
    months: Sequence[RawMonth],
    trips: Mapping[Month, pd.DataFrame],
) -> TrainingSet:
    """Split clean months by time and encode them.

    Parameters
    ----------
    months
        The files that went in.
    trips
        The clean trips of each month.
    """
    split = split_trips(trips, request.split)
    layouts = {layout: _encode(split, *_encoders(request, layout)) for layout in _layouts(request)}
    columns = list(get_recipe(request.recipe).columns)
    return TrainingSet(
        request=request,
        months=tuple(months),
        layouts=MappingProxyType(layouts),
        train_minutes=_minutes(split.train),
        validation_minutes=_minutes(split.validation),
        test_trips=split.test[[*columns, DURATION]],
        example_trips=split.validation[columns].head(EXAMPLE_TRIPS),
        strays=split.strays,
    )


def build_training_set(
    request: TrainingSetRequest, *, storage_root: str, timeout_seconds: float = 60.0
) -> TrainingSet:
    """Do all of it in one process, month after month.

    Raises
    ------
    SourceError, ContractError
        See `check_request`, `fetch` and `clean`.
    """
    check_request(request, timeout_seconds=timeout_seconds)
    raw_months = [
        fetch(request, month, storage_root=storage_root, timeout_seconds=timeout_seconds)
        for month in request.split.all
    ]
    trips = {Month.parse(raw.month): clean(request, raw).trips for raw in raw_months}
    return encode(request, raw_months, trips)


def _layouts(request: TrainingSetRequest) -> tuple[Layout, ...]:
    return ("sparse",) if request.encoding == "one_hot" else ("sparse", "dense")


def _encoders(request: TrainingSetRequest, layout: Layout) -> tuple[TripEncoder, TripEncoder]:
    def encoder() -> TripEncoder:
        if request.encoding == "one_hot":
            return OneHotTripEncoder(request.recipe)
        if layout == "sparse":
            return OneHotTripEncoder(request.recipe, clip_distance=CLIP_DISTANCE)
        return DenseTripEncoder(
            request.recipe, clip_distance=CLIP_DISTANCE, random_state=request.random_state
        )

    return encoder(), encoder()


def _encode(split: SplitTrips, train_encoder: TripEncoder, encoder: TripEncoder) -> EncodedSplits:
    both = pd.concat([split.train, split.validation], ignore_index=True)
    return EncodedSplits(
        train=train_encoder.fit_transform(split.train, _minutes(split.train)),
        validation=train_encoder.transform(split.validation),
        train_validation=encoder.fit_transform(both, _minutes(both)),
        train_encoder=train_encoder,
        encoder=encoder,
    )


def _minutes(trips: pd.DataFrame) -> Minutes:
    return np.asarray(trips[DURATION].to_numpy(dtype=np.float64, copy=True))

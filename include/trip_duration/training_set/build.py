"""From a request to a training set: fetch, check, clean, split, encode."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from model_loop.days import days_of
from model_loop.errors import InvalidInputError
from model_loop.findings import Finding
from model_loop.training_set.build import sample_places
from model_loop.training_set.encodings import Layout
from model_loop.training_set.frames import as_numbers
from model_loop.training_set.learned import learned_values
from model_loop.training_set.matrices import Targets
from model_loop.training_set.products import TrainingSetProduct
from model_loop.training_set.types import EncodedSplits, TrainingSet
from trip_duration.cleaning import CleaningReport, Selection, take_month
from trip_duration.columns import TRIP_COLUMNS, known_too_late
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.months import Month
from trip_duration.recipes import get_recipe
from trip_duration.services import DURATION, PICKUP_TIME, get_service
from trip_duration.source.fetching import check_months, fetch_month
from trip_duration.source.freshness import is_unchanged
from trip_duration.source.types import RawMonth
from trip_duration.split import SplitCollector, SplitTrips
from trip_duration.training_set.encoders.dense import DenseTripEncoder
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder
from trip_duration.training_set.request import TrainingSetRequest

#: Miles. Linear models lose their slope to the 201,421-mile trips of the real files; 30 miles
#: is beyond every plausible trip within the city.
CLIP_DISTANCE = 30.0

EXAMPLE_TRIPS = 5

#: Validation trips from which the sizes of errors are learned: all of them, up to so many.
SIZED_TRIPS = 200_000
#: Number of learned trips by which shares are known to a tenth of a percent.
REFERENCE_TRIPS = 50_000

logger = logging.getLogger(__name__)


def check_request(request: TrainingSetRequest, *, timeout_seconds: float) -> None:
    """Refuse at once what cannot be built, before any expensive work.

    Raises
    ------
    SourceError
        If a month is not to be had from the source.
    InvalidInputError
        If the recipe has a column that holds the outcome.
    """
    recipe = get_recipe(request.recipe)
    if late := known_too_late(recipe.columns, recipe.moment):
        raise InvalidInputError(
            f"Recipe {recipe.name!r}",
            f"knows {', '.join(late)}, which is known only with the outcome: a leak",
            "Take it out of the recipe's columns.",
        )
    check_months(
        request.source,
        get_service(request.service),
        request.split.all,
        timeout_seconds=timeout_seconds,
    )


def is_current(product: TrainingSetProduct, *, timeout_seconds: float) -> bool:
    """Return whether a training set is made of what the source has now, so needs no rebuild."""
    return all(is_unchanged(raw, timeout_seconds=timeout_seconds) for raw in product.files)


def fetch_requested_month(
    request: TrainingSetRequest, month: Month, *, storage_root: str, timeout_seconds: float
) -> RawMonth:
    """Fetch one month of the request.

    Raises
    ------
    SourceError
        If the month is not to be had.
    """
    return fetch_month(
        request.source,
        get_service(request.service),
        month,
        storage_root,
        sample=request.sample,
        timeout_seconds=timeout_seconds,
    )


def check_fetched_month(
    raw: RawMonth, *, storage_root: str, limits: ContractLimits
) -> CheckedMonth:
    """Check one fetched month against its contract, unless that was done before.

    Raises
    ------
    ContractError
        If the file is not what TLC publishes for this service, or too much of it is wrong.
    """
    return CheckedMonthStore(storage_root).check(raw, get_service(raw.service), limits)


def encode(
    request: TrainingSetRequest, months: Sequence[CheckedMonth], findings: Iterable[Finding] = ()
) -> TrainingSet:
    """Clean checked months, split them by time, and encode them.

    Parameters
    ----------
    findings
        Findings of the comparison with earlier months; the training set holds them.

    Raises
    ------
    ContractError
        If no trip is left of a month, to learn from or to tune on.
    """
    recipe, service = get_recipe(request.recipe), get_service(request.service)
    selection = Selection(recipe.columns, request.rules, keep_set_aside=not recipe.knows_time)
    rows = sum(month.report.rows for month in months)
    collector = SplitCollector(request.split, service, recipe.columns, rows)
    reports = []
    for month in months:
        collector.begin(Month.parse(month.raw.month))
        reports.append(take_month(month, service, selection, collector))
        logger.info("%s", reports[-1])
    raw = [month.raw for month in months]
    return _training_set(request, raw, reports, collector.finish(), findings)


def _training_set(
    request: TrainingSetRequest,
    months: Sequence[RawMonth],
    reports: Sequence[CleaningReport],
    split: SplitTrips,
    findings: Iterable[Finding],
) -> TrainingSet:
    columns = list(get_recipe(request.recipe).columns)
    # Before the raw columns are freed.
    reference = _reference(split, columns, request.random_state)
    learned = learned_values(TRIP_COLUMNS, columns, (split.train, split.validation))
    minutes = {"train": _minutes(split.train), "validation": _minutes(split.validation)}
    example = split.validation[columns].head(EXAMPLE_TRIPS).copy()
    times, days = None, None
    if PICKUP_TIME in columns:
        times = as_numbers(split.validation[PICKUP_TIME])
        days = days_of(as_numbers(split.train[PICKUP_TIME])).astype(np.int32)
    judged = split.validation
    places = sample_places(len(judged), request.random_state, SIZED_TRIPS)
    judged = judged if places is None else judged.iloc[places]
    judged = judged[[*columns, DURATION]].reset_index(drop=True)
    layouts = {layout: _encode(split, request, layout) for layout in _layouts(request)}
    return TrainingSet(
        request=request,
        files=tuple(months),
        cleaning=tuple(reports),
        layouts=MappingProxyType(layouts),
        train_target=minutes["train"],
        validation_target=minutes["validation"],
        test_rows=split.test[[*columns, DURATION]].copy(),
        example_rows=example,
        periods=MappingProxyType(dict(split.periods)),
        strays=split.strays,
        reference_rows=reference,
        findings=tuple(findings),
        validation_rows=judged,
        validation_places=places,
        validation_times=times,
        train_days=days,
        learned=learned,
    )


def _reference(split: SplitTrips, columns: list[str], random_state: int) -> pd.DataFrame:
    """A sample of what is learned from, each part in proportion, in the order of the trips."""
    parts, count = (split.train, split.validation), len(split.train) + len(split.validation)
    share = min(1.0, REFERENCE_TRIPS / count)
    # Not by pandas, which shuffles all rows in order to draw some.
    generator = np.random.default_rng(random_state)
    drawn = [
        part[columns].iloc[
            np.sort(generator.choice(len(part), round(share * len(part)), replace=False))
        ]
        for part in parts
    ]
    return pd.concat(drawn, ignore_index=True)


def _layouts(request: TrainingSetRequest) -> tuple[Layout, ...]:
    return ("sparse",) if request.encoding == "one_hot" else ("sparse", "dense")


def _encode(split: SplitTrips, request: TrainingSetRequest, layout: Layout) -> EncodedSplits:
    if layout == "dense":
        return _encode_dense(split, request)
    return _encode_sparse(split, request)


def _encode_sparse(split: SplitTrips, request: TrainingSetRequest) -> EncodedSplits:
    clip = None if request.encoding == "one_hot" else CLIP_DISTANCE
    encoder, train_encoder = (
        OneHotTripEncoder(request.recipe, clip_distance=clip) for _ in range(2)
    )
    both = (split.train, split.validation)
    known, further = (encoder.pairs_of(trips) for trips in both)
    train_encoder.fit_pairs(known)
    # Free them if they are not needed again: the matrices need their room.
    give_up = (split.train,) if _layouts(request) == ("sparse",) else ()
    everything = encoder.fit_pairs(known, further).transform_parts(both, give_up=give_up)
    # The train trips come first, and both encoders know all of their pairs.
    first = _first_rows(everything, len(split.train))
    return EncodedSplits(
        train=train_encoder.recode(first, encoder),
        validation=train_encoder.transform(split.validation),
        train_validation=everything,
        train_encoder=train_encoder,
        encoder=encoder,
    )


def _encode_dense(split: SplitTrips, request: TrainingSetRequest) -> EncodedSplits:
    # The other layout does without its part of scikit-learn.
    encoder, train_encoder = (
        DenseTripEncoder(
            request.recipe, clip_distance=CLIP_DISTANCE, random_state=request.random_state
        )
        for _ in range(2)
    )
    both = pd.concat([split.train, split.validation], ignore_index=True)
    return EncodedSplits(
        train=train_encoder.fit_transform(split.train, _minutes(split.train)),
        validation=train_encoder.transform(split.validation),
        train_validation=encoder.fit_transform(both, _minutes(both)),
        train_encoder=train_encoder,
        encoder=encoder,
    )


def _first_rows(matrix: csr_matrix, rows: int) -> csr_matrix:
    """The first rows of a matrix, in the same memory; a slice of SciPy's would be a copy."""
    last = matrix.indptr[rows]
    parts = (matrix.data[:last], matrix.indices[:last], matrix.indptr[: rows + 1])
    return csr_matrix(parts, shape=(rows, matrix.shape[1]), copy=False)


def _minutes(trips: pd.DataFrame) -> Targets:
    minutes: Targets = trips[DURATION].to_numpy()
    return minutes

"""Profile of the trips that a version has learned from, small enough to stay beside it for good.

Features are profiled on the train and validation trips. Predictions and SHAP values are profiled
on the test trips, which the version has never seen: on trips that it has learned from, a forest is
surer of itself than it will be of any window.
"""

from __future__ import annotations

import io
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from model_loop.errors import ContractError, StoredObjectError
from model_loop.models.explanation import shap_by_feature, shap_rows
from model_loop.models.intervals import DaySpread, sums_by_day
from model_loop.monitoring.features import Bins, Counts, Floats, bins_of, features
from model_loop.objects.documents import UNREADABLE, record_of, text_of
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.runs import Tracker
from model_loop.training_set.types import TrainingSet
from trip_duration.recipes import get_recipe
from trip_duration.services import DURATION, PICKUP_TIME

logger = logging.getLogger(__name__)

#: Artifacts of the version's run.
FOLDER = "profile"
PROFILE, SAMPLE = "profile.json", "trips.parquet"

#: Name of the predictions among the features.
PREDICTION = "predicted_minutes"
#: Number of trips whose predictions are profiled; so many are kept for reports.
PREDICTED_TRIPS = 10_000
SAMPLE_TRIPS = 5_000
#: Number of trips for the variation between days: more than a thousand for each day.
DAILY_TRIPS = 50_000
#: Number of trips to compute SHAP values of, where training has not done it.
_SHAP_TRIPS = 500


@dataclass(frozen=True)
class FeatureProfile:
    """Distribution of one feature.

    Parameters
    ----------
    bins
        Bins in which they were counted.
    counts
        Trips in each bin.
    missing
        Trips that lack the feature.
    once
        Category: those that a single trip has.
    """

    bins: Bins
    counts: tuple[int, ...]
    missing: int
    once: int = 0

    @classmethod
    def of(cls, bins: Bins, values: Floats) -> FeatureProfile:
        """Count values in bins."""
        counts = bins.counts(values)
        found = np.unique(values[np.isfinite(values)], return_counts=True)[1]
        once = int(np.count_nonzero(found == 1)) if bins.kind == "category" else 0
        return cls(bins, tuple(counts.tolist()), len(values) - int(counts.sum()), once)

    @property
    def expected(self) -> Counts:
        """Trips in each bin of as many later trips, if nothing changes.

        As many of them as there are categories with a single trip will have one that was never
        seen (Good, *The population frequencies of species*, Biometrika 40, 1953).
        """
        counts = np.asarray(self.counts)
        if self.bins.kind == "category":
            counts[self.bins.unseen] = self.once
        return counts

    @property
    def known(self) -> int:
        """Trips that have the feature."""
        return sum(self.counts)

    @property
    def missing_share(self) -> float:
        """Share of the trips that lack it; NaN of no trips."""
        trips = self.known + self.missing
        return self.missing / trips if trips else np.nan


@dataclass(frozen=True)
class ShapProfile:
    """Mean contribution of each feature to predictions.

    Parameters
    ----------
    means
        Mean of the absolute minutes, by feature.
    errors
        Standard errors of these means.
    trips
        Number of trips that they were computed on.
    """

    means: Mapping[str, float]
    errors: Mapping[str, float]
    trips: int

    @classmethod
    def of(cls, minutes: pd.DataFrame) -> ShapProfile:
        """From minutes of shape (trips, features)."""
        magnitudes = minutes.abs()
        errors = magnitudes.std(ddof=0) / np.sqrt(max(len(minutes), 1))
        return cls(
            MappingProxyType({str(name): float(mean) for name, mean in magnitudes.mean().items()}),
            MappingProxyType({str(name): float(error) for name, error in errors.items()}),
            len(minutes),
        )


@dataclass(frozen=True)
class VersionProfile:
    """Profile of the trips that a version has learned from, and of its predictions.

    Parameters
    ----------
    service, training_set
        Service of the trips, and the digest of the training set.
    data_source
        Source of the months: ``sample`` as soon as one was generated.
    columns
        The raw columns that the version takes.
    features
        Distribution of each feature over the train and validation trips.
    predictions
        Distribution of the predicted minutes over the test trips; over the train trips where
        there were no test months.
    shap
        Contribution of each feature to predictions; None unless the model is of trees.
    days
        Variation of errors between days in the test months; None where that was not measured.
    """

    service: str
    training_set: str
    data_source: str
    columns: tuple[str, ...]
    features: tuple[FeatureProfile, ...]
    predictions: FeatureProfile
    shap: ShapProfile | None
    days: DaySpread | None = None


@dataclass(frozen=True)
class ReferenceProfile:
    """A profile with some of the trips that it was made of.

    Parameters
    ----------
    profile
        Profile to compare with.
    sample
        Raw columns and `PREDICTION`, for reports that need trips; the predictions are not of the
        same trips.
    """

    profile: VersionProfile
    sample: pd.DataFrame


@dataclass(frozen=True)
class ProfiledTrips:
    """Trips that a profile is computed from, as raw columns.

    Parameters
    ----------
    learned
        Trips that the version has learned from.
    judged
        Trips that it has not seen; without any, the learned ones stand in for them.
    shap
        SHAP values by feature of trips that it has not seen, where they were computed before.
    """

    learned: pd.DataFrame
    judged: pd.DataFrame
    shap: pd.DataFrame | None = None


def make_reference(
    model: Pipeline, training_set: TrainingSet, shap: pd.DataFrame | None = None
) -> ReferenceProfile:
    """Profile a version by its training set.

    Parameters
    ----------
    shap
        See `ProfiledTrips`.

    Raises
    ------
    ContractError
        If the training set holds no reference trips.
    """
    if training_set.reference_rows is None:
        raise ContractError(
            f"The training set {training_set.digest}",
            "was built by a version of this package that kept no reference trips",
            "Build it again from its months: model-loop profile-version.",
        )
    request = training_set.request
    trips = ProfiledTrips(training_set.reference_rows, training_set.test_rows, shap)
    about = (request.service, training_set.digest, training_set.data_source)
    return reference_of(model, trips, about, random_state=request.random_state)


def reference_of(
    model: Pipeline, trips: ProfiledTrips, about: tuple[str, str, str], *, random_state: int
) -> ReferenceProfile:
    """Profile a model by trips.

    Parameters
    ----------
    about
        Service, digest of the training set and source of the data.
    """
    columns = list(get_recipe(model.named_steps["encode"].recipe).columns)
    learned = trips.learned[columns]
    judged = trips.judged[columns] if len(trips.judged) else learned
    drawn = _some(judged, PREDICTED_TRIPS, random_state)
    predicted = np.asarray(model.predict(drawn), dtype=np.float64)
    minutes = trips.shap
    if minutes is None and (rows := shap_rows(model, _SHAP_TRIPS)):
        minutes = shap_by_feature(model, drawn.head(rows))
    profile = VersionProfile(
        *about,
        columns=tuple(columns),
        features=tuple(
            FeatureProfile.of(bins_of(name, values), values)
            for name, values in features(learned).items()
        ),
        predictions=FeatureProfile.of(Bins.of_number(PREDICTION, predicted), predicted),
        shap=None if minutes is None else ShapProfile.of(minutes),
        days=day_spread(model, _some(trips.judged, DAILY_TRIPS, random_state)),
    )
    kept = _some(learned, SAMPLE_TRIPS, random_state).reset_index(drop=True)
    sample = pd.concat([kept, pd.Series(predicted[:SAMPLE_TRIPS], name=PREDICTION)], axis=1)
    return ReferenceProfile(profile, sample)


def day_spread(model: Pipeline, trips: pd.DataFrame) -> DaySpread | None:
    """Measure how much the errors of a model differ between days.

    None where the trips hold no time or no duration, or are of less than two weeks.
    """
    if not {PICKUP_TIME, DURATION} <= set(trips) or trips.empty:
        return None
    columns = list(get_recipe(model.named_steps["encode"].recipe).columns)
    predicted = np.asarray(model.predict(trips[columns]), dtype=np.float64)
    days = trips[PICKUP_TIME].to_numpy().astype("datetime64[D]").astype(np.int64)
    return DaySpread.of(sums_by_day(predicted - trips[DURATION].to_numpy(), days))


def _some(trips: pd.DataFrame, most: int, random_state: int) -> pd.DataFrame:
    return trips.sample(min(len(trips), most), random_state=random_state)


def log_reference(tracker: Tracker, run_id: str, reference: ReferenceProfile) -> None:
    """Keep a profile beside its version; one that is there is replaced."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / PROFILE).write_text(text_of(reference.profile))
        reference.sample.to_parquet(Path(folder) / SAMPLE, index=False)
        tracker.client.log_artifacts(run_id, folder, FOLDER)


def find_profile(tracker: Tracker, name: str, version: int) -> VersionProfile | None:
    """Return the profile of a version; None if it has none.

    Raises
    ------
    StoredObjectError
        If it is damaged, or of a version of this package that is not understood.
    mlflow.exceptions.MlflowException
        If there is no such version, or the server fails.
    """
    content = _read(tracker, name, version, PROFILE)
    if content is None:
        return None
    try:
        return record_of(VersionProfile, json.loads(content))
    except UNREADABLE as error:
        raise StoredObjectError(
            f"The profile of version {version} of {name}",
            f"cannot be read ({error})",
            "Make it again: model-loop profile-version.",
        ) from error


def find_sample(tracker: Tracker, name: str, version: int) -> pd.DataFrame | None:
    """Return the sample of trips beside the profile; None if there is none that can be read."""
    content = _read(tracker, name, version, SAMPLE)
    try:
        return None if content is None else pd.read_parquet(io.BytesIO(content))
    except (*UNREADABLE, OSError) as error:
        # It is of use for a report alone.
        logger.warning("The sample of trips of version %d cannot be read: %s", version, error)
        return None


def _read(tracker: Tracker, name: str, version: int, file: str) -> bytes | None:
    run_id = tracker.client.get_model_version(name, str(version)).run_id
    return read_artifact(tracker.client, run_id, f"{FOLDER}/{file}")

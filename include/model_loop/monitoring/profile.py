"""Profile of the rows that a version has learned from, small enough to stay beside it for good.

Features are profiled on the train and validation rows. Predictions and SHAP values are profiled on
the test rows, which the version has never seen: on rows that it has learned from, a forest is surer
of itself than it will be of any window.
"""

from __future__ import annotations

import io
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from model_loop.datasets.dataset import Dataset, Target
from model_loop.errors import ContractError, StoredObjectError
from model_loop.models.class_metrics import decide, log_losses
from model_loop.models.explanation import shap_by_feature, shap_rows
from model_loop.models.intervals import DaySpread, sums_by_day
from model_loop.models.outcomes import Explains, Predicts, parts_of_classifier, predict_outcomes
from model_loop.models.slices import Cut
from model_loop.monitoring.features import Bins, Counts, Feature, bins_of, features
from model_loop.objects.documents import UNREADABLE, record_of, text_of
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.runs import Tracker
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

logger = logging.getLogger(__name__)

#: Artifacts of the version's run.
FOLDER = "profile"
PROFILE, SAMPLE = "profile.json", "rows.parquet"

#: Name of the predictions among the features.
PREDICTION = "prediction"
#: Names of both that versions before 0.2 have written.
_FORMER_SAMPLE, _FORMER_PREDICTION = "trips.parquet", "predicted_minutes"
#: Number of rows whose predictions are profiled; so many are kept for reports.
PREDICTED_ROWS = 10_000
SAMPLE_ROWS = 5_000
#: Number of rows for the variation between days: more than a thousand for each day.
DAILY_ROWS = 50_000
#: Number of rows to compute SHAP values of, where training has not done it.
_SHAP_ROWS = 500


@dataclass(frozen=True)
class FeatureProfile:
    """Distribution of one feature.

    Parameters
    ----------
    bins
        Bins in which they were counted.
    counts
        Rows in each bin.
    missing
        Rows that lack the feature.
    once
        Category: those that a single row has.
    """

    bins: Bins
    counts: tuple[int, ...]
    missing: int
    once: int = 0

    @classmethod
    def of(cls, bins: Bins, values: Feature) -> FeatureProfile:
        """Count values in bins."""
        codes, once = bins.codes(values), 0
        known = codes >= 0
        counts = np.bincount(codes[known], minlength=bins.size)
        if bins.kind == "category":
            once = int(np.count_nonzero(np.unique(values[known], return_counts=True)[1] == 1))
        return cls(bins, tuple(counts.tolist()), int(np.count_nonzero(~known)), once)

    @property
    def expected(self) -> Counts:
        """Rows in each bin of as many later rows, if nothing changes.

        As many of them as there are categories with a single row will have one that was never
        seen (Good, *The population frequencies of species*, Biometrika 40, 1953).
        """
        counts = np.asarray(self.counts)
        if self.bins.kind == "category":
            counts[self.bins.unseen] = self.once
        return counts

    @property
    def known(self) -> int:
        """Rows that have the feature."""
        return sum(self.counts)

    @property
    def missing_share(self) -> float:
        """Share of the rows that lack it; NaN of no rows."""
        rows = self.known + self.missing
        return self.missing / rows if rows else np.nan


@dataclass(frozen=True)
class ShapProfile:
    """Mean contribution of each feature to predictions.

    Parameters
    ----------
    means
        Mean of the absolute contributions, by feature, in the unit of the target.
    errors
        Standard errors of these means.
    rows
        Number of rows that they were computed on.
    """

    means: Mapping[str, float]
    errors: Mapping[str, float]
    rows: int

    @classmethod
    def of(cls, values: pd.DataFrame) -> ShapProfile:
        """From SHAP values of shape (rows, features)."""
        magnitudes = values.abs()
        errors = magnitudes.std(ddof=0) / np.sqrt(max(len(values), 1))
        return cls(
            MappingProxyType({str(name): float(mean) for name, mean in magnitudes.mean().items()}),
            MappingProxyType({str(name): float(error) for name, error in errors.items()}),
            len(values),
        )


@dataclass(frozen=True)
class ClassProfile:
    """Classes that a version predicts, and those that rows truly have.

    Parameters
    ----------
    labels
        Labels of the classes as texts, by their codes.
    called
        Rows that were predicted to be of each class, at the threshold of the version.
    means, errors
        Mean probability of each class, and its standard error.
    actual
        Train, validation and test rows that truly are of each class.
    """

    labels: tuple[str, ...]
    called: tuple[int, ...]
    means: tuple[float, ...]
    errors: tuple[float, ...]
    actual: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        predicted: Targets,
        target: Target,
        threshold: float,
        actual: Targets | None = None,
    ) -> ClassProfile:
        """Count the classes of predictions, and of true codes where these are given."""
        texts = target.labels.texts
        columns = predicted
        if predicted.ndim == 1:
            columns = np.stack([1 - predicted, predicted], axis=1)
        rows = max(len(predicted), 1)
        called = np.bincount(decide(predicted, threshold), minlength=len(texts))
        true = () if actual is None else np.bincount(actual.astype(int), minlength=len(texts))
        return cls(
            texts,
            tuple(called.tolist()),
            tuple((columns.sum(axis=0) / rows).tolist()),
            tuple((columns.std(axis=0) / np.sqrt(rows)).tolist()),
            tuple(map(int, true)),
        )


@dataclass(frozen=True)
class VersionProfile:
    """Profile of the rows that a version has learned from, and of its predictions.

    Parameters
    ----------
    variant, training_set
        Variant that the rows are of, and the digest of the training set.
    data_source
        Source of the partitions: ``sample`` as soon as one was generated.
    columns
        The raw columns that the version takes.
    features
        Distribution of each feature over the train and validation rows.
    predictions
        Distribution of the predictions over the test rows; over the train rows where there were no
        test partitions.
    shap
        Contribution of each feature to predictions; None unless the model is of trees.
    days
        Variation of errors between days in the test rows, of classes that of their log losses; None
        where that was not measured.
    cuts
        Rules that cut rows into slices, in profiles that were made before those of the evaluation
        were read; see `monitoring.tested`.
    classes
        Predicted classes on the rows of `predictions`, and true ones; None of a regressor.
    """

    variant: str
    training_set: str
    data_source: str
    columns: tuple[str, ...]
    features: tuple[FeatureProfile, ...]
    predictions: FeatureProfile
    shap: ShapProfile | None
    days: DaySpread | None = None
    cuts: tuple[Cut, ...] = ()
    classes: ClassProfile | None = None


@dataclass(frozen=True)
class ReferenceProfile:
    """A profile with some of the rows that it was made of.

    Parameters
    ----------
    profile
        Profile to compare with.
    sample
        Raw columns and `PREDICTION`, for reports that need rows; the predictions are not of the
        same rows.
    """

    profile: VersionProfile
    sample: pd.DataFrame


def make_reference(
    model: Pipeline | Explains,
    training_set: TrainingSet,
    shap: pd.DataFrame | None = None,
    columns: Sequence[str] | None = None,
) -> ReferenceProfile:
    """Profile a version by its training set.

    Parameters
    ----------
    shap
        SHAP values by feature of rows that it has not seen, where they were computed before.
    columns
        The raw columns that the version takes; by default, those of the training set's recipe.

    Raises
    ------
    ContractError
        If the training set holds no reference rows.
    """
    learned = training_set.reference_rows
    if learned is None:
        raise ContractError(
            f"The training set {training_set.digest}",
            "was built by a version of this package that kept no reference rows",
            "Build it again from its partitions: model-loop profile-version.",
        )
    request, test = training_set.request, training_set.test_rows
    dataset, seed = training_set.dataset, request.random_state
    columns = list(training_set.recipe.columns if columns is None else columns)
    learned = learned[columns]
    # Without any test rows, those that it has learned from stand in for them.
    drawn = _some(test[columns] if len(test) else learned, PREDICTED_ROWS, seed)
    predicted = predict_outcomes(model, drawn, dataset.target)
    score = score_of(predicted)
    if shap is None and (rows := shap_rows(model, _SHAP_ROWS)):
        shap = shap_by_feature(model, drawn.head(rows))
    profile = VersionProfile(
        request.service,
        training_set.digest,
        training_set.data_source,
        columns=tuple(columns),
        features=tuple(
            FeatureProfile.of(bins_of(name, values, dataset), values)
            for name, values in features(learned, dataset).items()
        ),
        predictions=FeatureProfile.of(Bins.of_number(PREDICTION, score), score),
        shap=None if shap is None else ShapProfile.of(shap),
        days=day_spread(model, _some(test, DAILY_ROWS, seed), columns, dataset),
        classes=_classes_of(model, predicted, training_set),
    )
    sample = _some(learned, SAMPLE_ROWS, seed).reset_index(drop=True)
    predictions = pd.Series(score[:SAMPLE_ROWS], name=PREDICTION)
    return ReferenceProfile(profile, pd.concat([sample, predictions], axis=1))


def day_spread(
    model: Predicts, rows: pd.DataFrame, columns: Sequence[str], dataset: Dataset
) -> DaySpread | None:
    """Measure how much the errors of a model differ between days.

    None where the rows hold no time or no true value, or are of less than two weeks.

    Parameters
    ----------
    rows
        Raw columns with the target.
    columns
        Those that the model takes.
    """
    target, time = dataset.target.name, dataset.time
    if time is None or not {time, target} <= set(rows):
        return None
    rows = rows.dropna(subset=[time])
    if rows.empty:
        return None
    predicted = predict_outcomes(model, rows[list(columns)], dataset.target)
    actual = rows[target].to_numpy(dtype=np.float64)
    days = rows[time].to_numpy().astype("datetime64[D]").astype(np.int64)
    if dataset.target.is_classified:
        # A log loss is never negative, so it equals its absolute value.
        return DaySpread.of(sums_by_day(log_losses(actual, predicted), days))
    return DaySpread.of(sums_by_day(predicted - actual, days))


def score_of(predicted: Targets) -> Targets:
    """Return the number of each prediction whose distribution is watched, shape (rows,).

    With several classes, it is the probability of the most probable one.
    """
    return predicted.max(axis=1) if predicted.ndim > 1 else predicted


def _classes_of(
    model: Pipeline | Explains, predicted: Targets, training_set: TrainingSet
) -> ClassProfile | None:
    target = training_set.dataset.target
    if not target.is_classified:
        return None
    if isinstance(model, Pipeline):
        threshold = parts_of_classifier(model.steps[-1][1]).threshold
    else:
        threshold = model.threshold
    actual = np.concatenate([training_set.train_validation_target, training_set.test_target])
    return ClassProfile.of(predicted, target, threshold, actual)


def _some(rows: pd.DataFrame, most: int, random_state: int) -> pd.DataFrame:
    return rows.sample(min(len(rows), most), random_state=random_state)


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
    """Return the sample of rows beside the profile; None if there is none that can be read."""
    content = _read(tracker, name, version, SAMPLE)
    if content is None:
        content = _read(tracker, name, version, _FORMER_SAMPLE)
    if content is None:
        return None
    try:
        sample = pd.read_parquet(io.BytesIO(content))
    except (*UNREADABLE, OSError) as error:
        # It is of use for a report alone.
        logger.warning("The sample of rows of version %d cannot be read: %s", version, error)
        return None
    return sample.rename(columns={_FORMER_PREDICTION: PREDICTION})


def _read(tracker: Tracker, name: str, version: int, file: str) -> bytes | None:
    run_id = tracker.client.get_model_version(name, str(version)).run_id
    return read_artifact(tracker.client, run_id, f"{FOLDER}/{file}")

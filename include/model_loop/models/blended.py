"""The model of a blend: one object of scikit-learn's whose members are registered pipelines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from model_loop.datasets.dataset import Target
from model_loop.errors import InvalidInputError
from model_loop.models.blend import BLEND, Blend, blended
from model_loop.models.catalogue import ModelFamily
from model_loop.models.evaluation import measure_outcomes
from model_loop.models.outcomes import parts_of_classifier
from model_loop.models.search import SearchRequest, Trial, TuningResult
from model_loop.models.training import TrainedModel, finish
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

Member = tuple[Pipeline, float]
"""A pipeline from raw rows to what it predicts, and its weight."""


def blend_models(models: Sequence[tuple[str, Pipeline, float]], target: Target) -> Pipeline:
    """Return the model that answers with the weighted mean of what others answer.

    Of classifiers it is the mean of the probabilities that were not mended: those of the blend are
    mended themselves.

    Parameters
    ----------
    models
        Name, fitted pipeline and weight of each member.

    Raises
    ------
    InvalidInputError
        If classifiers have learned different classes.
    """
    members = [(name, FrozenEstimator(_bare(model))) for name, model, _ in models]
    weights = [weight for *_, weight in models]
    # Nothing is learned from the rows: what is frozen is fitted.
    if target.is_classified:
        classes = [np.asarray(member.classes_).tolist() for _, member in members]
        if any(each != classes[0] for each in classes):
            raise InvalidInputError(
                f"A blend of {', '.join(name for name, _ in members)}",
                "has members that have learned different classes",
                "Train them on the same rows.",
            )
        labels = np.array(classes[0])
        voting = VotingClassifier(members, voting="soft", weights=weights)
        voting.fit(np.zeros((len(labels), 1)), labels)
    else:
        voting = VotingRegressor(members, weights=weights).fit(np.zeros((2, 1)), np.zeros(2))
    # These estimators by name, in a class that models are not stored with.
    voting.named_estimators_ = dict(voting.named_estimators_)
    # Members have encoders of their own.
    return Pipeline([("encode", "passthrough"), ("estimate", voting)])


def members_of(model: Pipeline) -> list[Member] | None:
    """Return the members of a blend with their weights; None of another model."""
    voting = parts_of_classifier(model.steps[-1][1]).base
    if not isinstance(voting, VotingClassifier | VotingRegressor) or voting.weights is None:
        return None
    models = [
        estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
        for estimator in voting.estimators_
    ]
    if not all(isinstance(one, Pipeline) for one in models):
        return None
    return [*zip(models, np.asarray(voting.weights, dtype=np.float64).tolist(), strict=True)]


def train_members(
    blend: Blend,
    models: Sequence[Pipeline],
    predicted: Mapping[str, Targets],
    training_set: TrainingSet,
    request: SearchRequest,
) -> TrainedModel:
    """Blend fitted models, and calibrate, judge and explain the blend as any other model.

    Parameters
    ----------
    blend
        Members and weights.
    models
        Fitted pipelines of its members.
    predicted
        Outcomes of the rows that settings are chosen by, by family; see `blend.select_weights`.
    """
    started, target = time.monotonic(), training_set.target
    named = [
        (member.family, model, member.weight)
        for member, model in zip(blend.members, models, strict=True)
    ]
    model, mean = blend_models(named, target), blended(predicted, blend.weights)
    actual = training_set.judged_target(family_of_blends(training_set).layout)
    metrics = measure_outcomes(actual, mean, target)
    best = Trial(0, dict(blend.weights), metrics, time.time(), 0.0)
    tuned = TuningResult(BLEND, best, (), 0.0, fixed={}, predicted=mean)
    seconds = time.monotonic() - started
    trained = finish(model, tuned, seconds, training_set, request, family_of_blends(training_set))
    return replace(trained, blend=blend)


def family_of_blends(training_set: TrainingSet) -> ModelFamily:
    """Return the family of blends; its members have layouts of their own."""
    layouts = training_set.layouts
    # Layouts of large tables may hold a sample of the rows.
    layout = max(layouts, key=lambda each: len(training_set.judged_target(each)))
    return ModelFamily(BLEND, "Weighted mean of the best of each family", layout, {}, seeded=False)


def _bare(model: Pipeline) -> Pipeline:
    """Return a pipeline without what mends its probabilities."""
    name, last = model.steps[-1]
    return Pipeline([*model.steps[:-1], (name, parts_of_classifier(last).base)])

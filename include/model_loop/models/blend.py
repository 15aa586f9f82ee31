"""Blends of families: which weights they get, and whether a blend is worth having.

Weights come from greedy ensemble selection with replacement (Caruana et al., "Ensemble selection
from libraries of models", 2004) on what the best trial of each family predicts of the rows that
settings are chosen by. Rows of calibration and of test take no share in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from model_loop.datasets.dataset import Target
from model_loop.models.class_metrics import log_losses
from model_loop.models.classification.clusters import Clusters, mean_of_clusters
from model_loop.models.search import SearchRequest, metric_title
from model_loop.training_set.matrices import Targets

#: Name of the family of blends.
BLEND = "blend"

#: Picks of the selection: a weight is a whole number of twentieths at most.
PICKS = 20
#: Consecutive days that come into the same half: no whole week, so that weekdays change halves.
BLOCK_DAYS = 3
#: Days, groups or rows without which noise cannot be distinguished from a gain.
LEAST_CLUSTERS = 10
#: Least gain that is worth the further time of an answer, as a share of the error.
WORTH = 0.001
#: Probability that the interval of a gain holds it.
_CONFIDENCE = 0.95
#: Losses that differ by no more than this share are the same: sums of other orders differ so much.
_SAME = 1e-9

_Halves = npt.NDArray[np.bool_]
Weights = Mapping[str, float]
"""Weight of each member by the name of its family; they add up to 1."""


def row_losses(actual: Targets, predicted: Targets, metric: str) -> Targets:
    """Return the loss of each row, shape (rows,), whose mean ranks as a metric of curves does.

    Parameters
    ----------
    actual, predicted
        True values, shape (rows,), and outcomes as predicted; see `models.outcomes`.
    metric
        ``rmse`` (squared errors), ``mae`` or ``log_loss``; see `SearchRequest.curve_metric`.
    """
    if metric == "log_loss":
        return log_losses(actual, predicted)
    errors = predicted - actual
    return np.abs(errors) if metric == "mae" else np.square(errors)


def select_weights(predicted: Mapping[str, Targets], actual: Targets, metric: str) -> Weights:
    """Select the members of a blend, one after another and each as often as it lowers the loss.

    The blend with the lowest loss on the way is taken: of equal ones that with fewer picks. A
    further member has to lower the loss by `WORTH` more than one that is in the blend already; of
    equal ones, the first by name is taken.

    Parameters
    ----------
    predicted
        Outcomes by the name of the family, each of shape (rows,) or (rows, classes).
    actual, metric
        See `row_losses`.
    """
    names, total = sorted(predicted), np.zeros_like(next(iter(predicted.values())))
    counts, best = dict.fromkeys(names, 0), math.inf
    weights: dict[str, float] = {}
    for picks in range(1, PICKS + 1):
        losses = {
            name: float(row_losses(actual, (total + predicted[name]) / picks, metric).mean())
            for name in names
        }
        same = min(losses.values()) * (1 + _SAME)
        name = next(each for each in names if losses[each] <= same)
        members = [each for each in names if counts[each]]
        member = min(members, key=losses.__getitem__, default=name)
        if losses[member] * (1 - WORTH) <= losses[name]:
            # A further member takes its whole time for every answer.
            name = member
        counts[name] += 1
        total = total + predicted[name]
        if losses[name] < best * (1 - _SAME):
            best = losses[name]
            weights = {name: count / picks for name, count in counts.items() if count}
    return weights


def blended(predicted: Mapping[str, Targets], weights: Weights) -> Targets:
    """Return the weighted mean of the outcomes of the members."""
    names = [*weights]
    mean: Targets = np.average(
        [predicted[name] for name in names], axis=0, weights=[weights[name] for name in names]
    )
    return mean


def halves_of(predicted: Mapping[str, Targets], actual: Targets, clusters: Clusters) -> _Halves:
    """Divide rows into halves so that no cluster is in both, whatever the order of the rows.

    Days come into blocks of `BLOCK_DAYS`, every other one of which is in the same half. Others are
    divided by a hash of what is true and predicted of them.

    Returns
    -------
    numpy.ndarray
        Whether each row is in the second half, shape (rows,).
    """
    if clusters.kind == "days":
        return np.asarray(clusters.codes // BLOCK_DAYS % 2, dtype=np.bool_)
    columns = np.column_stack([actual, *(predicted[name] for name in sorted(predicted))])
    content = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy()
    least = np.full(clusters.number, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(least, clusters.codes, content)
    return np.asarray(least[clusters.codes] >> np.uint64(32) & np.uint64(1), dtype=np.bool_)


@dataclass(frozen=True)
class BlendJudgement:
    """Decision on whether a blend is worth having.

    Parameters
    ----------
    reason
        The decision in a sentence.
    chosen
        Whether it is.
    weights
        Weights by all rows; empty where there is nothing to blend.
    alone
        The best family by itself.
    metric
        Metric of the losses.
    error_alone, error_blended
        Errors of both on rows that the selection has not seen.
    gain, lower, upper
        Difference of these errors with its 95 % interval, above 0 where the blend is better.
    clusters
        Number of days, groups or rows of the interval.
    """

    reason: str
    chosen: bool = False
    weights: Weights = field(default_factory=dict)
    alone: str = ""
    metric: str = "rmse"
    error_alone: float = math.nan
    error_blended: float = math.nan
    gain: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    clusters: int = 0

    def metrics(self) -> dict[str, float]:
        """Return what was measured by its tracked names."""
        names = ("error_alone", "error_blended", "gain", "lower", "upper")
        return {f"blend_{name}": getattr(self, name) for name in names}


@dataclass(frozen=True)
class BlendMember:
    """Member of a blend.

    Parameters
    ----------
    family, version
        Family and version of the registered model.
    weight
        Weight; those of all members add up to 1.
    microseconds
        Time that its compiled form takes for one row; None where it has none.
    """

    family: str
    version: int
    weight: float
    microseconds: float | None = None


@dataclass(frozen=True)
class Blend:
    """Blend that is worth having.

    Parameters
    ----------
    members
        Members, by the names of their families.
    judgement
        Decision to have it.
    microseconds
        See `BlendMember`.
    """

    members: tuple[BlendMember, ...]
    judgement: BlendJudgement
    microseconds: float | None = None

    @property
    def weights(self) -> Weights:
        """Weights by family."""
        return {member.family: member.weight for member in self.members}


def judge_blend(
    predicted: Mapping[str, Targets],
    actual: Targets,
    clusters: Clusters,
    request: SearchRequest,
    target: Target,
    *,
    noun: str = "rows",
) -> BlendJudgement:
    """Decide whether a blend is better than its best family by more than noise.

    A selection on each half of the rows is judged on the other one, by the difference of its losses
    and those of the family that is the best by all rows, with clusters as the sample.

    Parameters
    ----------
    predicted, actual
        See `select_weights`.
    clusters
        Clusters of the rows.
    request
        Search whose metric counts.
    target, noun
        Target, and word for rows.
    """
    metric = request.curve_metric
    if len(predicted) <= 1:
        return BlendJudgement(f"There is no blend: it takes two families, and {_few(predicted)}.")
    means = {name: row_losses(actual, predicted[name], metric).mean() for name in sorted(predicted)}
    alone = min(means, key=means.__getitem__)
    weights, several = select_weights(predicted, actual, metric), clusters.number
    plural = {"rows": noun, "groups": "groups", "days": "days"}[clusters.kind]
    if several < LEAST_CLUSTERS:
        return BlendJudgement(
            f"There is no blend: {several} {plural} of validation do not tell a gain from noise, "
            f"{LEAST_CLUSTERS} are needed.",
            alone=alone,
        )
    if len(weights) == 1:
        return BlendJudgement(
            f"There is no blend: none has a lower error on validation than {alone} alone.",
            alone=alone,
        )
    unseen, second = np.empty(len(actual)), halves_of(predicted, actual, clusters)
    for inside in (second, ~second):
        if inside.all() or not inside.any():
            return BlendJudgement(
                f"There is no blend: the {noun} of validation cannot be halved.", alone=alone
            )
        others = select_weights(_of(predicted, ~inside), actual[~inside], metric)
        mixed = blended(_of(predicted, inside), others)
        unseen[inside] = row_losses(actual[inside], mixed, metric)
    gains = row_losses(actual, predicted[alone], metric) - unseen
    return _judged(gains, unseen, weights, alone, metric, clusters, target, plural)


def _judged(
    gains: Targets,
    unseen: Targets,
    weights: Weights,
    alone: str,
    metric: str,
    clusters: Clusters,
    target: Target,
    plural: str,
) -> BlendJudgement:
    mean, error, several = mean_of_clusters(gains, clusters.codes)
    before, after, factor = float((gains + unseen).mean()), float(unseen.mean()), 1.0
    if metric == "rmse":
        before, after = math.sqrt(before), math.sqrt(after)
        # Roots differ by the difference of the squares over their sum.
        factor = 1 / (before + after) if before + after else 1.0
    reach = float(stats.t.ppf((1 + _CONFIDENCE) / 2, several - 1)) * error
    gain, lower, upper = (factor * each for each in (mean, mean - reach, mean + reach))
    chosen = lower > 0 and gain >= WORTH * before
    members = ", ".join(f"{name} {weight:.0%}" for name, weight in weights.items())
    title, unit = metric_title(metric), target.with_unit if metric != "log_loss" else str
    measured = (
        f"{title} {unit(f'{after:.4g}')} on validation rows that its selection has not seen, and "
        f"{alone} alone {unit(f'{before:.4g}')}"
    )
    limits = f"95 % interval of the gain {lower:+.3g} to {upper:+.3g}, by {several:,} {plural}"
    if chosen:
        reason = f"The blend of {members} is registered: {measured} ({limits})."
    else:
        why = "less than noise" if lower <= 0 else "too little for what it costs"
        reason = f"No blend is registered, as it gains {why}: {members} has {measured} ({limits})."
    return BlendJudgement(
        reason, chosen, weights, alone, metric, before, after, gain, lower, upper, several
    )


def _of(predicted: Mapping[str, Targets], rows: _Halves) -> dict[str, Targets]:
    return {name: outcomes[rows] for name, outcomes in predicted.items()}


def _few(predicted: Mapping[str, Targets]) -> str:
    return f"there is {next(iter(predicted))} alone" if predicted else "there is none"

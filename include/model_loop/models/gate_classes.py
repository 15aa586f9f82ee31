"""Classifiers at the gate: rows enough of each class, slices, cost and calibration, the baseline.

All of it is paired: both models have predicted the same rows, and whole groups, or days, are the
sample. A check that could only be missed by chance keeps no better model out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from model_loop.models.classification.clusters import Clusters, chance_below, clusters_of
from model_loop.models.classification.reliability import compare_errors, reliability
from model_loop.models.classification.thresholds import cost_of
from model_loop.models.gate import Check, Contender, Standard, losses_of, standard_of
from model_loop.models.gate_intervals import holm
from model_loop.models.gate_rules import GateRules
from model_loop.models.intervals import WEEK
from model_loop.models.slices import Slicing
from model_loop.training_set.matrices import Targets

#: Probability that a model which is as good is said to be worse, by each check.
_CHANCE = 0.05
#: Calibration error beyond that of perfect probabilities which a first model is warned of.
_ERROR = 0.02
_CONFIDENCE = 0.95


def judge_classes(
    challenger: Contender,
    opponent: Contender | Standard,
    rows: pd.DataFrame,
    rules: GateRules,
    *,
    slicing: Slicing,
    baseline: Standard | None = None,
) -> tuple[Check, ...]:
    """Judge a classifier beyond its log loss; no checks of a regressor.

    Parameters
    ----------
    opponent
        The champion, or the rule without a model that is compared where there is none.
    rows
        The rows of the gate with their target.
    baseline
        The rule that a challenger has to beat beside the champion.
    """
    target = slicing.dataset.target
    if not target.is_classified:
        return ()
    actual = rows[target.name].to_numpy(dtype=np.float64)
    clusters = clusters_of(rows, slicing.dataset)
    champion = opponent if isinstance(opponent, Contender) else None
    standard = standard_of(opponent, actual, target)
    checks = [_are_told_apart(actual, rules, slicing)]
    if champion is not None:
        checks += _no_slice_is_surely_worse(challenger, champion, rows, rules, slicing, clusters)
        checks.append(_calibration(challenger, champion, actual, clusters))
        if baseline is not None:
            checks.append(_beats(challenger, baseline, actual, slicing))
    else:
        checks.append(_first_calibration(challenger, actual))
    checks += _cost(challenger, standard, actual, slicing, clusters)
    return tuple(checks)


def _are_told_apart(actual: Targets, rules: GateRules, slicing: Slicing) -> Check:
    """Check that there are rows enough beside those of the commonest class."""
    dataset = slicing.dataset
    classes, noun = dataset.target.labels, dataset.rows[0]
    counts = np.bincount(actual.astype(np.int64), minlength=len(classes.labels))
    others = int(counts.sum() - counts.max())
    if classes.is_binary:
        code = int(counts.argmin())
        found = f"{others:,} of {counts.sum():,} are {classes.texts[code]}"
    else:
        found = f"{others:,} of {counts.sum():,} are not {classes.texts[int(counts.argmax())]}"
    wanted = f"{rules.least_rows} or more: fewer say nothing"
    if 0 < others < rules.least_rows:
        needed = math.ceil(rules.least_rows * counts.sum() / others)
        wanted = f"{rules.least_rows} or more: about {needed:,} test {noun} at this share"
    return Check(f"test {noun} of the rarer class", others >= rules.least_rows, found, wanted)


def _no_slice_is_surely_worse(
    challenger: Contender,
    champion: Contender,
    rows: pd.DataFrame,
    rules: GateRules,
    slicing: Slicing,
    clusters: Clusters,
) -> Iterator[Check]:
    """Check the slices: none may be worse by more than its share and by more than chance.

    The log loss of a slice with few positive rows hangs on each of them, so that a share alone
    would refuse models by chance. Of all slices together, with Holm's correction.
    """
    target, noun = slicing.dataset.target, slicing.dataset.rows[0]
    actual = rows[target.name].to_numpy(dtype=np.float64)
    ours, theirs = (
        losses_of(actual, contender.predicted, target) for contender in (challenger, champion)
    )
    changes, chances = dict[str, float](), dict[str, float]()
    for name, values in slicing.slices(rows).items():
        for value in pd.Series(values).dropna().unique():
            inside = np.asarray(values == value)
            several = len(np.unique(clusters.codes[inside]))
            if inside.sum() < rules.slice_rows or several < WEEK:
                continue
            allowed = (1 + rules.slice_share) * theirs[inside] - ours[inside]
            label = f"{name} {value}"
            changes[label] = float(ours[inside].sum() / theirs[inside].sum() - 1)
            chances[label] = chance_below(allowed, clusters.codes[inside])
    if not changes:
        return
    order = sorted(chances, key=lambda label: (chances[label], -changes[label]))
    failing = holm([chances[label] for label in order], _CHANCE)
    worst = order[0] if failing else max(changes, key=changes.__getitem__)
    found = f"{worst}: log loss {changes[worst]:+.1%}"
    if failing > 1:
        found += f", and {failing - 1} more"
    yield Check(
        "worst slice",
        failing == 0,
        found,
        f"none surely beyond {rules.slice_share:+.1%} "
        f"(slices of {rules.slice_rows} {noun} and more)",
    )


def _calibration(
    challenger: Contender, champion: Contender, actual: Targets, clusters: Clusters
) -> Check:
    ours, theirs, lowest = compare_errors(
        actual, challenger.predicted, champion.predicted, clusters, confidence=_CONFIDENCE
    )
    found = f"calibration error {ours:.4f} against {theirs:.4f}"
    if lowest > 0:
        found += f": higher by {lowest:.4f} at least, at {_CONFIDENCE:.0%} confidence"
    name = f"calibration against version {champion.version}"
    return Check(name, lowest <= 0, found, "not surely higher")


def _first_calibration(challenger: Contender, actual: Targets) -> Check:
    measured = reliability(actual, challenger.predicted)
    return Check(
        "calibration",
        measured.excess <= _ERROR or measured.chance > _CHANCE,
        f"calibration error {measured.error:.4f}; {measured.by_chance:.4f} by chance alone",
        f"at most {_ERROR:g} beyond chance",
        blocks=False,
    )


def _beats(challenger: Contender, baseline: Standard, actual: Targets, slicing: Slicing) -> Check:
    target = slicing.dataset.target
    ours, theirs = (
        float(losses_of(actual, predicted, target).mean())
        for predicted in (challenger.predicted, baseline.predicted)
    )
    return Check(
        f"log loss against {baseline.name}",
        ours < theirs,
        f"{ours:.4f} against {theirs:.4f}",
        "lower",
    )


def _cost(
    challenger: Contender,
    standard: Standard,
    actual: Targets,
    slicing: Slicing,
    clusters: Clusters,
) -> Iterator[Check]:
    """Check the declared cost, each at its own threshold; none where no cost is declared."""
    classes = slicing.dataset.target.labels
    if not classes.is_binary or classes.cost is None:
        return
    ours, theirs = (
        cost_of(actual, each.predicted, each.threshold, classes.cost)
        for each in (challenger, standard)
    )
    chance = chance_below(theirs - ours, clusters.codes)
    yield Check(
        f"cost against {standard.name}",
        chance >= _CHANCE,
        f"{ours.mean():.4g} for each of the {slicing.dataset.rows[0]} at the threshold "
        f"{challenger.threshold:.3g}, against {theirs.mean():.4g} at {standard.threshold:.3g}",
        "not surely higher",
    )

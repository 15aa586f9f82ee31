"""Reliability of probabilities: whether of rows with a probability of 0.3 about 30 % are positive.

The expected calibration error (Naeini et al., "Obtaining Well Calibrated Probabilities Using
Bayesian Binning", 2015) is never 0, even of perfect probabilities: of each bin a few rows are
counted, and their share differs from the probability by chance. So it stands beside the error that
perfect probabilities would show with the same bins, by drawing the classes from the probabilities
(Bröcker and Smith, "Increasing the Reliability of Reliability Diagrams", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from model_loop.models.classification.clusters import Clusters, Codes, Numbers

#: Most bins, and rows that each holds at least.
BINS, _ROWS_OF_BIN = 10, 20
_DRAWS = 200
#: Resamplings of a comparison.
_RESAMPLINGS = 500
#: Share of the draws of perfect probabilities that lies within the limits of a bin.
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Reliability:
    """Reliability of probabilities on some rows.

    Parameters
    ----------
    error
        Expected calibration error: the mean distance of the share of rows of a class from their
        mean probability, over equally filled bins; of several classes the mean of theirs.
    by_chance
        The error that perfect probabilities would show on average.
    chance
        Probability of so large an error of perfect probabilities.
    curve
        A line for each class and bin, ``code``, ``rows``, ``predicted`` (mean probability),
        ``observed`` (share), and ``low`` and ``high``: where the share of perfect probabilities
        lies with 95 % confidence. Of two classes there are lines of the positive one alone.
    """

    error: float
    by_chance: float
    chance: float
    curve: pd.DataFrame

    @property
    def excess(self) -> float:
        """The error beyond that of perfect probabilities, at least 0."""
        return max(self.error - self.by_chance, 0.0)


def reliability(
    actual: Numbers, predicted: Numbers, *, bins: int = BINS, seed: int = 42
) -> Reliability:
    """Measure how far shares lie from probabilities, on at least one row.

    Parameters
    ----------
    actual
        Codes of the true classes, shape (rows,).
    predicted
        Probability of the positive class, shape (rows,), or of each class, shape (rows, classes).
    bins
        Number of equally filled bins; fewer of few rows.
    """
    columns = predicted[:, None] if predicted.ndim == 1 else predicted
    codes = [1] if predicted.ndim == 1 else list(range(columns.shape[1]))
    several = max(min(bins, len(actual) // _ROWS_OF_BIN), 1)
    tables = [_ProbabilityBins.of(column, several) for column in columns.T]
    observed = [table.shares(actual == code) for table, code in zip(tables, codes, strict=True)]
    random = np.random.default_rng(seed)
    drawn = [
        [table.shares(classes == code) for table, code in zip(tables, codes, strict=True)]
        for classes in (_draw(predicted, random) for _ in range(_DRAWS))
    ]
    errors = np.array([_error(tables, shares) for shares in drawn])
    error = _error(tables, observed)
    tails = np.array([1 - _CONFIDENCE, 1 + _CONFIDENCE]) / 2
    lines = []
    for number, (code, table) in enumerate(zip(codes, tables, strict=True)):
        low, high = np.quantile([shares[number] for shares in drawn], tails, axis=0)
        line = {"rows": table.rows, "predicted": table.means, "observed": observed[number]}
        lines.append(pd.DataFrame({"code": code, **line, "low": low, "high": high}))
    return Reliability(
        error=error,
        by_chance=float(errors.mean()),
        chance=float((1 + (errors >= error).sum()) / (1 + _DRAWS)),
        curve=pd.concat(lines, ignore_index=True),
    )


def compare_errors(
    actual: Numbers,
    ours: Numbers,
    theirs: Numbers,
    clusters: Clusters,
    *,
    confidence: float,
    resamplings: int = _RESAMPLINGS,
    seed: int = 42,
) -> tuple[float, float, float]:
    """Compare the calibration errors of two models on the same rows.

    Parameters
    ----------
    actual, ours, theirs
        Codes of the true classes, and the probabilities of both models.
    clusters
        Clusters of the rows, which are resampled whole.

    Returns
    -------
    tuple
        Both errors, and by how much ours is higher at least, with the confidence: a paired
        bootstrap of the difference, one-sided.
    """
    weighted = [_WeightedError.of(actual, predicted) for predicted in (ours, theirs)]
    both = [each.error(np.ones(len(actual))) for each in weighted]
    random, drawn = np.random.default_rng(seed), []
    for _ in range(resamplings):
        weights = clusters.draw(random)
        drawn.append(weighted[0].error(weights) - weighted[1].error(weights))
    # The bias of a small bin is in both errors, and mostly not in their difference.
    return both[0], both[1], float(np.quantile(drawn, 1 - confidence))


def least_error(
    actual: Numbers,
    predicted: Numbers,
    clusters: Clusters,
    *,
    confidence: float,
    resamplings: int = _RESAMPLINGS,
    seed: int = 42,
) -> float:
    """Return the calibration error that there is at least, with a confidence.

    The basic bootstrap by whole clusters: by as much as resampled errors exceed the measured one,
    the measured one may exceed the true one.
    """
    weighted, random = _WeightedError.of(actual, predicted), np.random.default_rng(seed)
    drawn = [weighted.error(clusters.draw(random)) for _ in range(resamplings)]
    return float(2 * weighted.error(np.ones(len(actual))) - np.quantile(drawn, confidence))


@dataclass(frozen=True)
class _WeightedError:
    """Bins of each class, and by how much each row's class differs from its probability."""

    bins: list[_ProbabilityBins]
    gaps: list[Numbers]

    @classmethod
    def of(cls, actual: Numbers, predicted: Numbers) -> _WeightedError:
        columns = predicted[:, None] if predicted.ndim == 1 else predicted
        several = max(min(BINS, len(actual) // _ROWS_OF_BIN), 1)
        codes = [1] if predicted.ndim == 1 else range(columns.shape[1])
        return cls(
            [_ProbabilityBins.of(column, several) for column in columns.T],
            [(actual == code) - column for code, column in zip(codes, columns.T, strict=True)],
        )

    def error(self, weights: Numbers) -> float:
        """Return the expected calibration error of rows with weights."""
        errors = [
            np.abs(np.bincount(bins.codes, weights * gaps)).sum() / weights.sum()
            for bins, gaps in zip(self.bins, self.gaps, strict=True)
        ]
        return float(np.mean(errors))


@dataclass(frozen=True)
class _ProbabilityBins:
    """Bin of each row by its probability, with their rows and mean probabilities."""

    codes: Codes
    rows: Codes
    means: Numbers

    @classmethod
    def of(cls, probabilities: Numbers, several: int) -> _ProbabilityBins:
        """Cut rows into equally filled bins; rows of the same probability lie in the same bin."""
        inner = np.quantile(probabilities, np.arange(1, several) / several)
        codes = np.searchsorted(np.unique(inner), probabilities, side="right")
        codes = np.unique(codes, return_inverse=True)[1]
        rows = np.bincount(codes)
        return cls(codes, rows, np.bincount(codes, probabilities) / rows)

    def shares(self, hits: np.typing.NDArray[np.bool_]) -> Numbers:
        """Return the share of hits in each bin."""
        return np.bincount(self.codes, hits) / self.rows


def _error(tables: list[_ProbabilityBins], shares: list[Numbers]) -> float:
    errors = [
        np.average(np.abs(share - table.means), weights=table.rows)
        for table, share in zip(tables, shares, strict=True)
    ]
    return float(np.mean(errors))


def _draw(predicted: Numbers, random: np.random.Generator) -> Codes:
    """Draw the class of each row from its probabilities, shape (rows,)."""
    drawn = random.random(len(predicted))
    if predicted.ndim == 1:
        return (drawn < predicted).astype(np.int64)
    above = drawn[:, None] * predicted.sum(axis=1, keepdims=True) > np.cumsum(predicted, axis=1)
    codes: Codes = np.minimum(above.sum(axis=1), predicted.shape[1] - 1)
    return codes

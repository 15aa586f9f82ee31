"""The gate: what a challenger has to show before it takes the champion's place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from model_loop.datasets.classes import HALF
from model_loop.datasets.dataset import Dataset, Moment, Target
from model_loop.intervals.adaptive import Correction
from model_loop.intervals.calibrated import Intervals
from model_loop.models.class_metrics import log_losses
from model_loop.models.classification.clusters import groups_of
from model_loop.models.evaluation import errors_by_slice, naive_outcomes
from model_loop.models.gate_rules import GateRules
from model_loop.models.outcomes import threshold_of
from model_loop.models.search import metric_title
from model_loop.models.slices import Slicing
from model_loop.training_set.data_tests import DataTestResult
from model_loop.training_set.matrices import Targets

#: Resamplings of the bootstrap.
RESAMPLINGS = 999
#: An RMSE that is known less surely than by this share of the baseline's is said to be.
_SURE, _CONFIDENCE = 0.1, 0.95


@dataclass(frozen=True)
class Contender:
    """Test predictions and measurements of a model that the gate compares.

    Parameters
    ----------
    version
        Its number in the registry.
    predicted
        Its predictions of the test rows: numbers or probabilities; see `models.outcomes`.
    inputs
        Names of the columns that its signature asks for; empty if it has no signature.
    milliseconds
        Time for one row (median).
    megabytes
        Size as stored.
    intervals
        Its intervals; None of a version that has none.
    threshold
        Probability from which on it calls a row positive.
    """

    version: int
    predicted: Targets
    inputs: tuple[str, ...]
    milliseconds: float
    megabytes: float
    intervals: Intervals | None = None
    threshold: float = HALF


@dataclass(frozen=True)
class Standard:
    """Predictions that a challenger has to beat where no champion is compared.

    Parameters
    ----------
    name
        Name for people.
    predicted
        Predictions of the test rows: numbers or probabilities.
    threshold
        Probability from which on a row is called positive.
    """

    name: str
    predicted: Targets
    threshold: float = HALF


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name
        Name of the check.
    passed
        Whether it is as it should be.
    found, wanted
        Measured and required value, for people.
    blocks
        Whether a model that fails it stays out; otherwise the failure is a warning.
    """

    name: str
    passed: bool
    found: str
    wanted: str
    blocks: bool = True

    @property
    def outcome(self) -> str:
        """The outcome in a word: ``passed``, ``failed``, or ``warning``."""
        return "passed" if self.passed else "failed" if self.blocks else "warning"


@dataclass(frozen=True)
class GateVerdict:
    """Decision of the gate on a challenger, with every check.

    Parameters
    ----------
    challenger, champion
        Their versions; no champion at the very first time.
    checks
        Every check.
    data_source, recipe, moment
        Source of the challenger's data, its recipe, and the moment of its predictions;
        empty where not recorded, as for a model from elsewhere.
    remarks
        Remarks for the history and the mails: that generated data were accepted, that a champion
        was not compared and why, that it is not known what a version has learned from, that its
        intervals do not hold.
    widening
        Correction of the challenger's intervals, where these are too narrow.
    """

    challenger: int
    champion: int | None
    checks: tuple[Check, ...]
    data_source: str = ""
    recipe: str = ""
    moment: str = ""
    remarks: tuple[str, ...] = ()
    widening: Correction | None = None

    @property
    def passed(self) -> bool:
        """True if no check keeps the challenger out."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that keep the challenger out."""
        return tuple(check for check in self.checks if check.blocks and not check.passed)

    @property
    def markdown(self) -> str:
        """The checks as a table for people."""
        rows = [
            f"| {check.name} | {check.outcome if check.passed else f'**{check.outcome}**'} "
            f"| {check.found} "
            f"| {check.wanted} |"
            for check in self.checks
        ]
        return "\n".join(["| Check | | Found | Wanted |", "| --- | --- | --- | --- |", *rows])

    def table(self) -> pd.DataFrame:
        """A line for each check: ``name``, ``passed``, ``found``, ``wanted``, ``blocks``."""
        return pd.DataFrame([asdict(check) for check in self.checks])


def judge_challenger(
    challenger: Contender,
    opponent: Contender | Standard | None,
    rows: pd.DataFrame,
    rules: GateRules,
    data_tests: Sequence[DataTestResult] = (),
    *,
    slicing: Slicing,
    moment: Moment | None = None,
    random_state: int = 42,
) -> GateVerdict:
    """Compare a challenger with the champion on the same test rows.

    Parameters
    ----------
    opponent
        The champion; where there is none, the best trivial rule (see `models.baseline`), or None:
        always saying the median of the test rows, or the shares of their classes.
    rows
        Raw test rows with their target, at least one, that neither was chosen by. Where the dataset
        declares groups and the rows tell them, whole groups are resampled.
    data_tests
        Results of the data tests of the training set.
    slicing
        Slices of the dataset that the rows are of.
    moment
        The moment at which the challenger is asked: it may know what is known by then. The last
        one, if left out.
    random_state
        Seed of the bootstrap.
    """
    dataset = slicing.dataset
    actual = rows[dataset.target.name].to_numpy(dtype=np.float64)
    champion = opponent if isinstance(opponent, Contender) else None
    standard = standard_of(opponent, actual, dataset.target)
    errors = _PairedErrors.of(challenger, standard, rows, dataset)
    checks = [
        _are_enough(errors, rules, dataset),
        _is_better(errors, standard, rules, dataset, random_state),
        *_no_slice_is_worse(challenger, champion, rows, rules, slicing),
        *_is_fit_to_serve(challenger, champion, rules, dataset, moment or dataset.moments[-1]),
        *data_checks(data_tests),
    ]
    return GateVerdict(challenger.version, champion.version if champion else None, tuple(checks))


def standard_of(opponent: Contender | Standard | None, actual: Targets, target: Target) -> Standard:
    """Return the predictions that are to beat; without an opponent those of no model at all."""
    if isinstance(opponent, Standard):
        return opponent
    if opponent is not None:
        return Standard(f"version {opponent.version}", opponent.predicted, opponent.threshold)
    name = "the shares of the classes" if target.is_classified else "the naive median"
    naive = naive_outcomes(actual, len(actual), target)
    return Standard(name, naive, threshold_of(target))


@dataclass(frozen=True)
class _PairedErrors:
    """Losses of challenger and standard, each of one row or summed over a group of rows.

    Parameters
    ----------
    ours, theirs
        Sums of squared errors, or of log losses, shape (groups,).
    rows
        Rows of each group.
    title
        Name of the metric that is compared: the RMSE, or the log loss.
    """

    ours: Targets
    theirs: Targets
    rows: Targets
    title: str

    @classmethod
    def of(
        cls, challenger: Contender, standard: Standard, rows: pd.DataFrame, dataset: Dataset
    ) -> _PairedErrors:
        target = dataset.target
        actual = rows[target.name].to_numpy(dtype=np.float64)
        title, groups = metric_title(target.main_metric), groups_of(rows, dataset)
        losses = [
            losses_of(actual, predicted, target)
            for predicted in (challenger.predicted, standard.predicted)
        ]
        if groups is None:
            return cls(losses[0], losses[1], np.ones(len(actual)), title)
        ours, theirs, sizes = (
            np.bincount(groups, weights=each).astype(np.float64)
            for each in (*losses, np.ones(len(actual)))
        )
        return cls(ours, theirs, sizes, title)

    @property
    def is_root(self) -> bool:
        """Return whether the metric is the root of a mean of squares."""
        return self.title == "RMSE"

    def metric(self, losses: Targets) -> float:
        """Return the metric of sums of losses."""
        mean = losses.sum() / self.rows.sum()
        return float(np.sqrt(mean) if self.is_root else mean)

    @property
    def number(self) -> int:
        """Number of rows."""
        return int(self.rows.sum())

    @property
    def is_grouped(self) -> bool:
        """Return whether rows are summed over groups."""
        return bool((self.rows > 1).any())

    @property
    def standard(self) -> float:
        """Metric of the standard."""
        return self.metric(self.theirs)

    def half_width(self, confidence: float) -> float:
        """Return half the interval of the challenger's metric, by the delta method on groups."""
        number, groups = self.rows.sum(), len(self.rows)
        if groups < 2 or not self.ours.any():  # noqa: PLR2004 - one group has no spread
            return math.inf if groups < 2 else 0.0  # noqa: PLR2004 - the same
        mse = self.ours.sum() / number
        residuals = self.ours - mse * self.rows
        variance = groups / (groups - 1) * float(np.square(residuals).sum()) / number**2
        reach = float(stats.norm.ppf((1 + confidence) / 2))
        slope = 2 * math.sqrt(mse) if self.is_root else 1.0
        return reach * math.sqrt(variance) / slope

    def gain(
        self,
        ours: npt.NDArray[np.float64],
        theirs: npt.NDArray[np.float64],
        rows: npt.NDArray[np.float64] | None = None,
        axis: int = -1,
    ) -> npt.NDArray[np.float64]:
        """Return by how much the metric is lower, of losses of rows or of sums over groups."""
        size = 1.0 if rows is None else rows.mean(axis=axis)
        means = theirs.mean(axis=axis) / size, ours.mean(axis=axis) / size
        if self.is_root:
            means = np.sqrt(means[0]), np.sqrt(means[1])
        gain: npt.NDArray[np.float64] = means[0] - means[1]
        return gain


def losses_of(actual: Targets, predicted: Targets, target: Target) -> Targets:
    """Return the squared error of each row, or its log loss, shape (rows,)."""
    if target.is_classified:
        return log_losses(actual, predicted)
    squares: Targets = np.square(predicted - actual)
    return squares


def _are_enough(errors: _PairedErrors, rules: GateRules, dataset: Dataset) -> Check:
    """Check that there are rows enough, and say how surely they tell the error."""
    half = errors.half_width(_CONFIDENCE)
    found = f"{errors.number:,}"
    if errors.is_grouped:
        found += f" of {len(errors.rows):,} groups"
    if half > _SURE * errors.standard:
        known = dataset.target.with_unit(f"{half:.3g}")
        found += (
            f": the {errors.title} is known to within {known} only ({_CONFIDENCE:.0%} confidence)"
        )
    return Check(
        f"test {dataset.rows[0]}",
        len(errors.rows) >= rules.least_rows,
        found,
        f"{rules.least_rows} or more: fewer say nothing",
    )


def _is_better(
    errors: _PairedErrors,
    standard: Standard,
    rules: GateRules,
    dataset: Dataset,
    random_state: int,
) -> Check:
    """A paired bootstrap of the difference (Efron and Tibshirani, 1993, chapter 16)."""
    sums: tuple[Targets, ...] = (errors.ours, errors.theirs)
    if errors.is_grouped:
        sums = (*sums, errors.rows)
    gain, lowest = errors.gain(errors.ours, errors.theirs, errors.rows), 0.0
    if len(errors.rows) > 1:
        found = stats.bootstrap(
            sums,
            errors.gain,
            n_resamples=RESAMPLINGS,
            batch=50,
            vectorized=True,
            paired=True,
            # One-sided: the interval reaches up to infinity.
            alternative="greater",
            confidence_level=rules.confidence,
            method="percentile",
            rng=np.random.default_rng(random_state),
        )
        lowest = float(found.confidence_interval.low)
    needed, digits = rules.margin_share * errors.standard, 3 if errors.is_root else 4
    return Check(
        f"{errors.title} against {standard.name}",
        bool(lowest > needed),
        f"{errors.metric(errors.ours):.{digits}f} against "
        f"{dataset.target.with_unit(f'{errors.standard:.{digits}f}')}: "
        f"{_change(float(gain), digits)}, at worst {_change(lowest, digits)} at "
        f"{rules.confidence:.0%} confidence",
        f"better by more than {needed:.{digits}f}",
    )


def _change(gain: float, digits: int) -> str:
    return f"{'better' if gain >= 0 else 'worse'} by {abs(gain):.{digits}f}"


def _no_slice_is_worse(
    challenger: Contender,
    champion: Contender | None,
    rows: pd.DataFrame,
    rules: GateRules,
    slicing: Slicing,
) -> Iterator[Check]:
    """Check the slices of a regressor; those of a classifier are judged in `gate_classes`."""
    target = slicing.dataset.target
    if champion is None or target.is_classified:
        return
    actual = rows[target.name].to_numpy(dtype=np.float64)
    ours, theirs = (
        errors_by_slice(rows, actual, contender.predicted, slicing)
        for contender in (challenger, champion)
    )
    large = ours.rows >= rules.slice_rows
    if not large.any():
        return
    worse = (ours.rmse / theirs.rmse - 1)[large]
    worst = ours.iloc[int(np.flatnonzero(large)[worse.argmax()])]
    yield Check(
        "worst slice",
        bool(worse.max() <= rules.slice_share),
        f"{worst['slice']} {worst['value']}: RMSE {worse.max():+.1%}",
        f"at most {rules.slice_share:+.1%} "
        f"(slices of {rules.slice_rows} {slicing.dataset.rows[0]} and more)",
    )


def _is_fit_to_serve(
    challenger: Contender,
    champion: Contender | None,
    rules: GateRules,
    dataset: Dataset,
    moment: Moment,
) -> Iterator[Check]:
    rows, row = dataset.rows
    inputs = set(challenger.inputs)
    yield Check("signature", bool(inputs), ", ".join(sorted(inputs)) or "none", "there is one")
    if champion is not None:
        yield Check(
            "inputs beside the champion's",
            passed=True,
            found=asked_further(challenger, champion, dataset) or "the same or fewer",
            wanted=f"any that can be filled {dataset.when(moment)}: "
            f"both have predicted the same {rows}",
        )
    leaks = dataset.known_too_late(inputs, moment)
    yield Check(
        "no leak",
        not leaks,
        f"known too late: {', '.join(leaks)}" if leaks else f"moment: {moment}",
        f"every column is known {dataset.when(moment)}",
    )
    yield Check(
        "latency",
        challenger.milliseconds <= rules.latency_milliseconds,
        f"{challenger.milliseconds:.1f} ms for one {row}",
        f"at most {rules.latency_milliseconds:g} ms",
    )
    yield Check(
        "size",
        challenger.megabytes <= rules.size_megabytes,
        f"{challenger.megabytes:.1f} MB",
        f"at most {rules.size_megabytes:g} MB",
    )


def asked_further(challenger: Contender, champion: Contender, dataset: Dataset) -> str:
    """Say what callers have to give, or may give, beyond what the champion takes; else nothing."""
    further = sorted(set(challenger.inputs) - set(champion.inputs))
    needed = [name for name in further if name not in dataset.optional]
    if needed:
        return f"callers have to give {', '.join(needed)}, which the champion does without"
    return f"callers may give {', '.join(further)} as well" if further else ""


def data_checks(outcomes: Sequence[DataTestResult]) -> Iterator[Check]:
    """Make one check of what the data tests of a training set found; none if there were none."""
    if not outcomes:
        return
    failed = [outcome for outcome in outcomes if not outcome.passed]
    yield Check(
        "data tests",
        not failed,
        "; ".join(f"{outcome.name}: {outcome.found}" for outcome in failed)
        or f"{len(outcomes)} passed",
        "all of its training set's passed",
    )

"""The gate: what a challenger has to show before it takes the champion's place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from model_loop.datasets.dataset import Moment
from model_loop.models.evaluation import errors_by_slice, measure
from model_loop.models.gate_rules import GateRules
from model_loop.training_set.data_tests import DataTestResult
from model_loop.training_set.matrices import Targets
from trip_duration.columns import ATTRIBUTES, known_too_late
from trip_duration.services import DURATION, MOMENTS, WHEN

#: Resamplings of the bootstrap.
RESAMPLINGS = 999


@dataclass(frozen=True)
class Contender:
    """Test predictions and measurements of a model that the gate compares.

    Parameters
    ----------
    version
        Its number in the registry.
    predicted
        Minutes of the test trips, shape (trips,).
    inputs
        Names of the columns that its signature asks for; empty if it has no signature.
    milliseconds
        Time for one trip (median).
    megabytes
        Size as stored.
    """

    version: int
    predicted: Targets
    inputs: tuple[str, ...]
    milliseconds: float
    megabytes: float


@dataclass(frozen=True)
class Standard:
    """Predictions that a challenger has to beat where no champion is compared.

    Parameters
    ----------
    name
        Name for people.
    predicted
        Minutes of the test trips, shape (trips,).
    """

    name: str
    predicted: Targets


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
    """

    name: str
    passed: bool
    found: str
    wanted: str


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
        Source of the challenger's months, its recipe, and the moment of its predictions;
        empty where not recorded, as for a model from elsewhere.
    remarks
        Remarks for the history and the mails: that generated data were accepted, that a champion
        was not compared and why, that it is not known what a version has learned from.
    """

    challenger: int
    champion: int | None
    checks: tuple[Check, ...]
    data_source: str = ""
    recipe: str = ""
    moment: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def markdown(self) -> str:
        """The checks as a table for people."""
        rows = [
            f"| {check.name} | {'passed' if check.passed else '**failed**'} | {check.found} "
            f"| {check.wanted} |"
            for check in self.checks
        ]
        return "\n".join(["| Check | | Found | Wanted |", "| --- | --- | --- | --- |", *rows])

    def table(self) -> pd.DataFrame:
        """A line for each check: ``name``, ``passed``, ``found``, ``wanted``."""
        return pd.DataFrame([asdict(check) for check in self.checks])


def judge(
    challenger: Contender,
    champion: Contender | None,
    trips: pd.DataFrame,
    rules: GateRules,
    data_tests: Sequence[DataTestResult] = (),
    *,
    baseline: Standard | None = None,
    moment: Moment = MOMENTS[-1],
    random_state: int = 42,
) -> GateVerdict:
    """Compare a challenger with the champion on the same test trips.

    Without a champion, the challenger is compared with the baseline.

    Parameters
    ----------
    trips
        Raw test trips with their ``duration``, at least one, that neither was chosen by.
    data_tests
        Results of the data tests of the training set.
    baseline
        The best trivial rule, see `models.baseline`; always saying the median of the test trips
        where there is none.
    moment
        The moment at which the challenger is asked: it may know what is known by then.
    random_state
        Seed of the bootstrap.
    """
    actual = trips[DURATION].to_numpy(dtype=np.float64)
    standard = baseline or Standard("the naive median", np.full_like(actual, np.median(actual)))
    if champion is not None:
        standard = Standard(f"version {champion.version}", champion.predicted)
    checks = [
        Check(
            "test trips",
            len(trips) >= rules.slice_trips,
            f"{len(trips):,}",
            f"{rules.slice_trips} or more: fewer say nothing",
        ),
        _is_better(challenger.predicted, standard, actual, rules, random_state),
        *(_no_slice_is_worse(challenger, champion, trips, actual, rules) if champion else ()),
        *_is_fit_to_serve(challenger, champion, rules, moment),
        *data_checks(data_tests),
    ]
    return GateVerdict(challenger.version, champion.version if champion else None, tuple(checks))


def _is_better(
    predicted: Targets,
    standard: Standard,
    actual: Targets,
    rules: GateRules,
    random_state: int,
) -> Check:
    """A paired bootstrap of the difference (Efron and Tibshirani, 1993, chapter 16)."""
    squared = np.square(predicted - actual)
    standard_squared = np.square(standard.predicted - actual)
    gain, lowest = _gain(squared, standard_squared), 0.0
    if len(actual) > 1:
        found = stats.bootstrap(
            (squared, standard_squared),
            _gain,
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
    needed = rules.margin_share * float(np.sqrt(standard_squared.mean()))
    return Check(
        f"RMSE against {standard.name}",
        bool(lowest > needed),
        f"{measure(actual, predicted).rmse:.3f} against "
        f"{measure(actual, standard.predicted).rmse:.3f}: "
        f"better by {float(gain):.3f}, by more than {lowest:.3f} "
        f"at {rules.confidence:.0%} confidence",
        f"better by more than {needed:.3f}",
    )


def _gain(
    squared: npt.NDArray[np.float64], standard: npt.NDArray[np.float64], axis: int = -1
) -> npt.NDArray[np.float64]:
    gain: npt.NDArray[np.float64] = np.sqrt(standard.mean(axis=axis)) - np.sqrt(
        squared.mean(axis=axis)
    )
    return gain


def _no_slice_is_worse(
    challenger: Contender,
    champion: Contender,
    trips: pd.DataFrame,
    actual: Targets,
    rules: GateRules,
) -> Iterator[Check]:
    ours, theirs = (
        errors_by_slice(trips, actual, contender.predicted) for contender in (challenger, champion)
    )
    large = ours.trips >= rules.slice_trips
    if not large.any():
        return
    worse = (ours.rmse / theirs.rmse - 1)[large]
    worst = ours.iloc[int(np.flatnonzero(large)[worse.argmax()])]
    yield Check(
        "worst slice",
        bool(worse.max() <= rules.slice_share),
        f"{worst['slice']} {worst['value']}: RMSE {worse.max():+.1%}",
        f"at most {rules.slice_share:+.1%} (slices of {rules.slice_trips} trips and more)",
    )


def _is_fit_to_serve(
    challenger: Contender, champion: Contender | None, rules: GateRules, moment: Moment
) -> Iterator[Check]:
    inputs = set(challenger.inputs)
    yield Check("signature", bool(inputs), ", ".join(sorted(inputs)) or "none", "there is one")
    if champion is not None:
        yield Check(
            "inputs beside the champion's",
            passed=True,
            found=asked_further(challenger, champion) or "the same or fewer",
            wanted=f"any that can be filled {WHEN[moment]}: both have predicted the same trips",
        )
    leaks = known_too_late(inputs, moment)
    yield Check(
        "no leak",
        not leaks,
        f"known too late: {', '.join(leaks)}" if leaks else f"moment: {moment}",
        f"every column is known {WHEN[moment]}",
    )
    yield Check(
        "latency",
        challenger.milliseconds <= rules.latency_milliseconds,
        f"{challenger.milliseconds:.1f} ms for one trip",
        f"at most {rules.latency_milliseconds:g} ms",
    )
    yield Check(
        "size",
        challenger.megabytes <= rules.size_megabytes,
        f"{challenger.megabytes:.1f} MB",
        f"at most {rules.size_megabytes:g} MB",
    )


def asked_further(challenger: Contender, champion: Contender) -> str:
    """Say what callers have to give, or may give, beyond what the champion takes; else nothing."""
    further = sorted(set(challenger.inputs) - set(champion.inputs))
    needed = [name for name in further if name not in ATTRIBUTES]
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

"""Quality of successive halving: full learning curves of random settings, replayed in cohorts.

Fits each of some random settings of a family to its end, once, and writes down the validation
error after each step. Then draws cohorts of those settings and lets the search itself (`tune`, its
default early termination) decide on them, with fits that read their errors from the recording. So
each cohort has a known best, and what halving costs can be counted: how often it keeps the best,
how much worse the one is that it finds, and which share of the steps it saves.

Months come from MODEL_LOOP_TLC_FOLDER (green 2024-01 and 2024-02), or are generated. Names of
families as arguments restrict it to those.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unittest import mock

import numpy as np
from benchmarks.preparation import months_folder
from benchmarks.results import record as keep
from scipy.stats import spearmanr

from model_loop.models import fitting
from model_loop.models.catalogue import XGBOOST, ModelFamily, Resource, get_family
from model_loop.models.fitting import Fit, FitData, Fitted, Halts
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Categorical, Settings
from model_loop.models.termination import EarlyTermination
from model_loop.models.tuning import COHORT, tune
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.training_set.request import TrainingSetRequest

CURVES = 60
COHORTS = 400
SEED = 42
FAMILIES = ("ensemble.GradientBoostingRegressor", XGBOOST)


class ByShare(Resource):
    """Compares fits of boosting at the same share of their stages, which was the rule before."""

    def steps_in_interval(self, settings: Settings) -> float:
        """Return the share of one interval of the stages that are planned."""
        return self.interval * float(settings["n_estimators"] or 1)


BY_SHARE = ByShare("stages", 0.025)


@dataclass(frozen=True)
class Recording:
    """A fit that came to its end.

    Parameters
    ----------
    settings
        Of the fit.
    errors
        Validation error after each step.
    end
        Validation error of what it came to.
    """

    settings: Settings
    errors: tuple[float, ...]
    end: float


class Replayed:
    """Grows as a recorded fit did, without fitting anything."""

    def __init__(self, recording: Recording, data: FitData) -> None:
        self.data, self.recording, self.step = data, recording, 0

    def advance(self, halts: Halts) -> bool:
        """Take the recorded steps until the end, or until told to halt."""
        while self.step < len(self.recording.errors):
            self.step += 1
            if halts(self.step, self.recording.errors[self.step - 1]):
                return False
        return True

    def fitted(self) -> Fitted:
        """Predictions that are as far off as those of the recorded fit were."""
        ended = self.step == len(self.recording.errors)
        error = self.recording.end if ended else self.recording.errors[self.step - 1]
        return Fitted(self.data.validation_target + error)


@dataclass(frozen=True)
class Kept:
    """Outcome of the search on one cohort.

    Parameters
    ----------
    best
        Whether the best of the cohort came to its end.
    regret
        Error of the found one above that of the best, as a share.
    steps
        Share of all steps that were taken.
    """

    best: bool
    regret: float
    steps: float


def main() -> None:
    """Record, replay and print a line for each way to compare."""
    training_set = prepare()
    print(f"{CURVES} curves, {COHORTS} cohorts of {COHORT}, seed {SEED}")
    for name in sys.argv[1:] or FAMILIES:
        family, started = get_family(name), time.perf_counter()
        recordings = list(record(family, training_set))
        print(f"{name}: recorded in {time.perf_counter() - started:.0f} s", flush=True)
        ways = {"as the catalogue says": family}
        if family.resource and family.resource.grows == "stages":
            ways["at the same share of the stages"] = dataclasses.replace(family, resource=BY_SHARE)
        for title, way in ways.items():
            found = report(way, recordings, training_set)
            print(f"  {title}: {', '.join(f'{it} {found[it]:.2f}' for it in found)}", flush=True)
            if name == FAMILIES[0]:
                keep("halving", title, found)


def prepare() -> TrainingSet:
    """The training set of the two months."""
    request = TrainingSetRequest(
        str(months_folder()), "green", MonthSplit.parse("2024-01", "2024-02"), "rich", "native"
    )
    with tempfile.TemporaryDirectory() as storage:
        return build_training_set(request, storage_root=storage)


def record(family: ModelFamily, training_set: TrainingSet) -> Iterator[Recording]:
    """Fit random settings to their ends."""
    request = SearchRequest(max_evaluations=CURVES, search_algorithm="random", random_state=SEED)
    watched = dataclasses.replace(
        family, resource=Resource(family.resource.grows if family.resource else "rounds", 1)
    )
    data = fitting.prepare(watched, FitData.of(training_set, watched, request), request)
    for settings in random_settings(family, training_set):
        fit = Fit(watched, settings, data, request)
        fit.advance()
        predicted = fit.fitted().predicted
        end = float(np.sqrt(np.square(predicted - data.validation_target).mean()))
        yield Recording(settings, tuple(fit.curve), end)


def random_settings(family: ModelFamily, training_set: TrainingSet) -> list[Settings]:
    """The settings that a random search proposes; its fits all end at once, with any error."""
    request = SearchRequest(max_evaluations=CURVES, search_algorithm="random", random_state=SEED)
    instant = Recording({}, (1.0,), 1.0)
    with mock.patch.object(
        fitting, "_growth", lambda _family, _settings, data, *_: Replayed(instant, data)
    ):
        found = tune(dataclasses.replace(family, resource=None), training_set, request)
    return [trial.settings for trial in found.trials]


def report(
    family: ModelFamily, recordings: Sequence[Recording], training_set: TrainingSet
) -> dict[str, float]:
    """Outcome of halving, and how well the first look ranks."""
    draws = np.random.default_rng(SEED)
    cohorts = [draws.choice(len(recordings), COHORT, replace=False) for _ in range(COHORTS)]
    kept = [replay(family, [recordings[one] for one in cohort], training_set) for cohort in cohorts]
    looks = [one for one in (first_look(family, recording) for recording in recordings) if one]
    ranked = spearmanr(looks, [recording.end for recording in recordings])
    return {
        "rank correlation of the first look, rho": float(ranked.statistic),
        "best kept, %": 100 * float(np.mean([one.best for one in kept])),
        "mean regret, %": 100 * float(np.mean([one.regret for one in kept])),
        "steps, %": 100 * float(np.mean([one.steps for one in kept])),
    }


def replay(family: ModelFamily, cohort: Sequence[Recording], training_set: TrainingSet) -> Kept:
    """Let the search decide on a cohort."""
    places = dataclasses.replace(family, space={"place": Categorical(tuple(range(len(cohort))))})

    resource = family.resource

    class Recorded(Resource):
        """Intervals by the recorded settings, of which the search knows the place alone."""

        def steps_in_interval(self, settings: Settings) -> float:
            assert resource is not None
            return resource.steps_in_interval(cohort[int(settings["place"] or 0)].settings)

    if resource is not None:
        places = dataclasses.replace(places, resource=Recorded(**dataclasses.asdict(resource)))
    request = SearchRequest(
        max_evaluations=len(cohort),
        search_algorithm="grid",
        early_termination=EarlyTermination("truncation"),
    )
    with mock.patch.object(
        fitting,
        "_growth",
        lambda _family, settings, data, *_: Replayed(cohort[int(settings["place"] or 0)], data),
    ):
        found = tune(places, training_set, request)
    best = min(range(len(cohort)), key=lambda place: cohort[place].end)
    ended = {int(trial.settings["place"] or 0) for trial in found.trials if trial.finished}
    taken = sum(
        trial.steps[-1] if trial.stopped else len(cohort[int(trial.settings["place"] or 0)].errors)
        for trial in found.trials
    )
    return Kept(
        best=best in ended,
        regret=found.validation.rmse / cohort[best].end - 1,
        steps=taken / sum(len(recording.errors) for recording in cohort),
    )


def first_look(family: ModelFamily, recording: Recording) -> float:
    """The error after the intervals of the first look, or at the end where that comes before."""
    rule = EarlyTermination()
    resource = family.resource or Resource("rounds", 1)
    interval = resource.steps_in_interval(recording.settings)
    step = int(np.ceil((rule.delay_evaluations + rule.evaluation_interval) * interval - 1e-9))
    return recording.errors[min(step, len(recording.errors)) - 1]


if __name__ == "__main__":
    main()

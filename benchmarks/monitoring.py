"""Detection of generated drift: how surely it is found and named, false alarms, cost.

Thirty windows of each kind, of 3,000 trips each, from one made-up city; where nothing drifts, every
alarm is false. Then a window of 100,000 predictions
goes through the steps of the DAG, in a process of its own.

With MODEL_LOOP_TLC_FOLDER, real months are compared with each other besides, and the false
alarms of errors are counted on them by day and by week. A name on the command line restricts it:
windows, cost, months, alarms.
"""

from __future__ import annotations

import datetime as dt
import itertools
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.results import record
from benchmarks.tables import KNOWN
from upath import UPath

from model_loop.models.catalogue import get_family
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.monitoring.drift import Inputs, drift_findings, shap_of_window
from model_loop.monitoring.labels import labelled
from model_loop.monitoring.levels import Level, WindowFinding, gravest_first, thresholds_of
from model_loop.monitoring.performance import PerformanceRules, judge_performance
from model_loop.monitoring.performance import ReferenceErrors as Errors
from model_loop.monitoring.profile import (
    ReferenceProfile,
    make_reference,
)
from model_loop.monitoring.published import window_of_published
from model_loop.monitoring.report import write_report
from model_loop.monitoring.windows import Window, WindowRows, read_request_log
from model_loop.objects import ObjectReference, read_object, write_object
from model_loop.scoring.identifiers import new_ids
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.scoring.rows import from_frame
from model_loop.serving.request_log.tables import insert_predictions, open_log
from model_loop.settings import Settings
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.dataset import TRIPS as DATASET
from trip_duration.judged import JudgedDurations
from trip_duration.months import Month, MonthSplit, parse_months
from trip_duration.sample_options import Drift, SampleOptions
from trip_duration.services import get_service
from trip_duration.source.fetching import fetch_month
from trip_duration.training_set.request import TrainingSetRequest

GREEN = get_service("green")
SEED = 42
WINDOWS = 30
TRIPS = 3_000
LEAST = 500
#: Trips that are explained in each of the many windows.
EXPLAINED = 60
#: Predictions in the window whose cost is measured.
MANY = 100_000
THRESHOLDS = thresholds_of(Settings())
RULES = PerformanceRules(rows=LEAST)
CLEANING = CleaningRules()
JUDGED = JudgedDurations.of_rules(CLEANING).of_actual

KINDS = {
    "none": Drift(),
    "distance x 1.5": Drift(distance_factor=1.5),
    "zone mix shifted (0.3)": Drift(zone_shift=0.3),
    "rush hours 3 h later": Drift(rush_hour_shift=3),
    "a new zone (5 %)": Drift(new_zone=1),
    "nulls creeping in (+30 %)": Drift(missing_share=0.3),
    "speed - 25 %": Drift(speed_factor=0.75),
}
#: Features that may be named first for each kind.
RIGHT = {
    "distance x 1.5": ("trip_distance", "predict", "rmse", "mae", "bias"),
    "zone mix shifted (0.3)": ("LocationID", "predict", "trip_distance", "rmse", "mae", "bias"),
    "rush hours 3 h later": ("hour", "predict", "rmse", "mae", "bias"),
    "a new zone (5 %)": ("LocationID", "predict", "trip_distance", "rmse", "mae", "bias"),
    "nulls creeping in (+30 %)": ("passenger_count", "trip_type"),
    "speed - 25 %": ("rmse", "mae", "bias"),
}


@dataclass(frozen=True)
class Subject:
    """A model with what is known of it."""

    trained: TrainedModel
    reference: ReferenceProfile
    training_set: TrainingSet | None = None

    @property
    def predictor(self) -> Predictor:
        """The model, as version 1."""
        columns = self.reference.profile.columns
        return Predictor(RegisteredVersion("green", 1), self.trained.model, columns)

    @property
    def errors(self) -> Errors:
        """Values on the test month."""
        assert self.trained.test
        test = self.trained.test
        return Errors(1, test.rmse, test.mae, days=self.reference.profile.days)


def main() -> None:
    """Measure and print the tables."""
    wanted = sys.argv[1:] or ["windows", "cost", "months", "alarms"]
    with tempfile.TemporaryDirectory() as root:
        if "windows" in wanted or "cost" in wanted:
            options = SampleOptions(trips=20_000, seed=SEED)
            subject = learn(
                root, "sample", MonthSplit.parse("2024-01", "2024-02", "2024-03"), options
            )
        if "windows" in wanted:
            windows(root, subject)
        if "cost" in wanted:
            cost(root, subject)
        folder = os.environ.get("MODEL_LOOP_TLC_FOLDER")
        if "months" in wanted and folder:
            months(root, folder)
        if "alarms" in wanted and folder:
            alarms(root, folder)


def learn(root: str, source: str, split: MonthSplit, options: SampleOptions) -> Subject:
    """Train boosted trees and profile them."""
    request = TrainingSetRequest(source, "green", split, sample=options)
    training_set = build_training_set(request, storage_root=root)
    search = SearchRequest(max_evaluations=2, threads=2)
    trained = train(tune(get_family("xgboost"), training_set, search), training_set, search)
    assert trained.explanation
    assert trained.explanation.shap
    started = time.perf_counter()
    reference = make_reference(trained.model, training_set, trained.explanation.shap.features)
    print(f"A profile takes {time.perf_counter() - started:.2f} s.\n", flush=True)
    return Subject(trained, reference, training_set)


def window(
    root: str,
    month: str,
    subject: Subject,
    source: str = "sample",
    options: SampleOptions | None = None,
) -> WindowRows:
    """A month as a window, predicted by the model."""
    known = Month.parse(month)
    options = options or SampleOptions()
    raw = fetch_month(source, GREEN, known, root, sample=options, timeout_seconds=60)
    checked = CheckedMonthStore(root).check(raw, GREEN, ContractLimits(missing_share=1.0))
    predictor = subject.predictor
    window = Window.of_partition("green", checked.raw.month)
    return window_of_published(window, checked, predictor.columns, predictor)


def look(
    subject: Subject, trips: WindowRows, reference: ReferenceProfile | None = None
) -> list[WindowFinding]:
    """Findings of drift about a window."""
    asked = trips.inputs(subject.predictor.columns)
    shap = shap_of_window(subject.trained.model, asked, 0, EXPLAINED)
    profile = (reference or subject.reference).profile
    return drift_findings(profile, Inputs(asked, trips.predicted, shap), THRESHOLDS, LEAST)


def windows(root: str, subject: Subject) -> None:
    """The table of detection."""
    print("| Kind | windows | warn or more | act | named rightly first | named first |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, drift in KINDS.items():
        print(f"| {kind} | {_counted(kind, _looked(root, subject, drift))} |", flush=True)
    print()


def _looked(root: str, subject: Subject, drift: Drift) -> Iterator[list[WindowFinding]]:
    options = SampleOptions(trips=TRIPS, seed=SEED, drift=drift)
    history: list[Sequence[WindowFinding]] = []
    for month in parse_months("2024-04..2026-09"):
        trips = window(root, str(month), subject, options=options)
        errors = judge_performance(
            labelled(trips, JUDGED), subject.errors, history, THRESHOLDS, RULES
        )
        history.append(errors)
        yield [*look(subject, trips), *errors]


def _counted(kind: str, looked: Iterator[list[WindowFinding]]) -> str:
    warned = acted = right = 0
    first: Counter[str] = Counter()
    count = 0
    for findings in looked:
        count += 1
        grave = [one for one in gravest_first(findings) if one.level in {Level.WARN, Level.ACT}]
        warned += bool(grave)
        acted += any(one.level is Level.ACT for one in grave)
        names = [f"{one.metric}({one.subject})" for one in grave]
        may = RIGHT.get(kind, ())
        rightly = [any(word in name for word in may) for name in names]
        right += bool(rightly) and rightly[0]
        first.update(names[:1])
    named = ", ".join(f"{name} {times}" for name, times in first.most_common(3)) or "nothing"
    return " | ".join(map(str, (count, warned, acted, right, named)))


def cost(root: str, subject: Subject) -> None:
    """Cost of a window of 100,000 predictions, in a process of its own."""
    trips = window(root, "2024-04", subject, options=SampleOptions(trips=105_000, seed=SEED))
    log = Path(root) / "log"
    _fill(log, trips.where(np.arange(len(trips)) < MANY))
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        parts = (subject.trained, subject.reference)
        kept = [write_object(part, UPath(root), f"subject-{n}") for n, part in enumerate(parts)]
        found, said = pool.apply(_measure, (str(log), *kept))
    print(said)
    record("monitoring cost", f"{MANY:,} predictions", found)
    print()


def _fill(log: Path, trips: WindowRows) -> None:
    engine, now = open_log("", log), time.time()
    rows = from_frame(
        DATASET, trips.rows, [name for name in DATASET.columns.names if name in trips.rows]
    )
    head = ("green", 1, "champion", "benchmark", None)
    values = [
        [one.decode(), now - 60, *head, minutes, 1.0, None, None, *row, None]
        for one, minutes, row in zip(
            new_ids(len(trips)), trips.predicted.tolist(), rows.tolist(), strict=True
        )
    ]
    with engine.begin() as connection:
        for start in range(0, len(values), 5_000):
            insert_predictions(connection, values[start : start + 5_000])
    engine.dispose()


def _measure(
    log: str, trained: ObjectReference, reference: ObjectReference
) -> tuple[dict[str, float], str]:
    """Seconds of each part, and the most memory that the process has taken."""
    subject = Subject(read_object(trained), read_object(reference))
    now = dt.datetime.now(tz=dt.UTC)
    moments = [("", time.perf_counter())]
    scope = Window.of_days("green", now - dt.timedelta(days=1), now + dt.timedelta(days=1))
    trips = read_request_log(open_log("", Path(log)), scope)
    moments.append(("read", time.perf_counter()))
    asked = trips.inputs(subject.predictor.columns)
    shap = shap_of_window(subject.trained.model, asked, 0)
    moments.append(("SHAP", time.perf_counter()))
    inputs = Inputs(asked, trips.predicted, shap)
    drift_findings(subject.reference.profile, inputs, THRESHOLDS, LEAST)
    moments.append(("PSI and the rest", time.perf_counter()))
    with tempfile.TemporaryDirectory() as folder:
        write_report(
            Path(folder),
            subject.reference.sample,
            asked,
            trips.predicted,
            THRESHOLDS,
            DATASET,
        )
    moments.append(("report, with Evidently's import", time.perf_counter()))
    parts = [
        f"{name} {after - begun:.1f} s" for (_, begun), (name, after) in itertools.pairwise(moments)
    ]
    whole = moments[-1][1] - moments[0][1]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        f"{name}, s": after - begun for (_, begun), (name, after) in itertools.pairwise(moments)
    }
    return {**found, "all, s": whole, "at most, MiB": most / 1024}, (
        f"{len(trips):,} predictions: {whole:.1f} s ({', '.join(parts)}); at most "
        f"{most / 1024:.0f} MiB, its imports among them."
    )


def months(root: str, folder: str) -> None:
    """Real months against each other: the later one as the window, the earlier one as learned."""
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    subject = learn(root, folder, split, SampleOptions())
    training_set = subject.training_set
    assert training_set
    print("| Learned | Window | trips | level | PSI on average | gravest |")
    print("| --- | --- | --- | --- | --- | --- |")
    pairs = [("2024-01", "2024-02"), ("2024-02", "2024-03"), ("2024-03", "2024-04")]
    for then, now in [*pairs, ("2023-01", "2023-02"), ("2023-01", "2024-04")]:
        before = window(root, then, subject, folder)
        learned = replace(training_set, reference_rows=before.rows, test_rows=before.rows)
        reference = make_reference(subject.trained.model, learned)
        after = window(root, now, subject, folder)
        findings = look(subject, after, reference)
        (average,) = (finding.value for finding in findings if finding.metric == "psi_average")
        known = [finding for finding in findings if finding.level is not Level.UNKNOWN]
        level = max((one.level for one in known), key=lambda one: one.rank)
        grave = ", ".join(str(one) for one in gravest_first(known)[:4])
        print(
            f"| {then} | {now} | {len(after):,} | {level} | {average:.4f} | {grave} |", flush=True
        )


def alarms(root: str, folder: str) -> None:
    """Count alarms of errors in two months that follow the test month, by day and by week.

    Nothing has happened in them that anybody would call a fault, so each alarm counts as false. The
    same with all trips a fifth longer shows what is still found.
    """
    split = MonthSplit.parse("2023-02", "2024-01", "2024-02")
    subject = learn(root, folder, split, SampleOptions())
    found = [window(root, month, subject, folder) for month in ("2024-03", "2024-04")]
    print("| Trips | window | windows | beyond a threshold | warn or more | act | two of three |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind, factor in (("as they are", 1.0), ("a fifth longer", 1.2)):
        months = [labelled(replace(one, actual=one.actual * factor), JUDGED) for one in found]
        for span in (1, 7):
            counts = count_alarms(months, subject.errors, span)
            print(f"| {kind} | {span} days | {' | '.join(map(str, counts))} |", flush=True)
            values = dict(zip(KNOWN["monitoring"].columns, counts, strict=True))
            record("monitoring", f"{kind}, {span} days", values)
    print()


def count_alarms(months: Sequence[WindowRows], errors: Errors, span: int) -> tuple[int, ...]:
    """Judge the windows of some days each, one after the other."""
    at_once = PerformanceRules(rows=LEAST, windows=1, needed=1)
    history: list[Sequence[WindowFinding]] = []
    beyond = warned = acted = told = 0
    for month in months:
        days = month.days() - month.days().min()
        for first in range(0, int(days.max()) + 2 - span, span):
            part = month.where((days >= first) & (days < first + span))
            found = judge_performance(part, errors, (), THRESHOLDS, at_once)
            beyond += any(one.thresholds.level(one.value).rank >= Level.WARN.rank for one in found)
            warned += any(one.level in {Level.WARN, Level.ACT} for one in found)
            acted += any(one.level is Level.ACT for one in found)
            found = judge_performance(part, errors, history, THRESHOLDS, RULES)
            told += any(one.level in {Level.WARN, Level.ACT} for one in found)
            history.append(found)
    return len(history), beyond, warned, acted, told


if __name__ == "__main__":
    main()

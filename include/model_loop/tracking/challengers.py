"""Challengers and champion before the gate: the same test rows, predicted by both.

The rows are of one source, and neither has learned from them; see `judging`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from model_loop.datasets.classes import HALF
from model_loop.datasets.dataset import Moment
from model_loop.errors import ContractError, InvalidInputError, StoredObjectError
from model_loop.intervals.calibrated import Intervals
from model_loop.models.baseline import best_baseline
from model_loop.models.gate import (
    Check,
    Contender,
    GateVerdict,
    Standard,
    asked_further,
    data_checks,
    judge_challenger,
)
from model_loop.models.gate_classes import judge_classes
from model_loop.models.gate_intervals import JudgedIntervals, judge_intervals
from model_loop.models.gate_rules import MOST_CONFIDENCE, GateRules
from model_loop.models.outcomes import predict_outcomes, threshold_of
from model_loop.models.slices import slicing_of
from model_loop.tracking.deployments import BROUGHT_IN
from model_loop.tracking.intervals import find_intervals
from model_loop.tracking.judging import columns_of, judged_rows, unseen_check
from model_loop.tracking.learned import Learned, compare_sources, learned_by
from model_loop.tracking.lineage import Lineage, find_lineage
from model_loop.tracking.lines import OtherLineError
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import Answering, Load, load_registered
from model_loop.tracking.trained import dataset_of_version, incomparable
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.data_tests import DataTestResult, run_data_tests
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.types import TrainingSet

#: Remark of verdict, mail and history on a champion that cannot be read after an upgrade.
NOT_KNOWN = "not known how version {version} predicts these {rows}"

#: The rule that a champion of another declaration breaks, with the remedy.
SAME_DECLARATION = (
    "the target, unit, columns and clocks of the champion; promote it without the gate if the "
    "change is meant"
)

_TIMED_PREDICTIONS = 20

logger = logging.getLogger(__name__)


def latest_challengers(promoter: Promoter) -> list[int]:
    """Rank the versions that were tuned on the same validation rows as the newest, the best first.

    Only versions of the promoter's moment are looked at.

    Raises
    ------
    InvalidInputError
        If nothing but the champion is registered.
    """
    champion = promoter.standing().champion
    versions = promoter.tracker.client.search_model_versions(f"name = '{promoter.name}'")
    others = [
        found
        for found in versions
        if int(found.version) != champion
        and BROUGHT_IN not in found.tags
        and promoter.versions.known_moment(int(found.version)) == promoter.moment
    ]
    if not others:
        raise InvalidInputError(
            f"Service {promoter.service}",
            f"has no challenger at the moment {promoter.moment}",
            "Train a model first.",
        )
    newest = _tuned_on(max(others, key=lambda found: int(found.version)).tags)
    candidates = [found for found in others if _tuned_on(found.tags) == newest]
    errors = {
        int(found.version): promoter.tracker.client.get_run(str(found.run_id)).data.metrics
        for found in candidates
    }
    ranked_by = f"validation_{promoter.versions.dataset.target.main_metric}"
    return sorted(errors, key=lambda version: errors[version].get(ranked_by, np.inf))


def _tuned_on(tags: Mapping[str, str]) -> str | None:
    """Name the rows that a version was chosen by; those of older versions by their training set."""
    return tags.get("validation_rows") or tags.get("training_set")


def judge_in_turn(
    promoter: Promoter,
    versions: Sequence[int],
    rules: GateRules,
    identity: str,
    *,
    storage_root: str,
    timeout_seconds: float,
    accept_generated: bool = False,
    load: Load = load_registered,
) -> tuple[GateVerdict, tuple[GateVerdict, ...]]:
    """Let the gate judge the best of some versions; see `judge_version`. Each verdict is kept.

    Where there is no champion, the next best follows a version that is refused: all that the gate
    wants is that a rule without a model is beaten. Each further version has to be surer, since
    several that try are lucky more often.

    Parameters
    ----------
    versions
        At least one, the best first.
    identity
        Identity of the run that keeps the first verdict.

    Returns
    -------
    tuple
        The verdict on the version that is let in, or on the best where none is; and those on all
        that were refused.
    """
    refused: list[GateVerdict] = []
    alone = promoter.standing().champion is not None
    for attempt, version in enumerate(versions[:1] if alone else versions):
        surer = min(1 - (1 - rules.confidence) / 2**attempt, MOST_CONFIDENCE)
        verdict = judge_version(
            promoter,
            version,
            replace(rules, confidence=max(rules.confidence, surer)),
            storage_root=storage_root,
            timeout_seconds=timeout_seconds,
            accept_generated=accept_generated,
            load=load,
        )
        before = tuple(f"version {one.challenger} was refused before it" for one in refused)
        verdict = replace(verdict, remarks=(*verdict.remarks, *before))
        promoter.record(verdict, f"{identity}/{version}" if attempt else identity)
        if verdict.passed:
            return verdict, tuple(refused)
        refused.append(verdict)
    return refused[0], tuple(refused)


def judge_version(
    promoter: Promoter,
    version: int,
    rules: GateRules,
    *,
    storage_root: str,
    timeout_seconds: float,
    accept_generated: bool = False,
    load: Load = load_registered,
) -> GateVerdict:
    """Compare a version with the champion on those test rows that neither has learned from.

    A champion of another declaration cannot be compared where the target, its unit, a column or the
    clocks are others: the verdict is negative, and names what differs.

    A champion of generated rows is no measure for a model of published ones: such a challenger is
    judged against the baseline, and so is one of generated rows, which a champion of published
    ones gives way to only where that is accepted.

    Parameters
    ----------
    accept_generated
        Let a model of generated rows take the place of one of published rows.
    load
        Loads a version. A champion that cannot be read, since another line of a library has made
        it, is not compared, and the verdict says so: nothing would ever replace it otherwise.

    Raises
    ------
    InvalidInputError
        If the version has no lineage or no test rows, or is champion already.
    SourceError, ContractError
        If its training set is gone, and its data are no longer to be had or have changed.
    """
    champion = promoter.standing().champion
    if version == champion:
        raise InvalidInputError(
            f"Version {version}", "is champion already", "There is nothing to do."
        )
    training_set = judged_by(
        promoter.versions, version, storage_root=storage_root, timeout_seconds=timeout_seconds
    )
    noun = training_set.dataset.rows[0]
    ours = learned_by(promoter.tracker, promoter.name, version)
    theirs = _learned(promoter, champion)
    sources = compare_sources(ours, theirs, accept_generated=accept_generated)
    models = {version: load(promoter.tracker, promoter.name, version)}
    contenders, unread, other = [ours], "", ""
    if theirs is not None and sources.comparable:
        try:
            loaded = load(promoter.tracker, promoter.name, theirs.version)
            trained = dataset_of_version(promoter.name, theirs.version, loaded.declaration)
            other = incomparable(training_set.dataset, trained, loaded.inputs)
            if not other:
                models[theirs.version] = loaded
                contenders.append(theirs)
        except OtherLineError as error:
            unread = (
                f"{NOT_KNOWN.format(version=theirs.version, rows=noun)}: {error.given} {error.rule}"
            )
    rows = judged_rows(
        training_set,
        columns_of(training_set, models.values()),
        contenders,
        storage_root=storage_root,
        timeout_seconds=timeout_seconds,
    )
    tests = run_data_tests(training_set)
    checks, remarks = [sources.check, unseen_check(rows, training_set)], rows.remarks(noun)
    if unread:
        checks.append(Check("champion", passed=True, found=unread, wanted="to be compared"))
        remarks = (unread, *remarks)
    if other:
        # Callers would get another number for the same request, which is for a person to decide.
        found = f"version {champion} was trained on another declaration: {other}"
        checks.append(Check("declaration", passed=False, found=found, wanted=SAME_DECLARATION))
        remarks = (found, *remarks)
    intervals = JudgedIntervals()
    if rows.rows.empty:
        checks += data_checks(tests)
    else:
        judged = [
            replace(
                _contender(number, model, rows.rows, training_set),
                intervals=_intervals(promoter, number),
            )
            for number, model in models.items()
        ]
        checks += _compare(judged, promoter.moment, training_set, rows.rows, rules, tests)
        intervals = judge_intervals(
            judged[0],
            judged[1] if len(judged) > 1 else None,
            rows.rows,
            rules,
            slicing=slicing_of(training_set),
        )
        checks += intervals.checks
        remarks += (intervals.remark,) if intervals.remark else ()
        if len(judged) > 1:
            further = asked_further(judged[0], judged[1], training_set.dataset)
            remarks += (further,) if further else ()
    return GateVerdict(
        version,
        champion,
        tuple(checks),
        data_source=ours.data_source,
        recipe=promoter.versions.find(version).tags.get("recipe", ""),
        moment=promoter.moment,
        remarks=(*sources.remarks, *remarks),
        widening=intervals.widening,
    )


def _intervals(promoter: Promoter, version: int) -> Intervals | None:
    """Return the intervals of a version; None where it has none that can be read."""
    try:
        return find_intervals(promoter.tracker, promoter.name, version)
    except StoredObjectError as error:
        logger.warning("Judged without intervals: %s", error)
        return None


def _compare(
    contenders: Sequence[Contender],
    moment: Moment,
    training_set: TrainingSet,
    rows: pd.DataFrame,
    rules: GateRules,
    tests: Sequence[DataTestResult],
) -> tuple[Check, ...]:
    """Judge the first contender against the second, or where there is none, the baseline."""
    slicing, classified = slicing_of(training_set), training_set.dataset.target.is_classified
    opponent = contenders[1] if len(contenders) > 1 else _standard(training_set, rows)
    verdict = judge_challenger(
        contenders[0], opponent, rows, rules, tests, slicing=slicing, moment=moment
    )
    return (
        *verdict.checks,
        *judge_classes(
            contenders[0],
            opponent,
            rows,
            rules,
            slicing=slicing,
            baseline=_standard(training_set, rows) if classified else None,
        ),
    )


def _standard(training_set: TrainingSet, rows: pd.DataFrame) -> Standard:
    rule = best_baseline(training_set)
    threshold = threshold_of(training_set.dataset.target)
    return Standard(f"the {rule.title}", rule.predict(rows), threshold)


def judged_by(
    versions: ModelVersions, version: int, *, storage_root: str, timeout_seconds: float
) -> TrainingSet:
    """The training set whose test rows a version is judged by: its own.

    A version that was brought in has none; it is judged by that of the champion, or of the latest
    of our own where there is no champion.

    Raises
    ------
    InvalidInputError, SourceError, ContractError
        As `judge_version`.
    """
    if BROUGHT_IN in versions.find(version).tags:
        version = standard_version(versions, versions.moment(version))
    lineage = find_lineage(versions.tracker, versions.name, version)
    return _training_set(lineage, storage_root, timeout_seconds)


def example_rows(
    versions: ModelVersions, columns: Sequence[str], *, storage_root: str, timeout_seconds: float
) -> pd.DataFrame:
    """Return a few raw rows that have some columns, as the models of their moment are judged by.

    Raises
    ------
    InvalidInputError, SourceError, ContractError
        As `judge_version`.
    """
    standard = standard_version(versions, versions.dataset.moment_of(columns))
    places = {"storage_root": storage_root, "timeout_seconds": timeout_seconds}
    training_set = judged_by(versions, standard, **places)  # type: ignore[arg-type]  # by name
    example = training_set.example_rows
    if set(columns) <= set(example.columns) or training_set.test_rows.empty:
        return example
    # The version that is the standard may be asked earlier, and do without some of them.
    judged = judged_rows(training_set, columns, (), **places)  # type: ignore[arg-type]  # by name
    return judged.rows[list(columns)].head(len(example))


def standard_version(versions: ModelVersions, moment: Moment) -> int:
    """The champion of a moment, or the latest version that was trained here.

    Raises
    ------
    InvalidInputError
        If nothing was trained here.
    """
    registered = versions.tracker.client.search_model_versions(f"name = '{versions.name}'")
    own = {int(found.version) for found in registered if BROUGHT_IN not in found.tags}
    if not own:
        raise InvalidInputError(
            f"Service {versions.service}",
            "has no model that was trained here, so that there are no test rows to judge by",
            "Train a model first.",
        )
    champion = versions.standings()[moment].champion
    return champion if champion in own else max(own)


def _training_set(lineage: Lineage, storage_root: str, timeout_seconds: float) -> TrainingSet:
    store = TrainingSetStore(storage_root)
    product = store.find(lineage.data, lineage.files)
    if product is not None:
        return product.load()
    built = build_training_set(
        lineage.data, storage_root=storage_root, timeout_seconds=timeout_seconds
    )
    if built.digest != lineage.training_set:
        raise ContractError(
            f"The training set {lineage.training_set}",
            "is gone, and a rebuild from its data gives another one",
            "Train a new version.",
        )
    return built


def _learned(promoter: Promoter, version: int | None) -> Learned | None:
    return None if version is None else learned_by(promoter.tracker, promoter.name, version)


def _contender(
    version: int, loaded: Answering, rows: pd.DataFrame, training_set: TrainingSet
) -> Contender:
    columns = rows[list(loaded.inputs or training_set.recipe.columns)]
    predicted = predict_outcomes(loaded.model, columns, training_set.dataset.target)
    one, seconds = columns.head(1), []
    for _ in range(_TIMED_PREDICTIONS):
        started = time.perf_counter()
        loaded.model.predict(one)
        seconds.append(time.perf_counter() - started)
    # The fastest: what else the machine does only adds to the others.
    milliseconds = 1_000 * min(seconds)
    threshold = HALF if loaded.decision is None else loaded.decision.threshold_in_force
    return Contender(
        version, predicted, loaded.inputs, milliseconds, loaded.megabytes, threshold=threshold
    )

"""Canaries that end by themselves: for faults at once, by their errors, or after so many days.

Each look weighs all requests since the canary has begun, with evidence that may be read at every
look. An action has the identity of its canary, so the next look completes one that was killed, and
nothing is done or reported twice.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import Engine

from model_loop.alerts.types import Alert, AlertTable, Link
from model_loop.datasets.registry import dataset_of_variant
from model_loop.days import SECONDS_PER_DAY
from model_loop.models.gate import Check
from model_loop.serving.comparison.assigned import (
    AssignedUnits,
    SlowThresholds,
    count_failures,
    count_units,
    first_latencies,
)
from model_loop.serving.comparison.odds import ENOUGH, evidence_of_odds
from model_loop.serving.comparison.report import compare_canary
from model_loop.serving.comparison.samples import (
    MomentOf,
    check_units,
    counts_by_step,
    rows_of,
)
from model_loop.settings import Settings
from model_loop.tracking.actions import Action
from model_loop.tracking.deployments import Deployment, HistoryEntry
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.shares import Canary, Segment, canaries_of
from model_loop.tracking.versions import ModelVersions

#: Name in the history.
BY_ITSELF = "the watch over canaries"
#: Share of the champion's answers that are slower than its 95th percentile.
_PERCENTILE = 95.0

CanaryOutcome = Literal["goes_on", "end", "propose"]


@dataclass(frozen=True)
class CanaryRules:
    """Bounds of a canary; see the settings ``canary_…``.

    Parameters
    ----------
    failures, refused
        Shares of its requests that it may fail to answer, or refuse.
    slower
        Multiple of the champion's latency that it may take.
    requests
        Requests of each version before faults count.
    days
        Days after which it ends without a decision.
    """

    failures: float
    refused: float
    slower: float
    requests: int
    days: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rules of the settings."""
        names = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: getattr(settings, f"canary_{name}") for name in names})


@dataclass(frozen=True)
class CanaryVerdict:
    """State of a canary, and whether it ends.

    Parameters
    ----------
    service
        Key of the variant.
    canary, champion
        The canary, and the version that it stands beside.
    outcome
        Whether it goes on, ends, or is proposed as champion.
    why
        Reason, in a sentence without its end.
    checks
        Everything that was looked at.
    """

    service: str
    canary: Canary
    champion: int | None
    outcome: CanaryOutcome
    why: str
    checks: tuple[Check, ...]

    def table(self) -> pd.DataFrame:
        """Return the checks, one in each row, for the history."""
        return pd.DataFrame([dataclasses.asdict(check) for check in self.checks])

    def summary(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        return {
            "variant": self.service,
            "moment": self.canary.moment,
            "version": self.canary.version,
            "champion": self.champion,
            "share": self.canary.share,
            "outcome": self.outcome,
            "why": self.why,
            "checks": [dataclasses.asdict(check) for check in self.checks],
        }


def judge_canary(
    engine: Engine,
    service: str,
    canary: Canary,
    standing: Deployment,
    moment_of: MomentOf,
    rules: CanaryRules,
    now: float,
    *,
    proposed: bool = False,
) -> CanaryVerdict:
    """Judge a canary by the request log.

    Parameters
    ----------
    standing
        Present standing at its moment.
    moment_of
        Moment of a version; None where it is not known.
    now
        Seconds since 1970.
    proposed
        Whether it was proposed as champion before: time alone does not end it then.
    """
    wanted = rows_of(engine, service, canary, moment_of, canary.segments)
    slow = _slow(first_latencies(engine, wanted, rules.requests), rules)
    units = count_units(engine, wanted, canary.segments, slow)
    faults = [
        _rate("failures", count_failures(engine, wanted), rules.failures, rules),
        _refusals(units, rules),
    ]
    name, champion, better = f"version {canary.version}", standing.champion, False
    readings: list[Check] = []
    # A share of 1 leaves nothing to compare.
    shared = [one for one in units if 0 < canary.segments[one.segment].share < 1]
    if shared and champion is not None:
        faults.append(_latency(shared, canary.segments, slow, rules))
        sample = check_units(canary, canary.segments, shared)
        pairs = compare_canary(engine, service, (canary.version, champion), canary.begun, now)
        is_read = not sample.mismatched
        readings = [
            Check("sample of the traffic", is_read, str(sample), "the assigned share"),
            *(
                Check(
                    "cost" if pair.measure == "cost" else "errors",
                    not (is_read and pair.decided is not None and (pair.difference or 0.0) > 0),
                    pair.verdict if is_read else "not read, because of the sample",
                    f"not worse than version {champion}",
                )
                for pair in pairs
            ),
        ]
        better = is_read and any(pair.decided is not None for pair in pairs)
    checks = (*faults, *readings)
    broken = [f"{one.name}: {one.found}" for one in faults if not one.passed]
    is_over = canary.share < 1 and now - canary.begun >= rules.days * SECONDS_PER_DAY
    outcome: CanaryOutcome = "goes_on"
    why = f"{name} goes on"
    if broken:
        outcome, why = "end", "; ".join(broken)
    elif worse := [one.found for one in readings[1:] if not one.passed]:
        outcome, why = "end", "; ".join(worse)
    elif better:
        why = "; ".join(f"{pair.verdict} than version {champion}" for pair in pairs if pair.decided)
        outcome = "propose"
    elif is_over and not proposed:
        outcome, why = "end", f"no difference shown in {rules.days:g} days"
        if readings and not readings[0].passed:
            why = f"no difference can be read, because {readings[0].found}"
    return CanaryVerdict(service, canary, champion, outcome, why, checks)


def look_at_canaries(
    engine: Engine, versions: ModelVersions, rules: CanaryRules, now: float | None = None
) -> Iterator[tuple[CanaryVerdict, HistoryEntry | None]]:
    """Yield what `watch_canary` returns, of every moment that has something to look at."""
    for moment in versions.dataset.moments:
        promoter = Promoter(versions.tracker, versions.service, moment, versions)
        if (seen := watch_canary(engine, promoter, rules, now)) is not None:
            yield seen


def watch_canary(
    engine: Engine, promoter: Promoter, rules: CanaryRules, now: float | None = None
) -> tuple[CanaryVerdict, HistoryEntry | None] | None:
    """Look at the latest canary of a promoter's moment, and do what follows.

    Returns
    -------
    tuple, optional
        The verdict, and the entry of the history that ends or proposes the canary, also for a day
        after a look has made it: the previous look may have been killed before it could report it.
        None if there is nothing to look at.

    Raises
    ------
    InvalidInputError
        If somebody has moved the versions at the same time; the next look begins anew.
    """
    now = time.time() if now is None else now
    canaries = canaries_of(promoter.moves(), promoter.moment, now)
    if not canaries:
        return None
    canary, standing = canaries[-1], promoter.standing()
    ending, state = _attempt(promoter, canary, "end")
    proposal, proposed = _attempt(promoter, canary, "propose")
    if standing.challenger != canary.version and state is None:
        return None
    verdict = judge_canary(
        engine,
        promoter.service,
        canary,
        standing,
        promoter.versions.known_moment,
        rules,
        now,
        proposed=proposed == "FINISHED",
    )
    if verdict.outcome == "end" or state is not None:
        action = Action(
            "end_canary",
            promoter.service,
            canary.version,
            who=BY_ITSELF,
            why=verdict.why,
            evidence=verdict.table(),
        )
        entry = promoter.act(action, ending)
        verdict = dataclasses.replace(verdict, outcome="end", why=entry.why)
    elif verdict.outcome == "propose":
        entry = promoter.propose(
            canary.version, verdict.table(), proposal, who=BY_ITSELF, why=verdict.why
        )
    else:
        return verdict, None
    if entry.at < time.time() - SECONDS_PER_DAY:
        return None if verdict.outcome == "end" else (verdict, None)
    return verdict, entry


def canary_alert(verdict: CanaryVerdict, entry: HistoryEntry, url: str) -> Alert:
    """Return the mail about a canary that has ended, or was proposed.

    Parameters
    ----------
    url
        Address of the entry's run.
    """
    canary, variant = verdict.canary, verdict.service
    dataset = dataset_of_variant(variant)
    ends = verdict.outcome == "end"
    done = "has ended" if ends else "is better than the champion"
    kind, dag = ("canary" if ends else "promote"), f"{dataset.names.dag_prefix}promotion"
    share = f" --share {canary.share:g}" if ends else ""
    command = f"model-loop traffic {kind} {canary.version}{share} --variant {variant}"
    purpose = "To undo it" if ends else "To make it champion"
    advice = (
        f"{purpose}, trigger the DAG {dag} with the action {kind}, the version {canary.version}"
        f"{f' and the share {canary.share:g}' if ends else ''}, or run `{command}`."
    )
    several = len(dataset.variants) > 1
    return Alert(
        "canary",
        key=f"canary/{entry.run_id}",
        about=f"canary/{variant}/{canary.run_id}",
        subject=f"the canary of {variant}, version {canary.version}, {done}",
        headline=f"The canary, version {canary.version}, {done}",
        summary=f"{entry.why[:1].upper()}{entry.why[1:]}. "
        + (
            f"All requests are answered by {_version(verdict.champion)} again."
            if ends
            else f"Nothing has moved: version {canary.version} goes on answering "
            f"{canary.share:.0%} of the requests until somebody promotes it or ends the canary."
        ),
        at=dt.datetime.fromtimestamp(entry.at, tz=dt.UTC),
        table=AlertTable(
            ("Check", "", "Found", "Wanted"),
            tuple((one.name, one.outcome, one.found, one.wanted) for one in verdict.checks),
        ),
        facts=(
            (dataset.variant_field.title, variant) if several else ("Dataset", dataset.title),
            ("Moment", canary.moment),
            ("Champion", _version(verdict.champion)),
            ("Share of the requests", f"{canary.share:.0%}"),
            ("Since", f"{dt.datetime.fromtimestamp(canary.begun, tz=dt.UTC):%Y-%m-%d %H:%M} UTC"),
        ),
        advice=(advice,),
        links=(Link("The entry of the history", url),),
    )


def _attempt(promoter: Promoter, canary: Canary, outcome: str) -> tuple[str, str | None]:
    """Return the identity of an action that was not given up, and its state; None if not begun."""
    for number in itertools.count(1):
        identity = f"canary/{canary.run_id}/{outcome}/{number}"
        run = promoter.tracker.find_run(identity)
        if run is None or run.info.status != "FAILED":
            break
    return identity, None if run is None else str(run.info.status)


def _refusals(units: Sequence[AssignedUnits], rules: CanaryRules) -> Check:
    own = [one for one in units if one.own]
    counts = [
        (sum(one.units for one in of_day if one.refused), sum(one.units for one in of_day))
        for day in sorted({one.day for one in own})
        if (of_day := [one for one in own if one.day == day])
    ]
    return _rate("refused inputs", counts, rules.refused, rules)


def _rate(name: str, days: Sequence[tuple[int, int]], bound: float, rules: CanaryRules) -> Check:
    """Check a share of requests against its bound, with evidence that holds at every look.

    Parameters
    ----------
    days
        Faulty requests, and all, of each day.
    """
    counts = np.array(days, dtype=np.int64).reshape(-1, 2)
    faulty, requests = counts.sum(axis=0)
    passed = requests < rules.requests or not _shows(counts[:, 0], counts[:, 1], bound)
    found = f"{faulty:,} of {requests:,} requests"
    return Check(name, passed, found, f"at most {bound:.2%}")


def _shows(hits: npt.ArrayLike, units: npt.ArrayLike, expected: npt.ArrayLike) -> bool:
    """Return whether there are surely more hits than expected, now."""
    return bool(evidence_of_odds(hits, units, expected, more_alone=True)[-1] >= ENOUGH)


def _slow(latencies: Sequence[tuple[float, float]], rules: CanaryRules) -> SlowThresholds | None:
    """Return when answers are slow, by the champion's first ones; None while there are too few."""
    if len(latencies) < rules.requests:
        return None
    champion = float(np.percentile([latency for _, latency in latencies], _PERCENTILE))
    return SlowThresholds(latencies[-1][0], rules.slower * champion, champion)


def _latency(
    units: Sequence[AssignedUnits],
    segments: Sequence[Segment],
    slow: SlowThresholds | None,
    rules: CanaryRules,
) -> Check:
    """Check whether more of the canary's answers are slow than its share of the requests explains.

    A busy hour makes answers of both slow, and each of them is the canary's with the probability of
    its share: so it holds whatever the load is, if the canary is as quick as it has to be.
    """
    wanted = f"at most {rules.slower:g} times the champion's"
    requests = sum(one.units for one in units if one.own)
    if slow is None or requests < rules.requests:
        return Check("latency", passed=True, found="too few requests yet", wanted=wanted)
    own, every, shares = counts_by_step([one for one in units if one.slow], segments)
    found = (
        f"{own.sum():,.0f} of {requests:,} requests took over {slow.challenger:.1f} ms, "
        f"{rules.slower:g} times the 95th percentile of the champion"
    )
    return Check("latency", not (own.sum() and _shows(own, every, shares)), found, wanted)


def _version(number: int | None) -> str:
    return "none" if number is None else f"version {number}"

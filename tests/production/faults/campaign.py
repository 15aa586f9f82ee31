"""One fault after another while the loop runs, and what became of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
import requests
from tests.production.faults.cluster import Cluster
from tests.production.faults.health import Health
from tests.production.faults.invariants import Invariants
from tests.production.faults.kinds import Fault, inflict
from tests.production.faults.loop import Loop

from model_loop.local.airflow_api import FINISHED

#: Pause before a fault, at random.
_PAUSE = (0.5, 3.0)
_RECOVERY_SECONDS = 120.0
_CHAMPION_SECONDS = 900.0
_MAIL_SECONDS = 120.0
#: What may fail while the stores are asked during a recovery.
_AWAY = (requests.RequestException, psycopg.OperationalError, OSError)


@dataclass
class Row:
    """A fault and what happened.

    Parameters
    ----------
    fault
        What was done.
    at
        When.
    recovery_seconds
        How long after the end of the fault the part was well again; None if it was not.
    answer_seconds
        How long after it each prediction server had acknowledged a prediction.
    runs
        DAG and id of the runs that were going on.
    violations
        What did not hold afterwards.
    refused
        Requests for predictions that were not answered while it lasted, of all servers.
    """

    fault: Fault
    at: dt.datetime
    recovery_seconds: float | None = None
    answer_seconds: float | None = None
    runs: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    refused: int = 0
    outcome: str = ""


@dataclass
class Campaign:
    """Faults done to a cluster whose loop runs.

    Parameters
    ----------
    cluster, seed
        Which cluster; the seed of the moments.
    say
        Is told of each row.
    """

    cluster: Cluster
    seed: int
    say: Callable[[str], object]
    rows: list[Row] = field(default_factory=list)
    #: What was not possible at that moment, or met nobody: it does not count.
    missed: list[Fault] = field(default_factory=list)
    #: What did not hold when all had come to rest.
    final: list[str] = field(default_factory=list)
    rested: bool = False

    def __post_init__(self) -> None:
        self.loop = Loop(self.cluster)
        self.invariants = Invariants(self.loop)
        self.health = Health(self.cluster, self.loop)
        self.began = dt.datetime.now(tz=dt.UTC)

    def run(
        self, faults: Iterable[Fault], count: int, stop_after_seconds: float, rest_seconds: float
    ) -> None:
        """Do one fault after another, until so many are done or the time is over; let all end."""
        self.loop.start()
        self.say("the loop runs")
        self.loop.wait_for_answers(_CHAMPION_SECONDS)
        self.say("there is a champion")
        deadline = time.monotonic() + stop_after_seconds
        moments = random.Random(self.seed)  # noqa: S311 - to be repeated, not secret
        for fault in faults:
            if len(self.rows) == count or time.monotonic() > deadline:
                break
            time.sleep(moments.uniform(*_PAUSE))
            row = self._one(fault)
            if row is None:
                self.missed.append(fault)
                self.say(f"    {fault.part}: {fault}; met nobody")
                continue
            self.rows.append(row)
            self.say(f"{len(self.rows):3} {_line(row)}")
        self.rest(rest_seconds)

    def rest(self, seconds: float) -> None:
        """Let everything end, then look whether all is there."""
        self.rested = self.loop.stop(seconds)
        if not self.rested:
            going_on = [f"{run['dag_id']} {run['dag_run_id']}" for run in self.loop.going_on()]
            self.final.append(f"still running after {seconds:.0f} s: {', '.join(going_on)}")
        with contextlib.suppress(*_AWAY):
            self._deliver()
        self.final += self.loop.broken
        self.final += self._checked(at_rest=True)
        ends = {(run["dag_id"], run["dag_run_id"]): run["state"] for run in self.loop.runs()}
        for row in self.rows:
            row.outcome = _outcome([(dag, ends[dag, run]) for dag, run in row.runs])

    def violations(self) -> Iterator[str]:
        """All that did not hold."""
        for row in self.rows:
            yield from (f"after {row.fault.part} {row.fault}: {one}" for one in row.violations)
        yield from (f"in the end: {one}" for one in self.final)

    def _one(self, fault: Fault) -> Row | None:
        """Do a fault, and look what became of it; None if it was not done."""
        row = Row(fault, dt.datetime.now(tz=dt.UTC))
        with contextlib.suppress(*_AWAY):
            row.runs = [(run["dag_id"], run["dag_run_id"]) for run in self.loop.going_on()]
        refused = self.loop.refused_in_all()
        met = inflict(self.cluster, fault)
        if met is None:
            return None
        ended = time.time()
        row.recovery_seconds = self.health.recovered(fault.part, ended, ended + _RECOVERY_SECONDS)
        row.answer_seconds = self.health.answered(ended, time.time() + _RECOVERY_SECONDS)
        row.violations = [*met, *self._checked()]
        if row.recovery_seconds is None:
            row.violations.append(f"{fault.part} was not well after {_RECOVERY_SECONDS:.0f} s")
        if row.answer_seconds is None:
            row.violations.append(f"no prediction for {_RECOVERY_SECONDS:.0f} s")
        row.refused = self.loop.refused_in_all() - refused
        return row

    def _checked(self, *, at_rest: bool = False) -> list[str]:
        """The violations, as soon as the stores answer."""
        deadline = time.monotonic() + _RECOVERY_SECONDS
        while True:
            try:
                return self.invariants.violations(at_rest=at_rest)
            except _AWAY as error:
                if time.monotonic() > deadline:
                    return [f"the stores do not answer: {error}"]
                time.sleep(0.5)
            except Exception as error:  # noqa: BLE001 - one answer that nobody expects ends no campaign
                return [f"a check failed: {error!r}"]

    def _deliver(self) -> None:
        """Have what waits to be told delivered, as every five minutes, until nothing is missing."""
        api, deadline = self.loop.api(), time.monotonic() + _MAIL_SECONDS
        while True:
            run_id = api.trigger("alerts", {})
            while api.run_state("alerts", run_id) not in FINISHED and time.monotonic() < deadline:
                time.sleep(1)
            # What they lack is told after this as a violation.
            if not [*self.invariants.ends()] or time.monotonic() > deadline:
                return


def _outcome(ends: Sequence[tuple[str, str]]) -> str:
    """What became of the runs of a moment: the whole loop's, where it ran."""
    names = {"success": "ended well", "failed": "failed"}
    return "; ".join(f"{dag} {names.get(state, state)}" for dag, state in ends) or "nothing ran"


def _line(row: Row) -> str:
    recovery = f"{seconds(row.recovery_seconds)}, answers {seconds(row.answer_seconds)}"
    running = ", ".join(dag for dag, _ in row.runs)
    told = "".join(f"\n      VIOLATION {one}" for one in row.violations)
    return f"{row.at:%H:%M:%S} {row.fault.part}: {row.fault}; {recovery}; {running}{told}"


def seconds(found: float | None) -> str:
    """As in the table."""
    return "never" if found is None else f"{found:.1f} s"

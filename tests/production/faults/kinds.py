"""The kinds of faults: how each is done to a running cluster, and how it is undone."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil
from tests.production.faults import attacks
from tests.production.faults.attacks import Violations
from tests.production.faults.cluster import (
    API,
    CLOCKS,
    DISKS,
    LITTLE,
    PROCESSOR,
    SCHEDULER,
    SERVERS,
    TRIGGERER,
    WORKERS,
    Cluster,
)
from tests.production.faults.relay import Weather

#: How long a fault that has to be undone lasts.
_LASTS = (2.0, 6.0)
#: How long it waits for somebody whom it meets.
_MEET_SECONDS = 12.0
#: How far clocks jump.
_JUMPS = (-3_600, -90, 90, 3_600)
_TASK_SECONDS = 15.0

#: moto keeps its objects in memory: the object store can be cut off, and is never killed.
STORES = ("mlflow", "postgres", "redis")


@dataclass(frozen=True)
class Fault:
    """One fault.

    Parameters
    ----------
    kind
        Of the fault.
    part
        What it is done to.
    seconds
        How long it lasts; 0 for what is done in a moment.
    amount
        Of a clock: by how many seconds it jumps.
    """

    kind: str
    part: str
    seconds: float = 0.0
    amount: int = 0

    def __str__(self) -> str:
        """As in the table."""
        by = f" by {self.amount:+,} s" if self.amount else ""
        lasts = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{self.kind}{by}{lasts}"


@dataclass(frozen=True)
class Kind:
    """A kind of faults.

    Parameters
    ----------
    name
        As in the table.
    parts
        What it can be done to.
    apply, undo
        Do it, and tell whether it was done; undo it.
    has_met
        Whether somebody has felt it by now.
    lasts
        Whether it has to be undone.
    attack
        What is done instead of all this, and what did not hold of what is expected of it.
    """

    name: str
    parts: Sequence[str]
    apply: Callable[[Cluster, Fault], bool] = lambda *_: True
    undo: Callable[[Cluster, Fault], object] = lambda *_: None
    has_met: Callable[[Cluster, Fault], bool] = lambda *_: True
    lasts: bool = True
    attack: Callable[[Cluster, Fault], Violations] | None = None

    def one(self, chance: random.Random, part: str) -> Fault:
        """A fault of this kind."""
        seconds = round(chance.uniform(*_LASTS), 1) if self.lasts else 0.0
        amount = chance.choice(_JUMPS) if self.name == CLOCK_JUMP else 0
        return Fault(self.name, part, seconds, amount)


CLOCK_JUMP, DISK_FULL = "clock jumps", "disk full"
FULL_START = "started on a full disk"


def _weather(name: str, weather: Weather, parts: Sequence[str]) -> Kind:
    def apply(cluster: Cluster, fault: Fault) -> bool:
        cluster.network.change(fault.part, weather)
        return True

    return Kind(
        name,
        parts,
        apply,
        undo=lambda cluster, fault: cluster.network.change(fault.part, Weather.FINE),
        has_met=lambda cluster, fault: cluster.network.met(fault.part),
    )


def _attack(
    name: str, parts: Sequence[str], attack: Callable[[Cluster, Fault], Violations]
) -> Kind:
    return Kind(name, parts, lasts=False, attack=attack)


def _kill_task(cluster: Cluster, fault: Fault) -> bool:
    """Kill the process of a task as the kernel does when memory is short."""
    deadline = time.monotonic() + _TASK_SECONDS
    while not (tasks := cluster.tasks(fault.part)) and time.monotonic() < deadline:
        time.sleep(0.1)
    with contextlib.suppress(psutil.NoSuchProcess):
        for task in tasks[:1]:
            task.kill()
            return True
    return False


KINDS = (
    Kind(
        "killed",
        (*WORKERS, *SERVERS, SCHEDULER, PROCESSOR, TRIGGERER, API, *STORES, "mail"),
        lasts=False,
        apply=lambda cluster, fault: cluster.kill(fault.part) > 0,
    ),
    Kind("a task killed", WORKERS, lasts=False, apply=_kill_task),
    Kind(
        "frozen",
        (*WORKERS, SCHEDULER, "mlflow", "s3", "postgres", API),
        apply=lambda cluster, fault: cluster.freeze(fault.part, frozen=True),
        undo=lambda cluster, fault: cluster.freeze(fault.part, frozen=False),
    ),
    _weather("cut off", Weather.CUT, ("postgres", "redis", "s3", "mlflow", API, "mail")),
    _weather("silent", Weather.SILENT, ("postgres", "redis", "s3", "mlflow", API)),
    _weather("answers lost", Weather.DEAF, ("mlflow", "s3", API, "postgres")),
    _weather("uploads torn", Weather.TORN, ("s3", "mlflow")),
    _weather("slow", Weather.SLOW, ("postgres", "redis", "s3", "mlflow", API)),
    Kind(
        DISK_FULL,
        tuple(DISKS),
        apply=lambda cluster, fault: cluster.fill(fault.part, full=True),
        undo=lambda cluster, fault: cluster.fill(fault.part, full=False),
    ),
    Kind(
        CLOCK_JUMP,
        CLOCKS,
        apply=lambda cluster, fault: cluster.set_clock(fault.part, fault.amount),
        undo=lambda cluster, fault: cluster.set_clock(fault.part, 0),
    ),
    Kind("chunks that are none", ("proxy",), attack=attacks.send_broken_chunks),
    _attack("a header without an end", SERVERS, attacks.send_endless_header),
    _attack("a tag that cannot be read", ("mlflow",), attacks.write_odd_tag),
    _attack("disabled while a version loads", ("s3",), attacks.decide_while_loading),
    _attack("kept models damaged", SERVERS, attacks.damage_kept_models),
    _attack(FULL_START, ("serving-2",), attacks.start_on_full_disk),
    _attack("log locked and killed", (LITTLE,), attacks.lock_log_and_kill),
    _attack("log locked and stopped", (LITTLE,), attacks.lock_log_and_stop),
)

_BY_NAME = {kind.name: kind for kind in KINDS}


def inflict(cluster: Cluster, fault: Fault) -> Violations:
    """Do a fault, let it last, and undo it.

    Returns
    -------
    list of str, or None
        What did not hold meanwhile of what an attack expects; None if it was not done, or nobody
        has met it.
    """
    kind = _BY_NAME[fault.kind]
    if kind.attack is not None:
        try:
            return kind.attack(cluster, fault)
        except Exception as error:  # noqa: BLE001 - one that nobody expects ends no campaign
            return [f"the attack met what nobody expected: {error!r}"]
    deadline = time.monotonic() + max(_MEET_SECONDS, fault.seconds)
    try:
        if not kind.apply(cluster, fault):
            return None
        time.sleep(fault.seconds)
        while not (met := kind.has_met(cluster, fault)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [] if met else None
    finally:
        kind.undo(cluster, fault)


def plan(chance: random.Random, *, without: Sequence[str] = ()) -> Iterator[Fault]:
    """Faults in a random order, without end: every kind at every part, round after round.

    Parameters
    ----------
    without
        Kinds that this machine cannot do.
    """
    every = [(kind, part) for kind in KINDS if kind.name not in without for part in kind.parts]
    while True:
        chance.shuffle(every)
        yield from [kind.one(chance, part) for kind, part in every]

"""Whether a part is well: it answers, or what it does anew can be seen."""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from tests.production.faults.cluster import (
    API,
    LITTLE,
    PROCESSOR,
    SCHEDULER,
    SERVERS,
    TRIGGERER,
    WORKERS,
    Cluster,
)
from tests.production.faults.loop import Loop
from tests.production.processes import HOST, postgres_program

_LOOK_SECONDS = 0.2
_PATHS = {"mlflow": "/health", API: "/api/v2/version", "s3": "/moto-api/"}
_PATHS |= dict.fromkeys((*SERVERS, LITTLE, "proxy"), "/healthz")
#: As Airflow calls them where it tells of its health.
_JOBS = {SCHEDULER: "scheduler", PROCESSOR: "dag_processor", TRIGGERER: "triggerer"}


@dataclass
class Health:
    """Asks the parts of a cluster, past the network that can be broken.

    Parameters
    ----------
    cluster, loop
        Whose parts; the loop is logged in at Airflow, and remembers who answered.
    """

    cluster: Cluster
    loop: Loop

    def recovered(self, part: str, since: float, deadline: float) -> float | None:
        """Seconds until a part was well again; None if it was not.

        Parameters
        ----------
        since, deadline
            When its fault ended; until when it is waited for; by the clock of `time.time`.
        """
        return _first(lambda: self.is_well(part, since), since, deadline)

    def answered(self, since: float, deadline: float) -> float | None:
        """Seconds until each server has acknowledged a prediction; None if one has not."""
        return _first(lambda: self._all_have_answered(since), since, deadline)

    def is_well(self, part: str, since: float) -> bool:
        """Whether a part does its work: what it has done is later than *since*."""
        if not self.cluster.runs(part):
            return False
        if part in _PATHS:
            return self._serves(part)
        if part in _JOBS:
            return self._beats(_JOBS[part], since)
        if part == "postgres":
            return self._takes_queries()
        if part in WORKERS:
            return self._ping({part})
        # Redis is well when those that wait for its messages hear them again.
        return self._ping({*WORKERS}) if part == "redis" else self.cluster.listens(part)

    def _serves(self, part: str) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.cluster.url(part)}{_PATHS[part]}", timeout=3).ok
        return False

    def _takes_queries(self) -> bool:
        ready = [str(postgres_program("pg_isready")), "-h", HOST]
        ready += ["-p", str(self.cluster.ports["postgres"])]
        return subprocess.run(ready, capture_output=True, check=False).returncode == 0

    def _all_have_answered(self, since: float) -> bool:
        latest = {one.server for one in self.loop.answers[-200:] if one.begun > since}
        return latest == {*SERVERS}

    def _beats(self, job: str, since: float) -> bool:
        """Whether a part of Airflow's has told since then that it lives."""
        with contextlib.suppress(requests.RequestException):
            found = self.loop.api().get("/monitor/health")[job][f"latest_{job}_heartbeat"]
            return found is not None and dt.datetime.fromisoformat(found).timestamp() > since
        return False

    def _ping(self, workers: set[str]) -> bool:
        names = [f"{worker}@{HOST}" for worker in workers]
        try:
            # Anew each time: what was connected before may be broken.
            with Celery(broker=self._broker) as asking, asking.connection() as connection:
                found = asking.control.ping(
                    names, timeout=2.0, limit=len(names), connection=connection
                )
        except (OperationalError, RedisError, OSError):
            return False
        return {name for one in found for name in one} == {*names}

    @property
    def _broker(self) -> str:
        password = self.cluster.secrets["REDIS_PASSWORD"]
        return f"redis://:{password}@{HOST}:{self.cluster.ports['redis']}/0"


def _first(is_so: Callable[[], bool], since: float, deadline: float) -> float | None:
    """Seconds since then until it was so."""
    while time.time() < deadline:
        if is_so():
            return time.time() - since
        time.sleep(_LOOK_SECONDS)
    return None

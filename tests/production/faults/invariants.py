"""What has to hold whatever breaks, asked of the real stores."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
from tests.production.asking import bearer
from tests.production.faults.cluster import SERVERS
from tests.production.faults.loop import DAGS, TRIP, Loop
from tests.production.faults.stores import Stores

from model_loop.local.airflow_api import FINISHED

_IDENTITY = "trip_duration.identity"
_PARENT = "mlflow.parentRunId"
_TERMINAL = {"FINISHED", "FAILED", "KILLED"}
#: A server looks at the registry every two seconds, and compiles what it finds.
_AGREE_SECONDS = 60.0
#: What a server has answered is in the log so soon, when nothing is broken.
_LOG_SECONDS = 5.0


@dataclass
class Invariants:
    """The invariants of a loop.

    Parameters
    ----------
    loop
        Whose.
    """

    loop: Loop
    known_versions: dict[int, str] = field(default_factory=dict)
    checked_answers: int = 0

    def __post_init__(self) -> None:
        self.stores = Stores(self.loop.cluster)

    def violations(self, *, at_rest: bool = False) -> list[str]:
        """What does not hold now.

        What may be there once is asked of the runs of Airflow that have ended: until then, a task
        may be about to remove what a lost answer has made it begin twice.

        Parameters
        ----------
        at_rest
            Whether nothing runs any more: then all has to be there, not only nothing twice.
        """
        ended = {
            f"{run['dag_id']}/{run['dag_run_id']}"
            for run in self.loop.runs()
            if run["state"] in FINISHED
        }
        runs = self.stores.runs()
        past = [run for run in runs if _dag_run(run) in ended]
        found = [
            *self._predictions(at_rest=at_rest),
            *self._identities(past),
            *self._versions(past),
            *self._trials(runs, past),
            *self._history(runs),
            *self._published(),
        ]
        if at_rest:
            found += [*self._finished_trainings(runs), *self.ends(), *self._one_champion()]
        return found

    def _predictions(self, *, at_rest: bool) -> Iterator[str]:
        """No acknowledged prediction is lost."""
        now = time.time()
        answers = self.loop.answers[self.checked_answers :]
        # The order of the answers is that of their times.
        due = [one for one in answers if at_rest or one.at < now - _LOG_SECONDS]
        logged = self.stores.logged(one.prediction_id for one in due)
        deadline = time.monotonic() + _AGREE_SECONDS
        while len(logged) < len(due) and time.monotonic() < deadline:
            time.sleep(1)
            logged = self.stores.logged(one.prediction_id for one in due)
        self.checked_answers += len(due)
        for server, lost in Counter(
            one.server for one in due if one.prediction_id not in logged
        ).items():
            yield f"{lost} acknowledged predictions of {server} are not in the log"
        for one in due:
            if logged.get(one.prediction_id, (one.minutes, one.version)) != (
                one.minutes,
                one.version,
            ):
                yield f"prediction {one.prediction_id} is in the log with another answer"

    def _identities(self, runs: list[dict[str, Any]]) -> Iterator[str]:
        """What was begun once is one run."""
        counts = Counter(run["tags"][_IDENTITY] for run in runs if _IDENTITY in run["tags"])
        for identity, count in counts.items():
            if count > 1:
                yield f"{count} runs with the identity {identity}"

    def _versions(self, past: list[dict[str, Any]]) -> Iterator[str]:
        """A run has one version; each version is whole, and stays what it was."""
        versions = self.stores.versions()
        counts = Counter(version["run_id"] for version in versions.values())
        for run in past:
            if counts[run["run_id"]] > 1:
                yield f"{counts[run['run_id']]} versions of {run['tags'][_IDENTITY]}"
        for number, version in versions.items():
            if self.known_versions.get(number) == version["source"]:
                continue
            if number in self.known_versions:
                yield f"version {number} has become another model"
            self.known_versions[number] = version["source"]
            files = self.stores.model_files(version)
            for name in ("MLmodel", "model.skops"):
                if not any(path.endswith(f"/{name}") and size for path, size in files.items()):
                    yield f"version {number} has no file {name}"

    def _trials(self, runs: list[dict[str, Any]], past: list[dict[str, Any]]) -> Iterator[str]:
        """No trial of a family was logged twice."""
        trials = _trials(runs)
        for run in past:
            counts = Counter(trials.get(run["run_id"], []))
            if twice := [number for number, count in counts.items() if count > 1]:
                yield f"trials {twice} of {run['tags'][_IDENTITY]} were logged more than once"

    def _finished_trainings(self, runs: list[dict[str, Any]]) -> Iterator[str]:
        """A training that ended well has every trial, ended, and a version of each family."""
        by_identity = {run["tags"].get(_IDENTITY): run for run in runs}
        trials = _trials(runs)
        versions = Counter(version["run_id"] for version in self.stores.versions().values())
        ended = {run["run_id"]: run["status"] in _TERMINAL for run in runs}
        for dag_run in self.loop.runs():
            dag_id, run_id = dag_run["dag_id"], dag_run["dag_run_id"]
            if not dag_id.endswith("_training") or dag_run["state"] != "success":
                continue
            results = self.loop.api().result(dag_id, run_id, "results")
            for family in results["families"]:
                identity = f"{dag_id}/{run_id}/{family['family']}"
                run = by_identity.get(identity)
                if run is None or run["status"] != "FINISHED":
                    yield f"{identity} ended well, but not its run"
                    continue
                if sorted(trials.get(run["run_id"], [])) != [*range(family["evaluations"])]:
                    numbers = sorted(trials.get(run["run_id"], []))
                    yield f"{identity}: {family['evaluations']} evaluations, logged {numbers}"
                if versions[run["run_id"]] != 1:
                    yield f"{identity}: {versions[run['run_id']]} versions"
                children = [one for one in runs if one["tags"].get(_PARENT) == run["run_id"]]
                if not all(ended[one["run_id"]] for one in children):
                    yield f"{identity}: a trial has no end"

    def _history(self, runs: list[dict[str, Any]]) -> Iterator[str]:
        """Each move begins where the one before has ended, and the last one names the champion."""
        moves = [run for run in runs if run["tags"].get("action")]
        for one, after in itertools.pairwise(moves):
            then = {one["tags"].get("after_champion")}
            if one["status"] != "FINISHED":
                # It may or may not have moved before it was given up.
                then.add(one["tags"].get("before_champion"))
            if after["tags"].get("before_champion") not in then:
                yield (
                    f"{after['tags'][_IDENTITY]} began with champion "
                    f"{after['tags'].get('before_champion')}, which {one['tags'][_IDENTITY]} "
                    f"had left at {' or '.join(map(str, then))}"
                )
        if moves and moves[-1]["status"] == "FINISHED":
            champion, said = self.stores.champion(), moves[-1]["tags"].get("after_champion")
            later = [one for one in self.stores.runs() if one["tags"].get("action")]
            if str(champion) != said and len(later) == len(moves):
                yield f"champion is {champion}, the history says {said}"

    def _published(self) -> Iterator[str]:
        """Whatever can be found is whole."""
        for entry, problem in self.stores.products():
            if problem:
                yield f"training set {entry}: {problem}"
        scored = list(self.stores.scored())
        # All are of the same month.
        wanted = max((rows for _, rows, _ in scored), default=0)
        for path, rows, predicted in scored:
            if not rows == predicted == wanted:
                yield f"{path}: {predicted} of {rows} rows hold a prediction, of {wanted} trips"

    def _one_champion(self) -> Iterator[str]:
        """All servers answer by the version that has the alias."""
        headers, champion = bearer(self.loop.cluster), self.stores.champion()
        trip = {**TRIP, "trip_distance": 1.5}
        for server in SERVERS:
            deadline, said = time.monotonic() + _AGREE_SECONDS, None
            while said != champion and time.monotonic() < deadline:
                url = f"{self.loop.cluster.url(server)}/predict"
                answer = requests.post(url, json=trip, headers=headers, timeout=10)
                said = answer.json()[0]["model_version"] if answer.ok else answer.text
                time.sleep(0.5)
            if said != champion:
                yield f"{server} answers by version {said}, champion is {champion}"

    def ends(self) -> Iterator[str]:
        """A run ends well without a mail, or fails with one for each task that failed."""
        told, runs = Counter(self.stores.failures_told()), list(self.loop.runs())
        failed = {run["dag_run_id"] for run in runs if run["state"] == "failed"}
        for run in runs:
            dag_id, run_id = run["dag_id"], run["dag_run_id"]
            wanted = 0
            if run["state"] == "failed":
                tasks = list(self.loop.api().tasks(dag_id, run_id))
                lost = [one for one in tasks if one.state == "failed"]
                # The run that such a task has begun has told it.
                reported = [one for one in lost if f"{dag_id}.{run_id}" in failed]
                reported = [one for one in reported if one.task_id in DAGS]
                wanted = len(lost) - len(reported) if lost else 1
            if (mails := told[dag_id, run_id]) != wanted:
                yield f"{dag_id} {run_id} ({run['state']}): {mails} mails, {wanted} wanted"


def _dag_run(run: dict[str, Any]) -> str:
    """DAG and run that an identity begins with."""
    return "/".join(run["tags"].get(_IDENTITY, "").split("/")[:2])


def _trials(runs: list[dict[str, Any]]) -> dict[str, list[int]]:
    """The numbers of the logged trials, by the run of their family."""
    found: dict[str, list[int]] = {}
    for run in runs:
        if "trial" in run["tags"] and _PARENT in run["tags"]:
            found.setdefault(run["tags"][_PARENT], []).append(int(run["tags"]["trial"]))
    return found

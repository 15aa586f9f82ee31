"""From what Airflow knows of a failed task to the alert that tells it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow.sdk.log import redact  # type: ignore[attr-defined]  # not in its __all__, for there is none

from model_loop.alerts.advice import KILLED, advice_on
from model_loop.alerts.logs import error_in, log_tail
from model_loop.alerts.types import Alert, Link
from model_loop.errors import ModelLoopError
from model_loop.masking import mask_logins
from model_loop.orchestration.alerts.failed_tasks import (
    FailedTask,
    attempt_of,
    instance_name,
    log_file,
    name_by_input,
    run_url,
    task_url,
)
from model_loop.settings import get_settings

logger = logging.getLogger(__name__)

_MOST_CHARACTERS = 4_000
_CAUSES = 3
#: Seconds that the supervisor may take to write the error into the log.
_LOG_SECONDS = 1.0


def failure_of(context: Mapping[str, Any]) -> Alert:
    """The alert for a task that failed, from the context of its callback."""
    ti, error = context["ti"], context.get("exception")
    map_index = -1 if ti.map_index is None else ti.map_index
    tries = getattr(ti, "max_tries", None)
    task = FailedTask(
        ti.dag_id,
        ti.run_id,
        ti.task_id,
        map_index,
        name=instance_name(ti, context),
        try_number=ti.try_number,
        tries=None if tries is None else tries + 1,
        started=getattr(ti, "start_date", None),
        ended=getattr(ti, "end_date", None) or dt.datetime.now(tz=dt.UTC),
    )
    key = f"failure/{task.about}/{ti.try_number}"
    return _failure(task, key, error, _run_facts(context.get("dag_run")))


def untold_failures(
    context: Mapping[str, Any],
    failed: Iterable[FailedTask],
    knows: Callable[[str, dt.datetime], bool],
) -> Iterator[Alert]:
    """Alerts for what failed in a run that has ended without having been able to tell it.

    A process that is killed tells nothing, and while its supervisor lives Airflow calls nobody else
    (https://github.com/apache/airflow/issues/60858).

    Parameters
    ----------
    context
        Context of a callback of the DAG.
    failed
        The tasks of the run that have failed.
    knows
        Function that returns whether an alert has been sent, or waits to be sent, since a time.
    """
    dag, run = context["dag"], context.get("dag_run")
    since = getattr(run, "start_date", None) or dt.datetime.fromtimestamp(0, tz=dt.UTC)
    for task in failed:
        if knows(task.about, since):
            continue
        operator, path = dag.get_task(task.task_id), log_file(task)
        found = dataclasses.replace(
            task,
            name=name_by_input(operator, task.map_index, context.get("ti")),
            try_number=attempt_of(path) if path else None,
            tries=operator.retries + 1,
            # A process that was killed writes nothing any more.
            ended=dt.datetime.fromtimestamp(path.stat().st_mtime, tz=dt.UTC) if path else None,
        )
        yield _failure(found, f"failure/{task.about}/{since.isoformat()}", None, _run_facts(run))


def failed_run(context: Mapping[str, Any]) -> Alert:
    """The alert for a run that failed although none of its tasks did, such as one out of time."""
    dag, run_id, reason = context["dag"], context["run_id"], str(context.get("reason") or "unknown")
    about = f"{dag.dag_id}/{run_id}"
    return Alert(
        kind="failure",
        key=f"failure/{about}/{reason}",
        about=about,
        subject=f"{dag.dag_id} failed",
        headline=f"{dag.dag_id} failed",
        summary="The run failed although no task of it did.",
        error=f"Airflow's reason: {reason}",
        facts=(("Run", run_id), *_run_facts(context.get("dag_run"))),
        links=(Link("The run", run_url(dag.dag_id, run_id)),),
        advice=advice_on(None, reason),
    )


def tracking_link(*identities: str) -> tuple[tuple[Link, ...], tuple[str, ...]]:
    """The link to the run on the tracking server if there is one, and a note if none is known."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - DAG files import this module

    from model_loop.tracking.links import find_run_url  # noqa: PLC0415 - as above

    settings = get_settings()
    try:
        url = find_run_url(settings.tracking_uri, identities)
    except MlflowException as error:
        logger.warning("No link to the tracking server: %s", error)
        return (), (f"There is no link to MLflow: {settings.tracking_uri} did not answer in time.",)
    return ((Link("MLflow", url),) if url else ()), ()


def _failure(
    task: FailedTask,
    key: str,
    error: BaseException | str | None,
    facts: tuple[tuple[str, str], ...],
) -> Alert:
    path, log, log_note = log_file(task), tuple[str, ...](), ""
    words = _clean(_words(error)) if error else ""
    try:
        if path is None:
            raise FileNotFoundError
        log = _settled_log(path, wait=bool(error))
        words = words or _clean(error_in(path))
    except OSError:
        log_note = "The log is not on the machine that sent this; the link leads to it."
    words = words or KILLED
    tracking, notes = tracking_link(
        *([f"{task.dag_id}/{task.run_id}/{task.name}"] if task.name else []),
        f"{task.dag_id}/{task.run_id}",
    )
    exception = error if isinstance(error, BaseException) else None
    return Alert(
        kind="failure",
        key=key,
        about=task.about,
        subject=f"{task.dag_id} failed in {task.label}",
        headline=f"{task.dag_id} failed in {task.label}",
        summary=_summary(task, exception),
        error=words,
        facts=(*_task_facts(task), *facts),
        log=tuple(_clean(line) for line in log),
        log_note=log_note,
        advice=advice_on(exception, words),
        links=(
            Link("The task's log", task_url(task)),
            Link("The run", run_url(task.dag_id, task.run_id)),
            *tracking,
        ),
        notes=notes,
    )


def _summary(task: FailedTask, error: BaseException | None) -> str:
    which = "" if task.try_number is None else f" at try {task.try_number}"
    of = "" if task.tries is None or not which else f" of {task.tries}"
    again = ""
    if task.tries and task.try_number and task.try_number < task.tries:
        again = (
            " It is not tried again: the input has to change."
            if isinstance(error, ModelLoopError)
            else " It is not tried again."
        )
    return f"The task {task.label} of {task.dag_id} failed for good{which}{of}.{again}"


def _task_facts(task: FailedTask) -> tuple[tuple[str, str], ...]:
    facts = [("Run", task.run_id)]
    if task.ended:
        facts.append(("Failed", _moment(task.ended)))
    if task.started and task.ended:
        facts.append(("Ran for", _span(task.ended - task.started)))
    if task.try_number:
        facts.append(("Try", f"{task.try_number}" + (f" of {task.tries}" if task.tries else "")))
    return tuple(facts)


def _run_facts(run: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - Airflow's
    """Return how the run was started."""
    if run is None:
        return ()
    who = getattr(run, "triggering_user_name", None)
    kind = getattr(run, "run_type", None)
    kind = str(getattr(kind, "value", kind) or "")
    started = [("Started by", f"{who} ({kind})" if who else kind)] if kind else []
    form = getattr(run, "conf", None) or {}
    said = ", ".join(f"{name} = {redact(value, name)}" for name, value in form.items())
    return (*started, ("Form", _clean(said) if said else "as it is by default"))


def _settled_log(path: Path, *, wait: bool) -> tuple[str, ...]:
    """The end of the log, with the error that was raised a moment ago."""
    deadline = time.monotonic() + (_LOG_SECONDS if wait else 0.0)
    while True:
        lines = log_tail(path)
        if any(" ERROR " in line for line in lines) or time.monotonic() > deadline:
            return lines
        time.sleep(0.1)


def _words(error: BaseException | str) -> str:
    """The error's own words, and those of what caused it."""
    if isinstance(error, str):
        return error
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(lines) < _CAUSES:
        # Errors of our own often quote what caused them.
        if not lines or str(cause) not in lines[-1]:
            lines.append(_words_of_one(cause))
        cause = cause.__cause__
    return "\nbecause of ".join(lines)


def _words_of_one(error: BaseException) -> str:
    if isinstance(error, ModelLoopError):
        return f"{error.given} {error.rule}."
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _clean(text: str) -> str:
    """A text without secrets, of a length that can be read."""
    shown = mask_logins(str(redact(text)))
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]} …"


def _moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(span: dt.timedelta) -> str:
    minutes, seconds = divmod(round(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds} s"]
    return " ".join(part for part in parts if part)

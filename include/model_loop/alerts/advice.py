"""Advice on errors: an error's own remedy, or the usual cause of errors of its kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from model_loop.errors import ModelLoopError
from model_loop.settings import get_settings

#: Advice for a task that ended without an error of its own.
KILLED = (
    "No error was recorded: the task was marked as failed by hand, its process was killed, or it "
    "vanished with its machine."
)

_CLEAR = "After mending the cause, clear the task in Airflow: what had finished is not done again."


@dataclass(frozen=True)
class _Hint:
    """Advice for errors that match a pattern."""

    pattern: re.Pattern[str]
    advice: str


def _hint(pattern: str, advice: str) -> _Hint:
    return _Hint(re.compile(pattern, re.IGNORECASE), advice)


# The more particular ones first: the first that fits is given.
_HINTS = (
    _hint(
        r"no space left on device|disk quota exceeded",
        "The disk is full. Make room; the DAG maintenance removes what nobody needs any more.",
    ),
    _hint(
        r"memoryerror|out of memory|\boom\b|sigkill|process was killed",
        "Most often the machine had no memory left. Train fewer families at once (slots of the "
        "pool training), take fewer partitions, or a machine with more memory.",
    ),
    _hint(
        r"tasktimeout|timed? ?out",
        "Something took longer than it may. Look whether the other side answers, or allow more "
        "time; fewer evaluations (max_evaluations) or a time_budget_seconds shorten a search.",
    ),
    _hint(
        r"(mlflow|{tracking}).*(connection|max retries|refused|api request)"
        r"|(connection|max retries|refused|api request).*(mlflow|{tracking})",
        "The tracking server {uri} did not answer. Start it (make status shows it locally), or "
        "correct MODEL_LOOP_TRACKING_URI.",
    ),
    _hint(
        r"database is locked",
        "SQLite serves one writer at a time. Clear the task; use PostgreSQL where many work.",
    ),
    _hint(
        r"connection ?(refused|reset|error|aborted)|name or service not known|max retries",
        "A server did not answer. Look whether it runs and can be reached from the worker.",
    ),
    _hint(
        r"permissionerror|permission denied|access ?denied|\b403\b",
        "The worker may not read or write there. Mend the permissions, or the credentials.",
    ),
    _hint(
        r"modulenotfounderror|importerror",
        "The worker lacks a package. Install what requirements/constraints.txt names.",
    ),
)


def advice_on(error: BaseException | None, words: str) -> tuple[str, ...]:
    """Return advice on an error.

    Parameters
    ----------
    error
        The exception, where it is at hand.
    words
        Its text, and further text about it.
    """
    if isinstance(error, ModelLoopError):
        return error.remedy, _CLEAR
    uri = get_settings().tracking_uri
    address = re.escape(uri.partition("://")[2] or uri)
    for hint in _HINTS:
        pattern = hint.pattern.pattern.replace("{tracking}", address)
        if re.search(pattern, words, re.IGNORECASE | re.DOTALL):
            return hint.advice.replace("{uri}", uri), _CLEAR
    return "Open the log: the error stands at its end, with the line of code.", _CLEAR

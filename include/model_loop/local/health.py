"""Waiting until everything answers, with something to look at meanwhile."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Callable

import requests
from rich.console import Console

from model_loop.local.preflight import LocalStackError
from model_loop.local.stack import HOST, LocalStack
from model_loop.local.supervision import Supervision

_TIMEOUT_SECONDS = 180.0
_REQUEST_SECONDS = 5.0
_LOG_LINES = 25


def wait_until_healthy(stack: LocalStack, supervision: Supervision, console: Console) -> None:
    """Wait until Airflow, MLflow and the mail sink answer.

    Raises
    ------
    LocalStackError
        If a process dies for good, or something does not answer in time; with the end of its log.
    """
    waiting: dict[str, Callable[[], bool]] = {
        "mail": lambda: _mail_answers(stack),
        "mlflow": lambda: _answers(f"{stack.mlflow_url}/health"),
        "airflow": lambda: _airflow_healthy(stack) and _answers(f"{stack.execution_url}/health"),
    }
    started = time.monotonic()
    with console.status("Starting") as status:
        while waiting:
            _refuse_dead(stack, supervision)
            for name in [name for name, answers in waiting.items() if answers()]:
                del waiting[name]
                console.print(f"  {name} is up after {time.monotonic() - started:.0f} s")
            status.update(f"Waiting for {', '.join(waiting)}")
            if waiting and time.monotonic() - started > _TIMEOUT_SECONDS:
                late = ", ".join(waiting)
                raise LocalStackError(
                    late, f"did not answer within {_TIMEOUT_SECONDS:.0f} s", "See `make logs`."
                )
            time.sleep(0.5 if waiting else 0)


def last_lines(stack: LocalStack, name: str, count: int = _LOG_LINES) -> str:
    """The end of a process's log."""
    log = stack.logs / f"{name}.log"
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def _refuse_dead(stack: LocalStack, supervision: Supervision) -> None:
    for process in supervision.status():
        if process.state == "FATAL":
            raise LocalStackError(
                process.name,
                f"does not start ({process.description}); its log ends with:\n"
                f"{last_lines(stack, process.name)}\n",
                "Mend what the log says and start again.",
            )


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=_REQUEST_SECONDS).ok
    except requests.RequestException:
        return False


def _airflow_healthy(stack: LocalStack) -> bool:
    url = f"{stack.airflow_url}/api/v2/monitor/health"
    try:
        answer = requests.get(url, timeout=_REQUEST_SECONDS)
    except requests.RequestException:
        return False
    parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
    return answer.ok and all(answer.json()[part]["status"] == "healthy" for part in parts)


def _mail_answers(stack: LocalStack) -> bool:
    try:
        with smtplib.SMTP(HOST, stack.settings.mail_port, timeout=_REQUEST_SECONDS) as sink:
            code, _ = sink.noop()
    except OSError:
        return False
    return code == 250  # noqa: PLR2004 - SMTP's "requested action okay"

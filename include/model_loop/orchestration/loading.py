"""Loading versions for tasks: an upgrade of a library stops no prediction."""

from __future__ import annotations

from model_loop.coded.versions import load_any
from model_loop.orchestration.alerts.notifications import announce
from model_loop.serving.compiled.stored import CompiledVersion, load_answering
from model_loop.serving.models.registry import upgrade_alert
from model_loop.tracking.registry import Answering
from model_loop.tracking.runs import Tracker


def load(tracker: Tracker, name: str, version: int) -> Answering:
    """Load a version; an alert is sent, once for each upgrade, of one with a compiled form alone.

    One that is code of its own is started in the runner.

    Raises
    ------
    OtherLineError
        See `load_answering`.
    InvalidInputError, CodeFailedError, RunnerUnavailableError
        See `load_any`.
    """
    found = load_any(tracker, name, version, load_answering)
    if isinstance(found, CompiledVersion):
        why = found.why
        announce(upgrade_alert(name, version, why.given, why.rule, why.remedy))
    return found

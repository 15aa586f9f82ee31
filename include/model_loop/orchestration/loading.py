"""Loading versions for the tasks of DAGs: an upgrade of a library stops no prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_loop.orchestration.notifications import announce

if TYPE_CHECKING:
    from model_loop.tracking.registry import Answering
    from model_loop.tracking.runs import Tracker


def load(tracker: Tracker, name: str, version: int) -> Answering:
    """Load a version; one that only its compiled form answers for is told, once for each upgrade.

    Raises
    ------
    OtherLineError
        See `load_answering`.
    """
    from model_loop.serving.compiled.stored import CompiledModel, load_answering
    from model_loop.serving.models.registry import upgrade_alert

    found = load_answering(tracker, name, version)
    if isinstance(found, CompiledModel):
        why = found.why
        announce(upgrade_alert(name, version, why.given, why.rule, why.remedy))
    return found

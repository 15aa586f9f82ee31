"""The card of a model after the gate: what was found of its intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.names import MODEL_CARD

if TYPE_CHECKING:
    from model_loop.models.gate import GateVerdict
    from model_loop.tracking.runs import Tracker

_HEADING = "\n## Intervals at the gate\n\n"


def add_verdict_to_card(tracker: Tracker, name: str, verdict: GateVerdict) -> None:
    """Write what the gate said of intervals at the end of a card, in place of what it said before.

    Nothing is written where intervals were not judged, or the version has no card.
    """
    checks = [check for check in verdict.checks if not check.blocks]
    run_id = tracker.client.get_model_version(name, str(verdict.challenger)).run_id
    card = read_artifact(tracker.client, run_id, MODEL_CARD) if checks else None
    if card is None:
        return
    lines = [
        f"- {check.name}: {check.outcome}: {check.found} (wanted: {check.wanted})"
        for check in checks
    ]
    if verdict.widening is not None:
        tails = f"{verdict.widening.lower:.2g} below and {verdict.widening.upper:.2g} above"
        lines.append(f"- The version answers with wider intervals: tails times {tails}.")
    text = card.decode().partition(_HEADING)[0]
    # Names of groups are values of the table: they are no markup.
    said = "\n".join(lines).replace("<", "&lt;")
    tracker.client.log_text(str(run_id), f"{text}{_HEADING}{said}\n", MODEL_CARD)

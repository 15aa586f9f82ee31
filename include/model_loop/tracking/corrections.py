"""Corrections of intervals: by the gate, and by the outcomes of closed days.

Each is a tag of the registered model, which servers read whenever they look which version answers.
Reading it needs no MLflow client.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from model_loop.intervals.adaptive import NO_CORRECTION, Correction
from model_loop.objects.documents import UNREADABLE, record_of, text_of

if TYPE_CHECKING:
    from model_loop.tracking.runs import Tracker

logger = logging.getLogger(__name__)


def correction_tag(version: int) -> str:
    """Return the tag of a registered model that holds the correction of a version by days."""
    return f"interval_correction_{version}"


def widening_tag(version: int) -> str:
    """Return the tag of a registered model that holds what the gate has said of a version."""
    return f"interval_widening_{version}"


def correction_of(tags: Mapping[str, str], version: int) -> Correction:
    """Return the correction with which a version answers: by days, or else by the gate.

    Parameters
    ----------
    tags
        Tags of the registered model. One that is damaged counts as none.
    """
    by_days = _read(tags, correction_tag(version))
    return by_days if by_days is not None else widening_of(tags, version)


def widening_of(tags: Mapping[str, str], version: int) -> Correction:
    """Return the correction of a version by the gate; none where it said nothing."""
    return _read(tags, widening_tag(version)) or NO_CORRECTION


def _read(tags: Mapping[str, str], tag: str) -> Correction | None:
    try:
        return record_of(Correction, json.loads(tags[tag])) if tag in tags else None
    except UNREADABLE as error:
        logger.warning("The tag %s cannot be read: %s", tag, error)
        return None


def keep_correction(tracker: Tracker, name: str, version: int, correction: Correction) -> None:
    """Store the correction with which a version answers from now on."""
    tracker.client.set_registered_model_tag(name, correction_tag(version), text_of(correction))


def keep_widening(tracker: Tracker, name: str, version: int, widening: Correction | None) -> None:
    """Store what the gate says of intervals; corrections by days go on from it."""
    tag, tags = widening_tag(version), tracker.client.get_registered_model(name).tags
    if widening is not None:
        tracker.client.set_registered_model_tag(name, tag, text_of(widening))
    elif tag in tags:
        tracker.client.delete_registered_model_tag(name, tag)

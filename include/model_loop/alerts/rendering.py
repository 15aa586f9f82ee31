"""Rendering of alerts: one, or several in one message, as HTML and as plain text."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from model_loop.alerts.types import Alert, AlertKind, Envelope, Message
from model_loop.masking import mask_logins

PREFIX = "[model loop]"

#: Number of alerts that a mail describes in full; the others get a line each.
IN_FULL = 10

#: The most serious first.
_COLOURS: dict[AlertKind, str] = {
    "failure": "#c0392b",
    "deadline": "#b9770e",
    "drift": "#b9770e",
    "data": "#b9770e",
    "gate_refused": "#b9770e",
    "approval": "#b9770e",
    "rollback": "#b9770e",
    "canary": "#b9770e",
    "promotion": "#1e8449",
    "success": "#1e8449",
    "test": "#2e5c8a",
}
_PLURALS: dict[AlertKind, str] = {
    "failure": "failures",
    "deadline": "late runs",
    "drift": "drifts",
    "data": "doubtful partitions",
    "gate_refused": "refusals of the gate",
    "approval": "approvals that wait",
    "rollback": "rollbacks",
    "canary": "canaries",
    "promotion": "promotions",
    "success": "successes",
    "test": "tests",
}


def render(envelopes: Sequence[Envelope]) -> Message:
    """Write a message of all alerts, at least one."""
    alerts = sorted(
        (envelope.alert for envelope in envelopes), key=lambda it: (_rank(it.kind), it.at)
    )
    kind = alerts[0].kind
    subject = subject_of(alerts)
    values = {
        "subject": subject,
        "alerts": alerts[:IN_FULL],
        "overview": alerts if len(alerts) > 1 else [],
        "left": len(alerts) - IN_FULL,
        "colours": _COLOURS,
        "colour": _COLOURS[kind],
        "late": _lateness(envelopes),
        "headline": _headline(alerts),
    }
    return Message(
        subject=mask_logins(subject),
        html=mask_logins(_environment().get_template("alert.html").render(values)),
        text=mask_logins(_environment().get_template("alert.txt").render(values)),
        kind=kind,
        identity=hashlib.sha256("\n".join(alert.key for alert in alerts).encode()).hexdigest()[:32],
    )


def subject_of(alerts: Sequence[Alert]) -> str:
    """One line: the alert's own, or how many there are of what."""
    if len(alerts) == 1:
        return f"{PREFIX} {alerts[0].subject}"
    return f"{PREFIX} {_headline(alerts)}"


def _headline(alerts: Sequence[Alert]) -> str:
    if len(alerts) == 1:
        return alerts[0].headline
    kinds = Counter(alert.kind for alert in alerts)
    parts = [
        f"{count} {_PLURALS[kind] if count > 1 else kind.replace('_', ' ')}"
        for kind, count in sorted(kinds.items(), key=lambda item: _rank(item[0]))
    ]
    where = Counter(alert.about.partition("/")[0] for alert in alerts)
    places = ", ".join(f"{name} ({count})" for name, count in where.most_common(3))
    return f"{', '.join(parts)}: {places}{', …' if len(where) > 3 else ''}"  # noqa: PLR2004 - as above


def _rank(kind: AlertKind) -> int:
    return list(_COLOURS).index(kind)


def _lateness(envelopes: Sequence[Envelope]) -> str:
    """Return the reason for a late delivery; empty if it is on time."""
    held = [envelope for envelope in envelopes if envelope.problem]
    if not held:
        return ""
    first = min(held, key=lambda one: one.received)
    return (
        f"{len(held)} of {len(envelopes)} could not be delivered before, since "
        f"{_moment(first.received)}: {first.problem}"
    )


def _moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["moment"] = _moment
    return environment

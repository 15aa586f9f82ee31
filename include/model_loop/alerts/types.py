"""Contents of an alert."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Literal, get_args

AlertKind = Literal[
    "failure",
    "success",
    "deadline",
    "data",
    "gate_refused",
    "approval",
    "drift",
    "promotion",
    "rollback",
    "canary",
    "test",
]
ALERT_KINDS: tuple[AlertKind, ...] = get_args(AlertKind)


def _now() -> dt.datetime:
    return dt.datetime.now(tz=dt.UTC)


@dataclass(frozen=True)
class Link:
    """A place to look.

    Parameters
    ----------
    title
        Name of the fact.
    url
        Its address.
    """

    title: str
    url: str


@dataclass(frozen=True)
class AlertTable:
    """Lines of text under headings.

    Parameters
    ----------
    headings
        One for each column.
    rows
        Each as long as the headings.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Alert:
    """Something that somebody should know.

    Parameters
    ----------
    kind
        Decides whether it is wanted, and its colour.
    key
        Names what happened, for good: of two alerts with one key, the first alone is sent.
    about
        Names what it happened to; the beginning of several keys.
    subject
        One line.
    headline
        Event, in a few words.
    summary
        Event, in a sentence or two.
    at
        Time of the event.
    facts
        Names and values.
    error
        The error's own words; empty if there was none.
    table
        Figures; None if there are none.
    log
        The last lines of the log that matter.
    log_note
        Reason why there are no lines of the log.
    advice
        Advice, the most promising first.
    links
        Pages to look at, the most useful first.
    notes
        Further facts for the reader, such as those that could not be looked up.
    """

    kind: AlertKind
    key: str
    about: str
    subject: str
    headline: str
    summary: str
    at: dt.datetime = field(default_factory=_now)
    facts: tuple[tuple[str, str], ...] = ()
    error: str = ""
    table: AlertTable | None = None
    log: tuple[str, ...] = ()
    log_note: str = ""
    advice: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Envelope:
    """An alert on its way.

    Parameters
    ----------
    alert
        The alert to deliver.
    received
        Since when it waits.
    delivered
        Names of the channels that have taken it.
    problem
        Reason why the last delivery failed.
    """

    alert: Alert
    received: dt.datetime = field(default_factory=_now)
    delivered: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Message:
    """One or several alerts, as they are sent.

    Parameters
    ----------
    subject
        One line.
    html, text
        The message, for programs that show HTML and for those that do not.
    kind
        The most serious kind in it.
    identity
        Key that is equal for equal alerts.
    """

    subject: str
    html: str
    text: str
    kind: AlertKind
    identity: str

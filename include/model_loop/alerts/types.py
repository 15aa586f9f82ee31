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
        What is there.
    url
        Its address.
    """

    title: str
    url: str


@dataclass(frozen=True)
class Table:
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
        Names what happened, for good: two alerts with one key are told once.
    about
        Names what it happened to; the beginning of several keys.
    subject
        One line.
    headline
        What happened, in a few words.
    summary
        What happened, in a sentence or two.
    at
        When.
    facts
        Names and values.
    error
        The error's own words; empty if there was none.
    table
        Figures; None if there are none.
    log
        The last lines of the log that matter.
    log_note
        Why there are no lines of the log.
    advice
        What to try, the most promising first.
    links
        Where to look, the most useful first.
    notes
        What else the reader has to know, such as what could not be found out.
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
    table: Table | None = None
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
        What is to be told.
    received
        Since when it waits.
    delivered
        Names of the channels that have taken it.
    problem
        Why it could not be delivered the last time.
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
        The same, for programs that show HTML and for those that do not.
    kind
        The most serious kind in it.
    identity
        The same for the same alerts.
    """

    subject: str
    html: str
    text: str
    kind: AlertKind
    identity: str

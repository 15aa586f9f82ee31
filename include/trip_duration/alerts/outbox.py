"""Where alerts wait until they are delivered, and what was delivered is noted down."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterable

from upath import UPath

from trip_duration.alerts.types import Alert, Envelope
from trip_duration.objects import write_bytes
from trip_duration.objects.tree import flatten, rebuild

#: After so many days an alert with the same key may be told again.
_REMEMBERED = dt.timedelta(days=30)


class Outbox:
    """The alerts of one storage root.

    Parameters
    ----------
    root
        The folder of the alerts: ``<storage root>/alerts``.
    """

    def __init__(self, root: UPath) -> None:
        self.waiting_folder = root / "outbox"
        self.told_folder = root / "told"

    def put(self, alert: Alert) -> bool:
        """Keep an alert until it is delivered.

        Returns
        -------
        bool
            Whether it is new: what waits already, or was told, is not kept again.
        """
        name = _name(alert)
        if (self.told_folder / name).exists() or (self.waiting_folder / name).exists():
            return False
        self._write(Envelope(alert))
        return True

    def waiting(self) -> list[Envelope]:
        """What waits, the longest first."""
        found = []
        for path in _files(self.waiting_folder):
            try:
                found.append(_envelope(path))
            except FileNotFoundError:
                # Another sender has delivered it since.
                continue
        return sorted(found, key=lambda envelope: (envelope.received, envelope.alert.key))

    def knows(self, about: str, since: dt.datetime) -> bool:
        """Whether an alert of something waits, or was told, since then."""
        beginning = _digest(about)
        paths = [
            path
            for folder in (self.waiting_folder, self.told_folder)
            for path in _files(folder)
            if path.name.startswith(beginning)
        ]
        return any(_modified(path) >= since for path in paths)

    def delivered(self, envelopes: Iterable[Envelope], channel: str, channels: set[str]) -> None:
        """Note down that a channel has taken alerts; what all have taken waits no longer."""
        for envelope in envelopes:
            done = dataclasses.replace(envelope, delivered=(*envelope.delivered, channel))
            if channels <= {*done.delivered}:
                path = self.told_folder / _name(envelope.alert)
                write_bytes(path, json.dumps({"key": envelope.alert.key}).encode())
                (self.waiting_folder / _name(envelope.alert)).unlink(missing_ok=True)
            else:
                self._write(done)

    def failed(self, envelopes: Iterable[Envelope], problem: str) -> None:
        """Note down why alerts wait."""
        for envelope in envelopes:
            if envelope.problem != problem:
                self._write(dataclasses.replace(envelope, problem=problem))

    def forget(self) -> None:
        """Remove the notes of what was told long ago."""
        horizon = dt.datetime.now(tz=dt.UTC) - _REMEMBERED
        for path in _files(self.told_folder):
            if _modified(path) < horizon:
                path.unlink(missing_ok=True)

    def _write(self, envelope: Envelope) -> None:
        data = json.dumps(flatten(envelope)[0]).encode()
        write_bytes(self.waiting_folder / _name(envelope.alert), data)


def _files(folder: UPath) -> list[UPath]:
    return list(folder.glob("*.json")) if folder.exists() else []


def _envelope(path: UPath) -> Envelope:
    envelope: Envelope = rebuild(json.loads(path.read_bytes()), {})
    return envelope


def _modified(path: UPath) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(path.stat().st_mtime, tz=dt.UTC)
    except FileNotFoundError:
        # It has just moved from what waits to what was told.
        return dt.datetime.now(tz=dt.UTC)


def _name(alert: Alert) -> str:
    return f"{_digest(alert.about)}-{_digest(alert.key)}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

"""Outbox: alerts that wait for delivery, and the record of those delivered."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from upath import UPath

from model_loop.alerts.types import ALERT_KINDS, Alert, Envelope
from model_loop.errors import StoredObjectError
from model_loop.masking import mask_logins
from model_loop.objects import write_bytes
from model_loop.objects.documents import UNREADABLE, move_aside, record_of
from model_loop.objects.files import files_in
from model_loop.objects.tree import to_tree

#: Fields that alerts of every version have.
_LASTING = ("key", "about", "subject", "headline")

#: Parts of the name of a file; no message holds them.
_NAMES = ("key", "about")

#: Folders of leases: of senders, of the first message in a window, and of earlier versions.
_LEASES = ("sending", "first", "turns")

#: Days after which an alert with the same key may be sent again.
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
        self._lease_folders = [root / name for name in _LEASES]

    def put(self, alert: Alert) -> bool:
        """Keep an alert until it is delivered.

        Returns
        -------
        bool
            Whether it is new: an alert that waits already, or was sent, is not kept again.
        """
        name = _name(alert)
        for folder in (self.told_folder, self.waiting_folder):
            if files_in(folder, name):
                return False
        self._write(Envelope(alert))
        return True

    def waiting(self) -> list[Envelope]:
        """Return the waiting alerts, the longest-waiting first."""
        found = []
        for path in files_in(self.waiting_folder, "*.json"):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                # Another sender has delivered it since.
                continue
            found.append(_envelope(path, content) or self._unreadable(path))
        return sorted(found, key=lambda envelope: (envelope.received, envelope.alert.key))

    def knows(self, about: str, since: dt.datetime) -> bool:
        """Return whether an alert about something has been waiting or was delivered since then."""
        pattern = f"{_digest(about)}-*.json"
        return any(
            _modified(path) >= since
            for folder in (self.waiting_folder, self.told_folder)
            for path in files_in(folder, pattern)
        )

    def delivered(self, envelope: Envelope, channel: str, channels: set[str]) -> None:
        """Note down that a channel has taken an alert; what all have taken waits no longer."""
        done = dataclasses.replace(envelope, delivered=(*envelope.delivered, channel))
        if channels <= {*done.delivered}:
            self.mark_delivered(envelope.alert)
            (self.waiting_folder / _name(envelope.alert)).unlink(missing_ok=True)
        else:
            self._write(done)

    def mark_delivered(self, alert: Alert) -> None:
        """Note that an alert need not be sent any more."""
        path = self.told_folder / _name(alert)
        write_bytes(path, json.dumps({"key": alert.key}).encode())

    def failed(self, envelopes: Iterable[Envelope], problem: str) -> None:
        """Note down why alerts wait."""
        for envelope in envelopes:
            if envelope.problem != problem:
                self._write(dataclasses.replace(envelope, problem=problem))

    def forget(self) -> None:
        """Remove old notes of sent alerts, and old leases."""
        horizon = dt.datetime.now(tz=dt.UTC) - _REMEMBERED
        for folder in (self.told_folder, *self._lease_folders):
            for path in files_in(folder):
                if _modified(path) < horizon:
                    path.unlink(missing_ok=True)

    def _unreadable(self, path: UPath) -> Envelope:
        """Move a file aside, and send an alert about that in its place."""
        why = "an alert that is damaged, or was written by another version"
        kept = move_aside(path, StoredObjectError(path.name, "holds " + why, "Look into it."))
        about = f"alerts/outbox/{path.name}"
        envelope = Envelope(
            Alert(
                "failure",
                key=f"unreadable/{about}",
                about=about,
                subject="an alert that waited cannot be read",
                headline="An alert cannot be read",
                summary=f"Something happened, and its alert cannot be read: {path} is {why}. It "
                f"was moved aside, to {kept}.",
                advice=("Open the file: the text in it may say what happened.",),
            )
        )
        self._write(envelope)
        return envelope

    def _write(self, envelope: Envelope) -> None:
        data = json.dumps(_masked(to_tree(envelope)[0])).encode()
        write_bytes(self.waiting_folder / _name(envelope.alert), data)


def _masked(tree: Any) -> Any:  # noqa: ANN401 - JSON
    """Mask the logins in a tree of texts, but not in what names a file."""
    if isinstance(tree, str):
        return mask_logins(tree)
    if isinstance(tree, list):
        return [_masked(one) for one in tree]
    if isinstance(tree, dict):
        return {name: one if name in _NAMES else _masked(one) for name, one in tree.items()}
    return tree


def _envelope(path: UPath, content: bytes) -> Envelope | None:
    """Return the envelope of a file; None if nothing of it can be sent."""
    try:
        stored = json.loads(content)
        try:
            return _checked(record_of(Envelope, stored), path)
        except UNREADABLE as error:
            # Alerts that another version has kept are sent as far as they are understood.
            told = _fields(_fields(stored)["alert"])
            lasting: dict[str, Any] = {name: str(told[name]) for name in _LASTING}
            rescued = Alert("failure", **lasting, summary=str(error))
        return _checked(Envelope(rescued, _modified(path)), path)
    except UNREADABLE:
        return None


def _fields(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a stored record, in whichever way they are written."""
    fields: dict[str, Any] = stored.get("fields", stored)
    return fields


def _checked(envelope: Envelope, path: UPath) -> Envelope:
    """An envelope that can be rendered, and whose file is found again once it is delivered."""
    alert, moments = envelope.alert, (envelope.received, envelope.alert.at)
    if _name(alert) != path.name or alert.kind not in ALERT_KINDS:
        raise ValueError(f"an alert of kind {alert.kind!r}, or of another file")
    if any(moment.tzinfo is None for moment in moments):
        raise ValueError("a time without a time zone")
    return envelope


def _modified(path: UPath) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(path.stat().st_mtime, tz=dt.UTC)
    except FileNotFoundError:
        # It has just moved from the waiting alerts to the sent ones.
        return dt.datetime.now(tz=dt.UTC)


def _name(alert: Alert) -> str:
    return f"{_digest(alert.about)}-{_digest(alert.key)}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

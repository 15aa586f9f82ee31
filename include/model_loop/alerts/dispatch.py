"""Sending alerts through every channel there is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from upath import UPath

from model_loop.alerts.lease import SendLease
from model_loop.alerts.outbox import Outbox
from model_loop.alerts.rendering import render
from model_loop.alerts.types import Alert, Envelope, Message
from model_loop.errors import DeliveryError

logger = logging.getLogger(__name__)

#: A task waits so long for another sender, and leaves its alert to the scheduled delivery then.
PATIENCE_SECONDS = 11.0
#: A sender that has not ended by then is taken for dead, at the latest after twice as long.
LEASE_SECONDS = 120.0


class Channel(Protocol):
    """A way to people."""

    @property
    def name(self) -> str:
        """Name of the channel."""

    def takes(self, alert: Alert) -> bool:
        """Return whether an alert is for the people whom the channel reaches."""

    def send(self, message: Message) -> None:
        """Deliver a message, or raise a DeliveryError."""


@dataclass(frozen=True)
class Delivery:
    """Result of an attempt to deliver.

    Parameters
    ----------
    sent
        Number of alerts that were delivered to at least one more channel.
    waiting
        Number of alerts that still wait.
    problems
        Reasons, one for each channel that failed.
    """

    sent: int
    waiting: int
    problems: tuple[str, ...] = ()


class AlertDispatcher:
    """Keeps alerts and sends them.

    The first message goes out at once. Alerts that arise within the window after it wait for the
    scheduled delivery, which sends them in one message.

    Parameters
    ----------
    storage_root
        Alerts wait under ``<storage_root>/alerts``.
    channels
        Returns the channels there are, when they are needed.
    window_seconds
        The longest time for which further messages wait for the scheduled delivery; 0 sends each
        at once.
    """

    def __init__(
        self,
        storage_root: str,
        channels: Callable[[], Sequence[Channel]],
        *,
        window_seconds: float,
    ) -> None:
        root = UPath(storage_root) / "alerts"
        self.outbox = Outbox(root)
        self._channels = channels
        self._sending = SendLease(root / "sending", LEASE_SECONDS)
        # A lease lapses after two slots at the latest.
        self._first = SendLease(root / "first", window_seconds / 2) if window_seconds else None

    def submit(self, *alerts: Alert) -> None:
        """Keep alerts and deliver what waits; send directly what cannot be kept.

        Raises
        ------
        DeliveryError
            If an alert cannot be kept, and a channel does not accept it.
        """
        kept = [self._keep(alert) for alert in alerts]
        if all(kept):
            self.deliver()

    def _keep(self, alert: Alert) -> bool:
        """Keep an alert; return False if it was sent because it cannot be kept."""
        try:
            self.outbox.put(alert)
        # The storage may be the cause of the alert, with errors of its own.
        except Exception:
            logger.exception("The outbox takes nothing; sending directly")
            message = render([Envelope(alert)])
            for channel in self._channels():
                if channel.takes(alert):
                    channel.send(message)
            return False
        return True

    def deliver(
        self, *, patience_seconds: float = PATIENCE_SECONDS, scheduled: bool = False
    ) -> Delivery:
        """Send what waits, if no message went out within the window.

        Parameters
        ----------
        patience_seconds
            Longest time to wait for another sender to end.
        scheduled
            Whether to send within the window too.
        """
        waiting = len(self.outbox.waiting())
        limit = None if scheduled else self._first
        first = limit.acquire() if limit and waiting else None
        if not waiting or (limit and first is None):
            return Delivery(0, waiting)
        sent, problems = 0, tuple[str, ...]()
        lease = self._sending.acquire(patience_seconds)
        try:
            if lease is not None:
                sent, problems = self._send()
        finally:
            for acquired in (lease, None if sent else first):
                if acquired is not None:
                    acquired.unlink(missing_ok=True)
        return Delivery(sent, len(self.outbox.waiting()), problems)

    def _send(self) -> tuple[int, tuple[str, ...]]:
        """Send what waits to each channel that has not got it: how many, and what went wrong."""
        try:
            channels = self._channels()
        except DeliveryError as error:
            self.outbox.failed(self.outbox.waiting(), str(error))
            return 0, (str(error),)
        told, problems = set[str](), []
        for channel in channels:
            due = [
                one
                for one in self.outbox.waiting()
                if channel.name not in one.delivered and channel.takes(one.alert)
            ]
            if not due:
                continue
            try:
                channel.send(render(due))
            except DeliveryError as error:
                logger.warning("%d alerts wait: %s", len(due), error)
                self.outbox.failed(due, str(error))
                problems.append(str(error))
            else:
                for one in due:
                    names = {each.name for each in channels if each.takes(one.alert)}
                    self.outbox.delivered(one, channel.name, names)
                told |= {envelope.alert.key for envelope in due}
        return len(told), tuple(problems)

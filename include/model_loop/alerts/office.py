"""Sending what waits, through every channel there is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from upath import UPath

from model_loop.alerts.outbox import Outbox
from model_loop.alerts.rendering import render
from model_loop.alerts.turns import Turns
from model_loop.alerts.types import Alert, Envelope, Message
from model_loop.errors import DeliveryError

logger = logging.getLogger(__name__)

#: How long who hands in an alert helps to deliver it; what has to wait longer is left to others.
PATIENCE_SECONDS = 11.0


class Channel(Protocol):
    """A way to people."""

    @property
    def name(self) -> str:
        """Name of the channel."""

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


class PostOffice:
    """Takes alerts in and delivers them.

    Parameters
    ----------
    storage_root
        Alerts wait under ``<storage_root>/alerts``.
    channels
        Gives the channels there are, when they are needed.
    window_seconds
        The longest pause between two messages.
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
        self.turns = Turns(root / "turns", window_seconds)
        self._channels = channels

    def send_directly(self, alert: Alert) -> None:
        """Send one alert without keeping it, where nothing can be kept.

        Raises
        ------
        DeliveryError
            If a channel does not take it.
        """
        message = render([Envelope(alert)])
        for channel in self._channels():
            channel.send(message)

    def deliver(
        self, *, patience_seconds: float = PATIENCE_SECONDS, at_once: bool = False
    ) -> Delivery:
        """Deliver what waits.

        Parameters
        ----------
        patience_seconds
            Longest time to wait for a turn.
        at_once
            Whether to make no pause after the message before.
        """
        sent, problems = 0, tuple[str, ...]()
        while self.outbox.waiting():
            turn = self.turns.take(patience_seconds=patience_seconds, at_once=at_once)
            if turn is None:
                break
            delivered = 0
            try:
                delivered, problems = self._send()
            finally:
                self.turns.end(turn, delivered)
            sent += delivered
            if problems:
                break
        return Delivery(sent, len(self.outbox.waiting()), problems)

    def _send(self) -> tuple[int, tuple[str, ...]]:
        """Send what waits to each channel that has not got it: how many, and what went wrong."""
        try:
            channels = self._channels()
        except DeliveryError as error:
            self.outbox.failed(self.outbox.waiting(), str(error))
            return 0, (str(error),)
        names, told, problems = {channel.name for channel in channels}, set[str](), []
        for channel in channels:
            due = [one for one in self.outbox.waiting() if channel.name not in one.delivered]
            if not due:
                continue
            try:
                channel.send(render(due))
            except DeliveryError as error:
                logger.warning("%d alerts wait: %s", len(due), error)
                self.outbox.failed(due, str(error))
                problems.append(str(error))
            else:
                self.outbox.delivered(due, channel.name, names)
                told |= {envelope.alert.key for envelope in due}
        return len(told), tuple(problems)

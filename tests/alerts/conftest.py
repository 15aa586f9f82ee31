"""Alerts for tests, and a channel that keeps what it gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model_loop.alerts.dispatch import AlertDispatcher
from model_loop.alerts.types import Alert, Message
from model_loop.errors import DeliveryError


def failure(number: int = 0, **values: object) -> Alert:
    """A failure; those with the same number are the same."""
    about = f"sklearn_training/run/model.tune/{number}"
    given: dict[str, object] = {
        "kind": "failure",
        "key": f"failure/{about}/1",
        "about": about,
        "subject": f"sklearn_training failed in model.tune (family {number})",
        "headline": "sklearn_training failed in model.tune",
        "summary": "The task failed.",
    }
    return Alert(**{**given, **values})  # type: ignore[arg-type]


@dataclass
class Recorder:
    """A channel that keeps what it gets, and takes nothing while it is down."""

    name: str = "recorder"
    down: bool = False
    messages: list[Message] = field(default_factory=list)
    #: Beginning of what the alerts are about that it takes.
    about: str = ""

    def takes(self, alert: Alert) -> bool:
        """Take what is about the right thing."""
        return alert.about.startswith(self.about)

    def send(self, message: Message) -> None:
        """Keep a message."""
        if self.down:
            raise DeliveryError("The mail server", "does not answer", "Start it.")
        self.messages.append(message)


@pytest.fixture
def recorder() -> Recorder:
    """A channel."""
    return Recorder()


@pytest.fixture
def dispatcher(tmp_path: Path, recorder: Recorder) -> AlertDispatcher:
    """A dispatcher without a window."""
    return AlertDispatcher(str(tmp_path), lambda: [recorder], window_seconds=0)

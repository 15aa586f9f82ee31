"""Clients that ask and ask, and remember what became of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests

_PAUSE_SECONDS = 0.005


@dataclass(frozen=True)
class Asked:
    """One request.

    Parameters
    ----------
    begun
        When it was sent, by the clock of `time.monotonic`.
    answer
        What came back; what went wrong, in one word, if nothing did.
    prediction_id
        Of the prediction, if there is one.
    """

    begun: float
    answer: int | str
    prediction_id: str | None = None


@contextlib.contextmanager
def load(
    url: str, headers: Mapping[str, str], trip: Mapping[str, Any], clients: int
) -> Iterator[list[Asked]]:
    """What some clients, each with one request at a time, have asked so far."""
    found: list[Asked] = []
    stopped = threading.Event()

    def ask() -> None:
        with requests.Session() as session:
            session.headers.update(headers)
            while not stopped.wait(_PAUSE_SECONDS):
                begun = time.monotonic()
                try:
                    answer = session.post(f"{url}/predict", json=trip, timeout=30)
                except requests.RequestException as error:
                    found.append(Asked(begun, type(error).__name__))
                    continue
                identity = answer.json()[0]["prediction_id"] if answer.ok else None
                found.append(Asked(begun, answer.status_code, identity))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stopped.set()
        for thread in threads:
            thread.join()

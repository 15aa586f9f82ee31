"""Parts of the health, looked up beside the requests and kept for a few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from model_loop.monitoring.health.types import (
    Answers,
    Champion,
    DagHealth,
    Product,
    ServiceHealth,
    Traffic,
)

#: What was looked up longer ago than this is not told any more.
_STALE_SECONDS = 60.0
#: What could not be looked up is tried again after this.
_RETRY_SECONDS = 5.0

_Value = TypeVar("_Value")


class ElsewhereError(Exception):
    """A look that failed in another process; it says what the error was there."""


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Told(Generic[_Value]):
    """What a part is: its value, or why there is none."""

    value: _Value | None = None
    problem: str = ""
    at: float = -_STALE_SECONDS


class Prepared(Generic[_Value]):
    """A part that is looked up when somebody asks and the last look is old.

    The look runs on a thread of its own, one at a time, so that a server behind it that hangs holds
    up nobody for longer than they are patient.

    Parameters
    ----------
    look
        Looks it up.
    keep_seconds
        For how long the answer is good.
    stale_seconds
        For how long it is told while a newer one is looked up.
    """

    def __init__(
        self,
        look: Callable[[], _Value],
        keep_seconds: float = 5.0,
        stale_seconds: float = _STALE_SECONDS,
    ) -> None:
        self._look = look
        self._keep_seconds = keep_seconds
        self._stale_seconds = stale_seconds
        self._told: Told[_Value] = Told()
        self._lock = threading.Lock()
        self._looking: threading.Event | None = None

    def begin(self) -> None:
        """Look it up, unless that was done a moment ago or is being done."""
        with self._lock:
            told = self._told
            keep = min(self._keep_seconds, _RETRY_SECONDS) if told.problem else self._keep_seconds
            fresh = time.monotonic() - told.at <= keep and told != Told()
            if fresh or self._looking is not None:
                return
            self._looking = threading.Event()
            threading.Thread(target=self._run, name="health", daemon=True).start()

    def get(self, patience_seconds: float) -> Told[_Value]:
        """What was found; what was found before, while that is not too old, if it takes longer."""
        with self._lock:
            looking = self._looking
        if looking is None or looking.wait(patience_seconds):
            return self._told
        if self._told.value is not None and time.monotonic() - self._told.at <= self._stale_seconds:
            return self._told
        return Told(problem="does not answer in time")

    @property
    def known(self) -> bool:
        """Whether there is an answer, however old."""
        return self._told.value is not None

    @property
    def looking(self) -> bool:
        """Whether it is being looked up."""
        return self._looking is not None

    def _run(self) -> None:
        try:
            told = Told(self._look(), at=time.monotonic())
        except Exception as error:
            # Whatever is wrong with one part, the others are told.
            # Where it failed is told where it did.
            ours = not isinstance(error, ElsewhereError)
            logger.error("A part cannot be looked up: %s", error, exc_info=ours)  # noqa: TRY400 - not always with a traceback
            told = Told(problem=_short(error), at=time.monotonic())
        with self._lock:
            self._told = told
            looking, self._looking = self._looking, None
        if looking is not None:
            looking.set()


@dataclass(frozen=True)
class HealthParts:
    """Where the parts of the health come from; see `ServiceHealth`.

    Parameters
    ----------
    service
        Whose health.
    traffic, answers, champion, products, dags
        Each part.
    patience_seconds
        How long each may take before it counts as not answering.
    """

    service: str
    traffic: Prepared[Traffic]
    answers: Prepared[Answers]
    champion: Prepared[Champion]
    products: Prepared[tuple[Product, ...]]
    dags: Prepared[tuple[DagHealth, ...]]
    patience_seconds: float = 2.0

    def look(self) -> ServiceHealth:
        """The health now, or as it was a few seconds ago."""
        parts: Mapping[str, Prepared[Any]] = {name: getattr(self, name) for name in PART_NAMES}
        for part in parts.values():
            part.begin()
        deadline = time.monotonic() + self.patience_seconds
        told = {
            name: part.get(max(deadline - time.monotonic(), 0.0)) for name, part in parts.items()
        }
        return ServiceHealth(
            service=self.service,
            at=time.time(),
            problems={name: one.problem for name, one in told.items() if one.problem},
            **{name: one.value for name, one in told.items()},
        )


#: The parts of `ServiceHealth`.
PART_NAMES = ("traffic", "answers", "champion", "products", "dags")


def _short(error: Exception) -> str:
    what = "" if isinstance(error, ElsewhereError) else f"{type(error).__name__}: "
    return f"{what}{str(error).partition(chr(10))[0][:200]}"

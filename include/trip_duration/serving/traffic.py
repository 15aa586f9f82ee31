"""Which version answers a request."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from trip_duration.serving.live import Live
from trip_duration.serving.predictor import Predictor
from trip_duration.serving.requests import RequestRefusedError

CHAMPION, CHALLENGER = "champion", "challenger"

_UNAVAILABLE = 503
_UNPROCESSABLE = 422
_WHOLE = 2**64


def choose(live: Live, rows: Sequence[Sequence[float]], key: str | None) -> tuple[Predictor, str]:
    """The version that answers, and as what.

    The challenger answers its share of the requests: always the same keys, and of requests without
    a key a random share. What it cannot answer for want of a value, the champion answers.

    Raises
    ------
    RequestRefusedError
        If nothing answers (503), or the champion needs a value that is missing (422).
    """
    if not live.standing.enabled:
        raise RequestRefusedError(
            _UNAVAILABLE, "The model", "is disabled", "Enable it with the DAG promotion."
        )
    champion, challenger = live.champion, live.challenger
    if (
        challenger is not None
        and place_of(key, challenger.version) < live.standing.share
        and not challenger.lacking(rows)
    ):
        return challenger, CHALLENGER
    if champion is None:
        raise RequestRefusedError(
            _UNAVAILABLE, "The registry", "has no champion yet", "Train and promote a model."
        )
    if lacking := champion.lacking(rows):
        raise RequestRefusedError(
            _UNPROCESSABLE, "A trip", f"lacks {lacking}", f"Version {champion.version} needs it."
        )
    return champion, CHAMPION


def place_of(key: str | None, challenger: int) -> float:
    """Where between 0 and 1 a key stands; each challenger shuffles the keys anew."""
    if key is None:
        return random.random()  # noqa: S311 - no secret
    hashed = hashlib.blake2b(f"{challenger}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") / _WHOLE

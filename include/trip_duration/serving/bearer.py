"""Who asks, by bearer token."""

from __future__ import annotations

import logging
import time

from starlette.types import Scope

from trip_duration.errors import InvalidInputError
from trip_duration.serving.http import find_header
from trip_duration.serving.requests import RequestRefusedError
from trip_duration.serving.tokens import KnownTokens

_SCHEME = b"bearer "

logger = logging.getLogger(__name__)


class BearerTokens:
    """Names callers by their tokens, and holds them to their rates.

    Parameters
    ----------
    known
        The tokens.
    refresh_seconds
        Time between two looks at their file.
    """

    def __init__(self, known: KnownTokens, refresh_seconds: float) -> None:
        self._known = known
        self._refresh_seconds = refresh_seconds
        self._look_at = 0.0

    async def __call__(self, scope: Scope) -> str:
        """The name of the token of a request.

        Raises
        ------
        RequestRefusedError
            If there is no token, or one that is unknown (401), or it comes too often (429).
        """
        self._refresh()
        given = find_header(scope, b"authorization")
        found = None
        if given[: len(_SCHEME)].lower() == _SCHEME:
            found = self._known.find(given[len(_SCHEME) :].strip())
        if found is None:
            raise RequestRefusedError(
                401,
                "The request",
                "bears no known token",
                "Send `Authorization: Bearer …`; make a token with `trip-duration tokens add`.",
            )
        name, bucket = found
        if wait := bucket.take():
            raise RequestRefusedError(
                429,
                f"Token {name!r}",
                f"may ask {bucket.rate:g} times per second",
                f"Wait {wait:.3f} seconds, or send several trips in one request.",
            )
        return name

    def _refresh(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + self._refresh_seconds
        try:
            self._known.refresh()
        except (InvalidInputError, OSError):
            # A broken file revokes nobody and lets nobody in.
            logger.exception("The tokens stay as they were")

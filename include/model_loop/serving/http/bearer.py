"""Names of callers, by bearer token."""

from __future__ import annotations

import datetime as dt
import logging
import time

from starlette.types import Scope

from model_loop.errors import InvalidInputError
from model_loop.serving.http.asgi import find_header
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.http.tokens import Caller, TokenIndex

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

    def __init__(self, known: TokenIndex, refresh_seconds: float) -> None:
        self._known = known
        self._refresh_seconds = refresh_seconds
        self._look_at = 0.0

    async def __call__(self, scope: Scope) -> Caller:
        """Name the token of a request.

        Raises
        ------
        RequestRefusedError
            If there is no token, or one that is unknown or has expired (401), or one for other
            datasets (403), or it comes too often (429).
        """
        if time.monotonic() >= self._look_at:
            self._refresh()
        given = find_header(scope, b"authorization")
        found = None
        if given[: len(_SCHEME)].lower() == _SCHEME:
            found = self._known.find(given[len(_SCHEME) :].strip())
        if found is None:
            raise RequestRefusedError(
                401,
                "The request",
                "has no known token",
                "Send one as `Bearer` in the header `Authorization`; make it with `model-loop "
                "tokens add`.",
            )
        if time.time() >= found.expires:
            ended = dt.datetime.fromtimestamp(found.expires, dt.UTC)
            raise RequestRefusedError(
                401,
                f"Token {found.caller.name!r}",
                f"has expired ({ended:%Y-%m-%d %H:%M} UTC)",
                "Revoke it and make another one with `model-loop tokens add`.",
            )
        if not found.here:
            raise RequestRefusedError(
                403,
                f"Token {found.caller.name!r}",
                "is for other datasets than those that are served here",
                "Use one that was made with `model-loop tokens add NAME --datasets …`.",
            )
        if wait := found.bucket.take():
            raise RequestRefusedError(
                429,
                f"Token {found.caller.name!r}",
                f"may ask {found.bucket.rate:g} times per second",
                f"Wait {wait:.3f} seconds, or send several rows in one request.",
            )
        return found.caller

    def _refresh(self) -> None:
        self._look_at = time.monotonic() + self._refresh_seconds
        try:
            self._known.refresh()
        except (InvalidInputError, OSError):
            # A broken file revokes no token and admits none.
            logger.exception("The tokens stay as they were")

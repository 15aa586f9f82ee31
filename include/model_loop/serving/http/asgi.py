"""The thin layer between ASGI and our handlers: bodies, replies, errors, and the guard.

Handlers are plain ASGI: a framework's way from the socket to a function takes longer than a
prediction (see docs/measured.md).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Receive, Scope, Send

from model_loop.errors import ErrorFields, ModelLoopError
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.http.tokens import Caller
from model_loop.serving.metrics import ServerMetrics

#: Routes that need no token.
OPEN_PATHS = frozenset({"/healthz", "/readyz"})

JSON = b"application/json"
_CALLER = "model_loop.caller"
_FORBIDDEN = 403
#: Name in the metrics for the route of refused callers, whichever they requested.
_REFUSED = "refused"

#: Name of the function by which a request gets more seconds to arrive in; see `bounds`.
MORE_TIME = "model_loop.more_time"
#: Right of operators.
_OPERATOR = "admin"
#: Bytes of a file that are sent at once.
_PIECE = 2**18

Headers = tuple[tuple[bytes, bytes], ...]


Authenticate = Callable[[Scope], Awaitable[Caller]]
"""Names the caller of a request; raises `RequestRefusedError` (401, 403, 429)."""

logger = logging.getLogger(__name__)


class Refusal(msgspec.Struct):
    """The answer to a request that is refused."""

    error: ErrorFields


class Reply(NamedTuple):
    """Response to a request; an open file is sent in place of the body, and closed."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = ()
    file: IO[bytes] | None = None


@dataclass(slots=True)
class Call:
    """A request.

    Parameters
    ----------
    scope, receive
        ASGI's.
    most
        Bytes that a body may have.
    started
        Time of arrival, by `time.perf_counter`.
    """

    scope: Scope
    receive: Receive
    most: int
    started: float = field(default_factory=time.perf_counter)

    @property
    def caller(self) -> str:
        """Name of the token or user."""
        known: Caller | None = self.scope.get(_CALLER)
        return known.name if known else ""

    @property
    def datasets(self) -> frozenset[str] | None:
        """Names of the datasets and variants that the caller may ask; None for all."""
        known: Caller | None = self.scope.get(_CALLER)
        return known.datasets if known else None

    @property
    def is_operator(self) -> bool:
        """True if the token is good for everything."""
        known: Caller | None = self.scope.get(_CALLER)
        return bool(known and known.scopes and _OPERATOR in known.scopes)

    def header(self, name: bytes) -> str:
        """A header, empty if there is none; *name* in lower case."""
        return find_header(self.scope, name).decode("latin-1")

    async def body(self) -> bytes:
        """The whole body.

        Raises
        ------
        RequestRefusedError
            If it is too large (413), before all of it has come; if it ends too early (400).
        """
        announced = find_header(self.scope, b"content-length")
        if announced.isdigit() and int(announced) > self.most:
            raise self._too_large()
        message = await self.receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return self._checked(body)
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            message = await self.receive()
            if message["type"] == "http.disconnect":
                # Half a CSV file is one, too.
                raise RequestRefusedError(
                    400, "The body", "ended before all of it had come", "Send it again."
                )
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.most:
                raise self._too_large()
        return b"".join(parts)

    def _checked(self, body: bytes) -> bytes:
        if len(body) > self.most:
            raise self._too_large()
        return body

    def _too_large(self) -> RequestRefusedError:
        return RequestRefusedError(
            413,
            "The body",
            f"has more than {self.most:,} bytes",
            "Send parts, or score the file with the DAG batch_scoring.",
        )


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Endpoint:
    """A handler as an ASGI application that never shows a stack trace.

    Parameters
    ----------
    route
        Name of the route in the metrics.
    handler
        Handler that answers.
    metrics
        Counters of requests.
    most
        Bytes that a body may have.
    needs
        Scope without which a token is refused.
    about
        Names of the dataset and of the variant that it asks; a token may be for others.
    """

    route: str
    handler: Handler
    metrics: ServerMetrics
    most: int
    needs: str
    about: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call(scope, receive, self.most)
        try:
            self._check_scope(scope.get(_CALLER))
            reply = await self.handler(call)
        except ModelLoopError as error:
            reply = refusal(error)
        except SQLAlchemyError:
            logger.exception("The request log does not answer")
            reply = refusal(
                RequestRefusedError(503, "The request log", "does not answer", "Try again later.")
            )
        except Exception:
            logger.exception("%s failed", self.route)
            reply = refusal(
                RequestRefusedError(
                    500, "The server", "failed at this request", "Its log says why."
                )
            )
        await send_reply(send, reply)
        self.metrics.answered(self.route, reply.status, time.perf_counter() - call.started)

    def _check_scope(self, caller: Caller | None) -> None:
        if caller is None:
            return
        if self.about and caller.datasets is not None and self.about.isdisjoint(caller.datasets):
            raise RequestRefusedError(
                _FORBIDDEN,
                f"Token {caller.name!r}",
                f"is for other datasets (it has {', '.join(sorted(caller.datasets))})",
                "Use one that was made with `model-loop tokens add NAME --datasets …`.",
            )
        if caller.scopes is None or self.needs in caller.scopes:
            return
        raise RequestRefusedError(
            _FORBIDDEN,
            f"Token {caller.name!r}",
            f"lacks the scope {self.needs!r} (it has {', '.join(sorted(caller.scopes))})",
            f"Use one that was made with `model-loop tokens add NAME --scopes {self.needs}`.",
        )


@dataclass(frozen=True)
class Guard:
    """Lets only known callers pass, except to the health checks.

    Parameters
    ----------
    app
        Guarded application, with any routes.
    authenticate
        Check of the caller.
    metrics
        Counters of refused requests.
    endpoints
        Routes of the application by method and path, for a way that leads past all others.
    """

    app: ASGIApp
    authenticate: Authenticate
    metrics: ServerMetrics
    endpoints: Mapping[tuple[str, str], ASGIApp] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = route_path(scope)
        if path not in OPEN_PATHS:
            started = time.perf_counter()
            try:
                scope[_CALLER] = await self.authenticate(scope)
            except RequestRefusedError as error:
                await send_reply(send, refusal(error))
                seconds = time.perf_counter() - started
                self.metrics.answered(_REFUSED, error.status, seconds)
                return
        await self.endpoints.get((scope["method"], path), self.app)(scope, receive, send)


def route_path(scope: Scope) -> str:
    """Return the path of a request below the path that the application is mounted at."""
    path: str = scope["path"]
    below = path.removeprefix(scope.get("root_path", ""))
    return below if below[:1] in {"", "/"} else path


def find_header(scope: Scope, name: bytes) -> bytes:
    """A header of a request, empty if there is none; *name* in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


def json_reply(value: Any, status: int = 200, headers: Headers = ()) -> Reply:  # noqa: ANN401 - any JSON
    """A reply in JSON."""
    return Reply(msgspec.json.encode(value), status, headers=headers)


def refusal(error: ModelLoopError) -> Reply:
    """Convert an error to the response of a refused request."""
    status = error.status if isinstance(error, RequestRefusedError) else 422
    return json_reply(Refusal(error.fields()), status, _HEADERS.get(status, ()))


_HEADERS: dict[int, Headers] = {
    401: ((b"www-authenticate", b"Bearer"),),
    429: ((b"retry-after", b"1"),),
    503: ((b"retry-after", b"5"),),
}


async def send_reply(send: Send, reply: Reply) -> None:
    """Send a reply."""
    size = len(reply.body) if reply.file is None else os.fstat(reply.file.fileno()).st_size
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", str(size).encode()),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.file is not None:
        with reply.file as file:
            while data := await asyncio.to_thread(file.read, _PIECE):
                await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": reply.body})

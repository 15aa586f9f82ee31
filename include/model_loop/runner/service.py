"""The service `model-loop runner`: a few routes over HTTP, for callers with the token."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.runner.errors import CodeFailedError, RunnerUnavailableError
from model_loop.runner.package import MOST_BYTES, CodePackage, version_digest
from model_loop.runner.separation import choose_separation
from model_loop.runner.supervisor import Supervisor, UnknownCodeError
from model_loop.settings import Settings

logger = logging.getLogger(__name__)

#: Bytes of rows, or of a package's description.
MOST_ROWS_BYTES = 2**26
#: Header with the seconds that an answer may take.
SECONDS = "x-seconds"
#: Seconds that requests have to end after the signal to stop.
_SHUTDOWN_SECONDS = 3
_JSON = "application/json"
_STATUSES: tuple[tuple[type[ModelLoopError], int], ...] = (
    (UnknownCodeError, 404),
    (CodeFailedError, 502),
    (RunnerUnavailableError, 503),
    (InvalidInputError, 422),
)

Handler = Callable[[Request], Awaitable[Response]]


class CodeDeployment(msgspec.Struct, forbid_unknown_fields=True):
    """A package and its values."""

    package: CodePackage
    values: dict[str, str]


class RunnerFailure(msgspec.Struct):
    """An error, and the end of what the code has printed."""

    given: str
    rule: str
    remedy: str
    output: str = ""


class RunnerRoutes:
    """The routes."""

    def __init__(self, supervisor: Supervisor, settings: Settings) -> None:
        self._supervisor, self._settings = supervisor, settings

    def routes(self) -> list[Route]:
        """Return all of them."""
        path = "/versions/{digest}"
        return [
            Route("/healthz", _healthy),
            Route("/versions", self._guarded(self.states), methods=["GET"]),
            Route(path, self._guarded(self.deploy), methods=["PUT"]),
            Route(path, self._guarded(self.stop), methods=["DELETE"]),
            Route(f"{path}/files/{{sha256}}", self._guarded(self.add_file), methods=["PUT"]),
            Route(f"{path}/predict", self._guarded(self.predict), methods=["POST"]),
            Route(f"{path}/score", self._guarded(self.score), methods=["POST"]),
        ]

    async def states(self, _: Request) -> Response:
        """List versions with their states."""
        states = await asyncio.to_thread(self._supervisor.states)
        return _json(states)

    async def deploy(self, request: Request) -> Response:
        """Take a package; answer with the digests of files that are missing."""
        body = await _body(request, MOST_ROWS_BYTES)
        try:
            given = msgspec.json.decode(body, type=CodeDeployment)
        except msgspec.ValidationError as error:
            # The rules of a package come through it.
            if isinstance(error.__cause__, InvalidInputError):
                raise error.__cause__ from error
            raise InvalidInputError(
                "The deployment", f"is malformed ({error})", "Use the client of this version."
            ) from error
        digest = request.path_params["digest"]
        if version_digest(_token(request), given.package, given.values) != digest:
            raise InvalidInputError(
                "The package with its values",
                "has another digest",
                "Use the client of this version.",
            )
        return _json(await self._supervisor.deploy(digest, given.package, given.values))

    async def add_file(self, request: Request) -> Response:
        """Take a file of a package; the version starts with the last one."""
        version = self._supervisor.find(request.path_params["digest"])
        content = await _body(request, MOST_BYTES)
        await asyncio.to_thread(version.add_file, request.path_params["sha256"], content)
        if not version.missing():
            self._supervisor.warm(version)
        return _json(None)

    async def stop(self, request: Request) -> Response:
        """Stop a version."""
        await self._supervisor.stop(request.path_params["digest"])
        return _json(None)

    async def predict(self, request: Request) -> Response:
        """Answer rows."""
        version = self._supervisor.find(request.path_params["digest"])
        body = await _body(request, MOST_ROWS_BYTES)
        seconds = _seconds(request, self._settings.runner_seconds)
        return Response(await version.ask(body, seconds), media_type=_JSON)

    async def score(self, request: Request) -> Response:
        """Answer a file by a file."""
        version = self._supervisor.find(request.path_params["digest"])
        seconds = _seconds(request, self._settings.runner_file_seconds)
        pieces = version.score(request.stream(), seconds)
        # The first piece says whether it is an answer or an error.
        first = await anext(pieces, b"")

        async def rest() -> AsyncIterator[bytes]:
            async with aclosing(pieces):
                yield first
                async for piece in pieces:
                    yield piece

        return StreamingResponse(rest(), media_type="application/octet-stream")

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            digest = hashlib.sha256(_token(request).encode()).hexdigest()
            expected = self._settings.runner_token_sha256
            if not hmac.compare_digest(digest, expected):
                remedy = (
                    "Set MODEL_LOOP_RUNNER_TOKEN to the token whose digest the runner has in "
                    "MODEL_LOOP_RUNNER_TOKEN_SHA256."
                )
                return _json(RunnerFailure("The request", "has no valid token", remedy), 401)
            try:
                return await handler(request)
            except ModelLoopError as error:
                status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
                output = error.output if isinstance(error, CodeFailedError) else ""
                return _json(RunnerFailure(error.given, error.rule, error.remedy, output), status)
            except Exception as error:
                logger.exception("%s %s has failed", request.method, request.url.path)
                rule = f"has failed unexpectedly: {type(error).__name__}"
                return _json(RunnerFailure("The runner", rule, "See its log."), 500)

        return guarded


def make_runner(settings: Settings) -> Starlette:
    """Make the application; its versions' files are in a folder that goes with it.

    Raises
    ------
    InvalidInputError
        If no token is set, or code cannot be kept apart here.
    """
    if len(settings.runner_token_sha256) != hashlib.sha256().digest_size * 2:
        raise InvalidInputError(
            "MODEL_LOOP_RUNNER_TOKEN_SHA256",
            "is not a SHA-256 digest" if settings.runner_token_sha256 else "is not set",
            "Set it to the digest of the callers' token, which they have as "
            'MODEL_LOOP_RUNNER_TOKEN: printf %s TOKEN | sha256sum | cut -d " " -f 1',
        )
    separation = choose_separation(settings.runner_first_user)
    logger.info("Versions are kept apart by %s, Landlock and seccomp", separation.name)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="model-loop-runner-") as name:
            # Versions have to pass it, and cannot read it.
            os.chmod(name, 0o711)  # noqa: PTH101, S103 - a path would block, for ruff
            await asyncio.to_thread(separation.end_left, settings.runner_versions)
            supervisor = Supervisor(Path(name), separation, settings)
            app.router.routes.extend(RunnerRoutes(supervisor, settings).routes())
            watch = asyncio.create_task(supervisor.watch())
            try:
                yield
            finally:
                # Also after a second signal, which cancels this.
                watch.cancel()
                await supervisor.close()

    return Starlette(lifespan=lifespan)


def run_runner(settings: Settings) -> None:
    """Serve until the process receives a signal to stop."""
    uvicorn.run(
        make_runner(settings),
        host=settings.runner_host,
        port=settings.runner_port,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


async def _healthy(_: Request) -> Response:
    return Response(b"ok", media_type="text/plain")


def _token(request: Request) -> str:
    """Return the token of a request; empty if it has none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type=_JSON)


async def _body(request: Request, most: int) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise InvalidInputError(
                "The request", f"has more than {most} bytes", "Send fewer rows at once."
            )
        pieces.append(piece)
    return b"".join(pieces)


def _seconds(request: Request, most: float) -> float:
    try:
        asked = float(request.headers.get(SECONDS, most))
    except ValueError:
        asked = most
    # NaN is less than nothing.
    return min(asked, most) if asked > 0 else most

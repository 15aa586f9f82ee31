"""The client of the runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal, TypeVar, cast

import msgspec
import urllib3
from urllib3.response import BaseHTTPResponse

from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.runner.errors import CodeFailedError, RunnerAwayError, RunnerUnavailableError
from model_loop.runner.package import CodePackage, version_digest
from model_loop.runner.rows import UNREADABLE, fault_of, most_answer_bytes

__all__ = ["CodeFailedError", "CodeState", "RunnerClient", "RunnerUnavailableError"]

_CORRECT = "Correct the code, and register another version."
_CONNECTIONS = 32
#: Seconds to connect; for an answer without a bound of its own; beyond the bound of one that has.
_CONNECT_SECONDS, _READ_SECONDS, _MARGIN = 5.0, 60.0, 10.0
_POLL_SECONDS = 0.05
_PIECE = 2**20
_OK, _BAD_CODE = 200, 502

_Answer = TypeVar("_Answer")

#: incomplete: files are missing; starting; ready: it answers; idle: it was not asked for a while,
#: and starts again when it is; paused: it has failed, and starts again when it is
#: asked after its pause.
StateName = Literal["incomplete", "starting", "ready", "idle", "paused"]


@dataclass(frozen=True)
class CodeState:
    """State of a version.

    Parameters
    ----------
    digest
        See `version_digest`.
    state
        See `StateName`.
    reason
        The latest failure, empty if there was none.
    output
        The end of what it has printed.
    restarts
        Times that it has failed since it was deployed.
    memory_bytes
        Memory of all its processes.
    """

    digest: str
    state: StateName
    reason: str = ""
    output: str = ""
    restarts: int = 0
    memory_bytes: int = 0


class _NotDeployedError(RunnerUnavailableError):
    """The runner was started again since the version was deployed."""


@dataclass(frozen=True)
class _Deployed:
    """A package that this client has deployed."""

    package: CodePackage
    read: Callable[[str], bytes]
    values: Mapping[str, str]


_ERRORS: Mapping[int, type[ModelLoopError]] = MappingProxyType(
    {404: _NotDeployedError, 422: InvalidInputError, 503: RunnerUnavailableError}
)


class RunnerClient:
    """A runner; safe to share between threads.

    Parameters
    ----------
    address
        Its address, such as http://runner:8095.
    token
        The token of callers.
    """

    def __init__(self, address: str, token: str) -> None:
        self._address = address.rstrip("/")
        self._token = token
        self._headers = {"Authorization": f"Bearer {token}"}
        # Waiting for a version is bounded by each request's own seconds.
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, retries=False)
        self._deployed: dict[str, _Deployed] = {}

    def __repr__(self) -> str:
        """Return the address without the token."""
        return f"RunnerClient({self._address!r})"

    def deploy(
        self, package: CodePackage, read: Callable[[str], bytes], values: Mapping[str, str]
    ) -> str:
        """Hand over a package and its values; return the digest by which the runner knows both.

        Only files that the runner lacks are sent.
        Safe to repeat. A runner that was started again has nothing: the client deploys a package
        that it has deployed before again when it is asked for.

        Parameters
        ----------
        read
            Returns a file's content by its path.
        values
            Values by the names of the package's variables.

        Raises
        ------
        InvalidInputError
            If values are missing, or the runner refuses the package.
        RunnerUnavailableError
            If the runner does not answer.
        """
        version = version_digest(self._token, package, values)
        path = f"/versions/{version}"
        body = msgspec.json.encode({"package": package, "values": dict(values)})
        paths = {digest: path for path, digest in package.files.items()}
        for digest in msgspec.json.decode(self._send("PUT", path, body)):
            self._send("PUT", f"{path}/files/{digest}", read(paths[digest]))
        self._deployed[version] = _Deployed(package, read, dict(values))
        return version

    def wait_ready(self, digest: str, seconds: float) -> None:
        """Wait until a version answers.

        Raises
        ------
        CodeFailedError
            If it fails to start.
        RunnerUnavailableError
            If it is not ready in time, or the runner does not answer.
        """
        end = time.monotonic() + seconds
        while True:
            state = self.states().get(digest)
            if state is not None and state.state in ("ready", "idle"):
                return
            if state is None:
                self._deploy_again(digest)
            elif state.state == "paused":
                raise CodeFailedError(_named(digest), state.reason, _CORRECT, state.output)
            if time.monotonic() > end:
                raise RunnerUnavailableError(
                    _named(digest),
                    f"was not ready within {seconds:g} seconds",
                    "Look at its state, or wait for longer.",
                )
            time.sleep(_POLL_SECONDS)

    def predict(
        self, digest: str, rows: list[dict[str, Any]], seconds: float
    ) -> list[dict[str, Any]]:
        """Return an answer for each row, checked against the package's outputs.

        Raises
        ------
        InvalidInputError
            If a row breaks a rule of the package's inputs, or the package was not deployed by this
            client.
        CodeFailedError
            If the code fails, or its answer breaks a rule of the outputs.
        RunnerUnavailableError
            If the version is paused, busy for longer than *seconds*, or the runner is away.
        """
        package = self._find(digest).package
        if fault := fault_of(rows, package.inputs):
            raise InvalidInputError(
                "The rows", fault, "Send rows by the columns of the package's inputs."
            )
        content = msgspec.json.encode(rows)
        most = most_answer_bytes(len(rows), package)
        path = f"/versions/{digest}/predict"
        answer = self._again(digest, lambda: self._send("POST", path, content, seconds, most))
        if len(answer) > most:
            raise CodeFailedError("Its answers", f"have more than {most} bytes", _CORRECT)
        try:
            answers = msgspec.json.decode(answer)
        except UNREADABLE as error:
            raise CodeFailedError("Its answers", f"are not JSON ({error})", _CORRECT) from error
        if fault := fault_of(answers, package.outputs, len(rows)):
            raise CodeFailedError("Its answers", fault, _CORRECT)
        return cast("list[dict[str, Any]]", answers)

    def predict_file(self, digest: str, source: Path, target: Path, seconds: float) -> None:
        """Score a file with a script's function of files; write the file that it returns.

        Raises
        ------
        CodeFailedError
            If the code fails.
        RunnerUnavailableError
            As of `predict`.
        """
        self._find(digest)

        def score() -> None:
            with source.open("rb") as file, target.open("wb") as out:
                response = self._request("POST", f"/versions/{digest}/score", file, seconds)
                try:
                    for piece in response.stream(_PIECE):
                        out.write(piece)
                except urllib3.exceptions.HTTPError as error:
                    raise self._away(error) from error

        self._again(digest, score)

    def states(self) -> dict[str, CodeState]:
        """Return how each version is, by its digest."""
        states = msgspec.json.decode(self._send("GET", "/versions"), type=list[CodeState])
        return {state.digest: state for state in states}

    def stop(self, digest: str) -> None:
        """Stop a version and remove its files; nothing if there is none."""
        self._deployed.pop(digest, None)
        self._send("DELETE", f"/versions/{digest}")

    def _find(self, digest: str) -> _Deployed:
        if digest not in self._deployed:
            raise InvalidInputError(
                _named(digest), "was not deployed by this client", "Call deploy first."
            )
        return self._deployed[digest]

    def _again(self, digest: str, ask: Callable[[], _Answer]) -> _Answer:
        """Ask; if the runner has forgotten the version, deploy it and ask once more."""
        try:
            return ask()
        except _NotDeployedError:
            self._deploy_again(digest)
            return ask()

    def _deploy_again(self, digest: str) -> None:
        former = self._find(digest)
        self.deploy(former.package, former.read, former.values)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        seconds: float | None = None,
        most: int | None = None,
    ) -> bytes:
        """Return an answer's body; of one that has more than *most* bytes, one byte more."""
        try:
            response = self._request(method, path, body, seconds)
            if most is None:
                return response.read()
            content = response.read(most + 1)
        except urllib3.exceptions.HTTPError as error:
            raise self._away(error) from error
        if len(content) > most:
            response.close()
        else:
            response.release_conn()
        return content

    def _request(
        self, method: str, path: str, body: bytes | IO[bytes] | None, seconds: float | None
    ) -> BaseHTTPResponse:
        """Return an answer whose body is not read yet."""
        headers = dict(self._headers)
        if seconds is not None:
            headers["X-Seconds"] = f"{seconds:g}"
        # The runner itself ends what takes too long.
        timeout = urllib3.Timeout(
            connect=_CONNECT_SECONDS, read=_MARGIN + (_READ_SECONDS if seconds is None else seconds)
        )

        def send() -> BaseHTTPResponse:
            return self._pool.request(
                method,
                self._address + path,
                body=body,
                headers=headers,
                timeout=timeout,
                preload_content=False,
                redirect=False,
            )

        try:
            try:
                response = send()
            except urllib3.exceptions.ProtocolError:
                # The runner may close a connection that was idle at the moment of its next use. A
                # second request changes nothing; of a file, no part can be sent again.
                if body is not None and not isinstance(body, bytes):
                    raise
                response = send()
            if response.status != _OK:
                raise _error_of(response.status, response.read())
        except urllib3.exceptions.HTTPError as error:
            raise self._away(error) from error
        return response

    def _away(self, error: Exception) -> RunnerUnavailableError:
        return RunnerAwayError(
            f"The runner at {self._address}",
            f"does not answer ({error})",
            "See that `model-loop runner` runs, and that MODEL_LOOP_RUNNER_ADDRESS is its address.",
        )


def _error_of(status: int, body: bytes) -> Exception:
    try:
        fields = msgspec.json.decode(body, type=dict[str, str])
        parts = fields["given"], fields["rule"], fields["remedy"]
    except (msgspec.MsgspecError, KeyError):
        parts = "The runner", f"has answered with status {status}", "See its log."
        fields = {}
    if status == _BAD_CODE:
        return CodeFailedError(*parts, fields.get("output", ""))
    return _ERRORS.get(status, RunnerUnavailableError)(*parts)


def _named(digest: str) -> str:
    return f"The version {digest[:12]}"

"""The client of the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model_loop.runner.errors import CodeFailedError, RunnerUnavailableError
from model_loop.runner.package import CodePackage

__all__ = ["CodeFailedError", "CodeState", "RunnerClient", "RunnerUnavailableError"]

#: incomplete: files are missing; starting; ready: it answers; idle: it was not asked for a while,
#: and starts again when it is; paused: it has failed, and starts again after a pause.
StateName = Literal["incomplete", "starting", "ready", "idle", "paused"]


@dataclass(frozen=True)
class CodeState:
    """How a version is.

    Parameters
    ----------
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
        raise NotImplementedError

    def deploy(
        self, package: CodePackage, read: Callable[[str], bytes], values: Mapping[str, str]
    ) -> None:
        """Hand over a package and its values; only files that the runner lacks are sent.

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
        raise NotImplementedError

    def wait_ready(self, digest: str, seconds: float) -> None:
        """Wait until a version answers.

        Raises
        ------
        CodeFailedError
            If it fails to start.
        RunnerUnavailableError
            If it is not ready in time, or the runner does not answer.
        """
        raise NotImplementedError

    def predict(
        self, digest: str, rows: list[dict[str, Any]], seconds: float
    ) -> list[dict[str, Any]]:
        """Return an answer for each row, checked against the package's outputs.

        Raises
        ------
        InvalidInputError
            If a row breaks a rule of the package's inputs.
        CodeFailedError
            If the code fails, or its answer breaks a rule of the outputs.
        RunnerUnavailableError
            If the version is paused, busy for longer than *seconds*, or the runner is away.
        """
        raise NotImplementedError

    def predict_file(self, digest: str, source: Path, target: Path, seconds: float) -> None:
        """Score a file with a script's function of files; write the file that it returns.

        Raises
        ------
        CodeFailedError
            If the code fails.
        RunnerUnavailableError
            As of `predict`.
        """
        raise NotImplementedError

    def states(self) -> dict[str, CodeState]:
        """Return how each version is, by its digest."""
        raise NotImplementedError

    def stop(self, digest: str) -> None:
        """Stop a version and remove its files; nothing if there is none."""
        raise NotImplementedError

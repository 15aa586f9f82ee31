"""A container engine that runs docker-compose.yaml under a project name of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from types import MappingProxyType

from dotenv import dotenv_values
from tests.production.compose import COMPOSE, ROOT

from model_loop.production.environment import VARIABLES, fresh_environment

IMAGE = "model-loop:test"
_PROJECT = "model-loop-test"
_SECONDS = 600
_LINES = "60"
_VARIABLES = frozenset(one.name for one in VARIABLES)
#: Variables of the compose file that are not as `make secrets` writes them.
_OWN = f"MODEL_LOOP_IMAGE={IMAGE}\nCODE=true\nCOMPOSE_PROFILES=code\n"


class EngineError(Exception):
    """There is no engine, or it has refused."""


class Engine:
    """Docker with Compose.

    Parameters
    ----------
    folder
        Where the secrets are written.
    overrides
        Compose files on top of the project's.

    Raises
    ------
    EngineError
        If there is none.
    """

    def __init__(self, folder: Path, overrides: Sequence[Path] = ()) -> None:
        if not shutil.which("docker"):
            raise EngineError("docker is not installed; it is needed, with Compose 2.24 or newer")
        for command in (["info"], ["compose", "version"]):
            _docker(command, seconds=60)
        # Commands of the runbook run in another folder.
        self._files = [str(file.resolve()) for file in (COMPOSE, *overrides)]
        self._folder = folder
        self._env = folder / ".env"
        self._env.write_text(f"{fresh_environment()}\n{_OWN}")
        found = dotenv_values(stream=StringIO(self._env.read_text()))
        #: The variables of the compose file.
        self.secrets = {name: value or "" for name, value in found.items()}

    def build(self, seconds: float) -> None:
        """Build the project's image."""
        _docker(["build", "--tag", IMAGE, str(ROOT)], seconds)

    def megabytes(self) -> float:
        """Return the size of the image."""
        return int(_docker(["image", "inspect", "--format", "{{.Size}}", IMAGE], 60)) / 1e6

    def run_once(self, command: Sequence[str], user: str, seconds: float) -> None:
        """Run a command of the image as its services run: without rights, on a read-only root."""
        writable = ["--tmpfs", "/tmp", "--tmpfs", "/var/lib/model-loop/airflow"]  # noqa: S108
        rights = ["--read-only", *writable, "--cap-drop=ALL", "--user", user]
        _docker(["run", "--rm", *rights, IMAGE, *command], seconds)

    def compose(
        self, *words: str, seconds: float = _SECONDS, secrets: bool = True, check: bool = True
    ) -> str:
        """Return what a command of Compose prints.

        Raises
        ------
        EngineError
            If it ends badly, or not in time.
        """
        files = [word for file in self._files for word in ("--file", file)]
        env = str(self._env) if secrets else os.devnull
        # Beside the file, whatever folder the overrides are in.
        where = ["--project-directory", str(ROOT), "--project-name", _PROJECT, "--env-file", env]
        return _docker(["compose", *files, *where, *words], seconds, check=check)

    def start(self, name: str, options: Sequence[str], command: Sequence[str]) -> None:
        """Start a container of the image beside the services.

        Raises
        ------
        EngineError
            If it cannot be started.
        """
        where = [f"--name={_PROJECT}-{name}", f"--network={_PROJECT}_inside"]
        _docker(["run", "--detach", *where, *options, IMAGE, *command], _SECONDS)

    def wait(self, name: str, seconds: float) -> None:
        """Wait for the end of a container.

        Raises
        ------
        EngineError
            If it does not end in time, or badly.
        """
        code = _docker(["wait", f"{_PROJECT}-{name}"], seconds).strip()
        if code != "0":
            raise EngineError(f"{name} ended with {code}:\n{self._said(name)}")

    def well(self, name: str, command: Sequence[str]) -> bool:
        """Return whether a command succeeds inside a container.

        Raises
        ------
        EngineError
            If the container has ended.
        """
        state = _docker(["inspect", "--format={{.State.Status}}", f"{_PROJECT}-{name}"], 60)
        if state.strip() != "running":
            raise EngineError(f"{name} is {state.strip()}:\n{self._said(name)}")
        try:
            _docker(["exec", f"{_PROJECT}-{name}", *command], _SECONDS)
        except EngineError:
            return False
        return True

    def discard(self, name: str) -> None:
        """Remove a container."""
        _docker(["rm", "--force", "--volumes", f"{_PROJECT}-{name}"], _SECONDS, check=False)

    def _said(self, name: str) -> str:
        return _docker(["logs", "--tail", _LINES, f"{_PROJECT}-{name}"], 60, check=False)

    def script(self, commands: str, seconds: float) -> None:
        """Run commands as a person types them: in a folder with .env, of this project.

        Raises
        ------
        EngineError
            If one of them fails, or they take too long.
        """
        own = {
            "COMPOSE_FILE": os.pathsep.join(self._files),
            "COMPOSE_PROJECT_NAME": _PROJECT,
            "COMPOSE_ENV_FILES": str(self._env),
        }
        _run(["bash", "-euo", "pipefail", "-c", commands], seconds, own, self._folder)

    def execute(self, service: str, *command: str) -> str:
        """Return what a command prints inside a service."""
        return self.compose("exec", "--no-TTY", service, *command)

    def containers(self) -> dict[str, str]:
        """Names of services by the identity of their containers, those that have ended as well."""
        return {str(one["ID"]): str(one["Service"]) for one in self._listed()}

    def ill(self) -> dict[str, str]:
        """Services that are not as they should be, and how they are."""
        found = {}
        for one in self._listed():
            ended = one["State"] == "exited" and one["ExitCode"] == 0
            name = str(one["ID"])
            restarts = _docker(["inspect", "--format", "{{.RestartCount}}", name], 60).strip()
            if (one["Health"] != "healthy" and not ended) or restarts != "0":
                found[str(one["Service"])] = f"{one['Status']}, restarts: {restarts}"
        return found

    def logs(self) -> str:
        """The end of every log, and how all services are."""
        listed = self.compose("ps", "--all", check=False)
        return listed + self.compose("logs", "--no-color", "--tail", _LINES, check=False)

    def remove(self) -> None:
        """Remove all that was started, with its volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "20", check=False)

    def _listed(self) -> list[Mapping[str, object]]:
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return [json.loads(line) for line in lines if line.strip()]


def _docker(words: Sequence[str], seconds: float, *, check: bool = True) -> str:
    return _run(["docker", *words], seconds, check=check)


def _run(
    command: Sequence[str],
    seconds: float,
    environment: Mapping[str, str] = MappingProxyType({}),
    folder: Path | None = None,
    *,
    check: bool = True,
) -> str:
    # A person's own .env and variables are another deployment's.
    own = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    words = " ".join(command)
    try:
        done = subprocess.run(
            command,
            env={**own, **environment},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{words} took longer than {seconds:.0f} s") from error
    said = done.stdout + done.stderr
    if check and done.returncode:
        raise EngineError(f"{words} ended with {done.returncode}:\n{said[-4_000:]}")
    return said if not check else done.stdout

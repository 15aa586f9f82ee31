"""Processes under supervisord: started, watched, restarted when they die, stopped as groups."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from model_loop.local.preflight import LocalStackError
from model_loop.local.stack import MARKER, SCHEDULER, LocalStack

_GRACE_SECONDS = 20.0
_START_SECONDS = 15.0
#: macOS takes 104 bytes, Linux 108; supervisord makes the socket under a slightly longer name.
_LONGEST_SOCKET_PATH = 88


@dataclass(frozen=True)
class ProcessStatus:
    """State of one process.

    Parameters
    ----------
    name, state
        Name and state in supervisord's words: RUNNING, STOPPED, FATAL, …
    description
        Process id and uptime, or what went wrong.
    """

    name: str
    state: str
    description: str


class Supervision:
    """supervisord of one stack.

    Parameters
    ----------
    stack
        The stack to run.
    """

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self._config = stack.state / "supervisord.conf"
        self._pid_file = stack.state / "supervisord.pid"
        self._socket = _socket_path(stack.state)

    @property
    def running(self) -> bool:
        """True if supervisord answers."""
        try:
            self._server.getState()
        except OSError:
            return False
        return True

    def start(self) -> None:
        """Start every process.

        Raises
        ------
        LocalStackError
            If supervisord does not start.
        """
        self._write_config()
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)]
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            env=self.stack.environment(),
            cwd=self.stack.state,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self.running:
            if done.returncode or time.monotonic() > deadline:
                raise LocalStackError(
                    "supervisord", f"did not start: {done.stderr.strip()}", "Look into the logs."
                )
            time.sleep(0.1)

    def stop(self) -> list[str]:
        """Stop every process of the stack, also those that a crashed supervisord left behind.

        Returns
        -------
        list of str
            Command lines of processes that had to be stopped one by one.
        """
        # The socket's file may outlive a supervisord that was killed.
        with contextlib.suppress(OSError, xmlrpc.client.Fault):
            self._stop_together()
            self._server.shutdown()
            self._wait_until_gone()
        left = self._marked()
        commands = [_command(process) for process in left]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
        for process in [*alive, *self._marked()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._socket.unlink(missing_ok=True)
        return commands

    def status(self) -> list[ProcessStatus]:
        """Return the state of each process; empty when supervisord does not run."""
        try:
            found = self._server.getAllProcessInfo()
        except OSError:
            return []
        return [
            ProcessStatus(info["name"], info["statename"], info["description"]) for info in found
        ]

    def _stop_together(self) -> None:
        """Stop the tasks, then the rest at once; supervisord would stop one after the other."""
        with contextlib.suppress(xmlrpc.client.Fault):  # It may have ended before.
            self._server.stopProcess(SCHEDULER)
        self._server.stopAllProcesses()

    def _wait_until_gone(self) -> None:
        deadline = time.monotonic() + _GRACE_SECONDS + 10
        while self._marked() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _marked(self) -> list[psutil.Process]:
        """Processes that carry the stack's mark."""
        state, found = str(self.stack.state), []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                marked = process.environ().get(MARKER) == state
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return [process for process in found if process.pid != psutil.Process().pid]

    @property
    def _server(self) -> Any:  # noqa: ANN401 - supervisor's XML-RPC has no types
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy("http://localhost", transport).supervisor

    def _write_config(self) -> None:
        for folder in ("airflow", "mlflow", "logs", "storage"):
            (self.stack.state / folder).mkdir(parents=True, exist_ok=True)
        config = configparser.RawConfigParser()
        config["supervisord"] = {
            "logfile": _escape(self.stack.logs / "supervisord.log"),
            "pidfile": _escape(self._pid_file),
            "directory": _escape(self.stack.state),
        }
        config["unix_http_server"] = {"file": _escape(self._socket), "chmod": "0700"}
        config["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
        for name, command in self.stack.programs().items():
            config[f"program:{name}"] = {
                "command": _escape(command),
                # This one is expanded twice.
                "stdout_logfile": _escape(_escape(self.stack.logs / f"{name}.log")),
                "redirect_stderr": "true",
                "stdout_logfile_maxbytes": "10MB",
                "stdout_logfile_backups": "2",
                "stopasgroup": "true",
                "killasgroup": "true",
                "stopwaitsecs": str(int(_GRACE_SECONDS)),
                "startsecs": "3",
                "startretries": "2",
            }
        with self._config.open("w") as file:
            config.write(file)


def _socket_path(state: Path) -> Path:
    """Return the path of the socket: in the state folder, unless that is too long for a socket."""
    path = state / "supervisord.sock"
    if len(str(path).encode()) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(str(state).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"model-loop-{name}.sock"


def _escape(value: object) -> str:
    # supervisord expands %(name)s in every value.
    return str(value).replace("%", "%%")


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return f"process {process.pid}"

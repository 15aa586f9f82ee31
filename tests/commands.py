"""The command ``model-loop`` in processes that begin with its libraries imported.

Importing them takes five seconds, and hundreds of tests run a command. A server that has imported
them once is forked for each; what a command does from its first line on is its own.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from model_loop.local.scheduler import PRELOADED

#: The command itself, for tests of what happens before its first line.
COMMAND = str(Path(sys.executable).parent / "model-loop")
LONGEST_SECONDS = 300

#: Makes processes that have the libraries imported.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(PRELOADED))


def run_command(
    *arguments: str, folder: Path, environment: Mapping[str, str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``model-loop`` to its end.

    Parameters
    ----------
    arguments
        What follows the command's name.
    folder
        Where it is run.
    environment
        All environment variables that it sees.
    text
        Its standard input.
    """
    with tempfile.TemporaryDirectory() as told:
        streams = streams_of(Path(told), text.encode())
        process = fork("model_loop.cli", arguments, folder, environment, streams)
        process.join(LONGEST_SECONDS)
        if process.is_alive():
            process.kill()
            message = f"model-loop {' '.join(arguments)} did not end: {streams[2].read_text()}"
            raise TimeoutError(message)
        assert process.exitcode is not None
        return subprocess.CompletedProcess(
            (COMMAND, *arguments),
            process.exitcode,
            streams[1].read_text(encoding="utf-8"),
            streams[2].read_text(encoding="utf-8"),
        )


def streams_of(folder: Path, given: bytes) -> list[Path]:
    """Return the files that are the standard streams of a process: input, output, errors."""
    streams = [folder / name for name in ("input", "output", "errors")]
    streams[0].write_bytes(given)
    return streams


def fork(
    module: str,
    arguments: tuple[str, ...],
    folder: Path,
    environment: Mapping[str, str],
    streams: list[Path],
) -> BaseProcess:
    """Start a process with the libraries imported, which runs the `main` of a module."""
    process = FORKS.Process(
        target=_become, args=(module, arguments, folder, dict(environment), streams)
    )
    process.start()
    return process


def _become(
    module: str,
    arguments: tuple[str, ...],
    folder: Path,
    environment: dict[str, str],
    streams: list[Path],
) -> None:
    """Run the `main` of a module in a process that was forked for it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(streams):
        with path.open("wb" if number else "rb") as file:
            os.dup2(file.fileno(), number)
    # That of a forked process reads nothing.
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.argv = [COMMAND, *arguments]
    importlib.import_module(module).main()

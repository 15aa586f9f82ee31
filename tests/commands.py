"""The command ``model-loop`` in processes that begin with its libraries imported.

Importing them takes five seconds, and hundreds of tests run a command. A server that has imported
them once is forked for each; what a command does from its first line on is its own.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from model_loop.local.scheduler import PRELOADED

#: The command itself, for tests of what happens before its first line.
COMMAND = str(Path(sys.executable).parent / "model-loop")
LONGEST_SECONDS = 300

#: Makes processes that have the libraries imported.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(PRELOADED))


def run_command(
    *arguments: str, folder: Path, environment: Mapping[str, str]
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
    """
    with tempfile.TemporaryDirectory() as told:
        output, errors = Path(told, "output"), Path(told, "errors")
        process = FORKS.Process(
            target=_become, args=(arguments, folder, dict(environment), output, errors)
        )
        process.start()
        process.join(LONGEST_SECONDS)
        if process.is_alive():
            process.kill()
            message = f"model-loop {' '.join(arguments)} did not end: {errors.read_text()}"
            raise TimeoutError(message)
        assert process.exitcode is not None
        return subprocess.CompletedProcess(
            (COMMAND, *arguments),
            process.exitcode,
            output.read_text(encoding="utf-8"),
            errors.read_text(encoding="utf-8"),
        )


def _become(
    arguments: tuple[str, ...],
    folder: Path,
    environment: dict[str, str],
    output: Path,
    errors: Path,
) -> None:
    """Run the command in a process that was forked for it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in ((sys.stdout, output), (sys.stderr, errors)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = [COMMAND, *arguments]
    from model_loop.cli import main

    main()

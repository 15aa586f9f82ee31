"""Environments of code packages: their requirements, installed by uv from wheels alone.

Wheels are unpacked, so that no code of theirs runs where an environment is built; and none of it
runs when uv or Python looks at the environment, since it is a folder of packages, and no virtual
environment with an interpreter of its own.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.runner.package import environment_digest, require_locked, require_requirement
from model_loop.runner.pythons import find_python

_BUILD_SECONDS = 1_800
_LONGEST_LOG = 3_000
#: Folders of packages that no model imports: tests take nearly as long to compile as all else.
_UNUSED = r"/(tests|testing)/"
#: Name of an environment, and of one that was not built to its end.
_FOLDER = re.compile(r"\.?([0-9a-f]{64})(?:-[^/]*)?")
#: Folder of the packages in an environment.
SITE = "site"


class EnvironmentBuildError(ModelLoopError):
    """An environment cannot be built; the end of uv's log is in the rule."""


def environment_path(folder: Path, digest: str) -> Path:
    """Return the folder of an environment, which may not be there."""
    return folder / digest


def lock_requirements(requirements: Sequence[str], python: str, folder: Path) -> tuple[str, ...]:
    """Return all packages that requirements need, each with its version and its wheels' digests.

    Parameters
    ----------
    folder
        Folder of all environments, with uv's cache.

    Raises
    ------
    InvalidInputError, EnvironmentBuildError
        As `ensure_environment`.
    """
    for line in requirements:
        require_requirement(line)
    if not requirements:
        return ()
    interpreter = find_python(python)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        lines, locked = Path(name, "requirements.in"), Path(name, "requirements.txt")
        lines.write_text("".join(f"{line}\n" for line in requirements))
        command = [_uv(), "pip", "compile", "--quiet", "--python", interpreter, "--generate-hashes"]
        command += ["--only-binary", ":all:", "--no-header", "--no-annotate"]
        command += ["--output-file", str(locked), "--cache-dir", str(folder / ".cache"), str(lines)]
        _run(command, Path(name))
        text = locked.read_text().replace("\\\n", " ")
    return tuple(" ".join(line.split()) for line in text.splitlines() if line[:1].isalnum())


def ensure_environment(
    requirements: Sequence[str], python: str, folder: Path, locked: Sequence[str] = ()
) -> Path:
    """Return the folder of an environment; build it if it is not there.

    Parameters
    ----------
    requirements
        Packages with their versions, a line each.
    python
        Version of Python, such as 3.11.
    folder
        Folder of all environments; one process builds, others that need the same wait.
    locked
        What `lock_requirements` has fixed them to; nothing else is installed then.

    Raises
    ------
    InvalidInputError
        If a requirement is an option, an address or a path, or there is no such Python.
    EnvironmentBuildError
        If uv fails, with the end of its log.
    """
    for line in requirements:
        require_requirement(line)
    require_locked(tuple(locked))
    interpreter = find_python(python)
    digest = environment_digest(python, tuple(requirements), tuple(locked))
    target = environment_path(folder, digest)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{digest}.lock"):
        if not target.is_dir():
            _build(locked or requirements, interpreter, target, fixed=bool(locked))
        # It was asked for now, and is registered a moment later: see `remove_unused`.
        os.utime(target)
    return target


def remove_unused(
    folder: Path, used: Collection[str], days: float, *, only_look: bool = False
) -> list[str]:
    """Remove environments that no version uses, and what a build that was killed has left.

    Parameters
    ----------
    folder
        Folder of all environments, which may not be there.
    used
        Digests of those that versions use.
    days
        Time since it was built or last used, after which an environment is removed.
    only_look
        Whether to leave all of it.

    Returns
    -------
    list
        Names of the folders.
    """
    horizon, removed = time.time() - SECONDS_PER_DAY * days, []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        named = _FOLDER.fullmatch(path.name)
        if named is None or path.name in used:
            continue
        with _locked(folder / f".{named[1]}.lock"):
            if path.is_dir() and path.stat().st_mtime < horizon:
                removed.append(path.name)
                if not only_look:
                    shutil.rmtree(path)
    return removed


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(requirements: Sequence[str], interpreter: str, target: Path, *, fixed: bool) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        lines = fresh / "requirements.txt"
        lines.write_text("".join(f"{line}\n" for line in requirements))
        (fresh / SITE).mkdir()
        if requirements:
            _run(
                [
                    *(_uv(), "pip", "install", "--python", interpreter, "--only-binary", ":all:"),
                    *("--target", str(fresh / SITE), "--requirements", str(lines)),
                    *("--cache-dir", str(target.parent / ".cache")),
                    *(("--require-hashes", "--no-deps") if fixed else ()),
                ],
                fresh,
            )
            # Its folder cannot be written where it is used. This reads code, and runs none.
            compiling = ("-m", "compileall", "-q", "-j", "0", "-x", _UNUSED)
            _run([interpreter, "-I", "-S", *compiling, str(fresh / SITE)], fresh)
        # Other users run it.
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    path = str(beside) if beside.exists() else shutil.which("uv")
    if path is None:
        raise InvalidInputError(
            "The program uv",
            "is not installed, and builds the environments of code packages",
            "Install it: `pip install uv`.",
        )
    return path


def _run(command: Sequence[str], folder: Path) -> None:
    # Indexes come from the operator's variables; what would build packages does not.
    refused = ("PYTHON", "VIRTUAL_ENV", "UV_NO_BINARY", "UV_TARGET", "UV_PYTHON")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(refused)
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own words; requirements are in a file
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(f"was not built within {_BUILD_SECONDS} seconds", error.output) from error
    # compileall ends so for a file of another version of Python, which is never imported.
    if done.returncode and "compileall" not in command:
        raise _failed("cannot be built", done.stdout)


def _failed(rule: str, log: bytes | None) -> EnvironmentBuildError:
    text = (log or b"").decode(errors="replace")[-_LONGEST_LOG:].strip()
    return EnvironmentBuildError(
        "The environment of the code package",
        f"{rule}:\n{text}\n",
        "Correct the requirements: each has to have a wheel for this machine and this Python.",
    )

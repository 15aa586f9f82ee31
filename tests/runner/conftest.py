"""A runner in a process of its own, which the tests of the room share."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from model_loop.errors import InvalidInputError
from model_loop.runner.client import RunnerClient
from model_loop.runner.environments import SITE, environment_path
from model_loop.runner.package import CodeColumn, CodePackage, environment_digest
from model_loop.runner.pythons import pythons
from model_loop.runner.separation import choose_separation

#: Runners beside each other have ids of their own: those of other processes of these tests, too.
USERS = itertools.count(30_000 + 100 * (os.getpid() % 250), 20)
TOKEN = "token-of-the-tests"  # noqa: S105 - of a server that lives for a test
PYTHON = next(iter(pythons()), "")
_RUN = (
    "from model_loop.runner.service import run_runner;"
    "from model_loop.settings import get_settings; run_runner(get_settings())"
)
NUMBER = CodeColumn("x", "number")
METADATA = "Metadata-Version: 2.1\nName: sample-rules\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def add_wheel(
    index: Path, marker: Path, name: str = "sample_rules", needs: Sequence[str] = ()
) -> None:
    """Add a wheel that would run code if Python or uv looked at it, and needs other packages."""
    info = f"{name}-1.0.dist-info"
    metadata = METADATA.replace("sample-rules", name.replace("_", "-")).rstrip("\n")
    with zipfile.ZipFile(index / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "RULES = 3\n")
        wheel.writestr(f"{name}.pth", f"import pathlib; pathlib.Path({str(marker)!r}).touch()")
        lines = [metadata, *(f"Requires-Dist: {each}" for each in needs)]
        wheel.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(f"{info}/WHEEL", WHEEL)
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{name}.pth,,\n")


@dataclass(frozen=True)
class Runner:
    """A running runner."""

    address: str
    client: RunnerClient
    process: subprocess.Popen[bytes]

    def deploy(
        self,
        script: str,
        *,
        values: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
        inputs: Sequence[CodeColumn] = (NUMBER,),
        outputs: Sequence[CodeColumn] = (CodeColumn("y", "number"),),
        wait: bool = True,
    ) -> str:
        """Deploy a script; return the version's digest."""
        contents = {"score.py": script.encode(), **(files or {})}
        package = CodePackage(
            form="script",
            entry="score.py",
            function="score",
            python=PYTHON,
            requirements=(),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            files={path: hashlib.sha256(data).hexdigest() for path, data in contents.items()},
            variables=tuple(values or {}),
        )
        digest = self.client.deploy(package, contents.__getitem__, values or {})
        if wait:
            self.client.wait_ready(digest, 30)
        return digest


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    folder: Path, *, prefix: Sequence[str] = (), port: str = "", **settings: str
) -> Iterator[Runner]:
    """Run a runner with these settings, and with an empty environment for scripts.

    Parameters
    ----------
    prefix
        Beginning of its command, such as a program that drops rights.
    port
        Port that it listens on; any free one, if left out.
    """
    empty = environment_path(folder / "environments", environment_digest(PYTHON, ()))
    (empty / SITE).mkdir(parents=True, exist_ok=True)
    port = port or str(free_port())
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        "SECRET_OF_THE_RUNNER": "secret-of-the-runner",
        "MODEL_LOOP_ENVIRONMENTS_FOLDER": str(folder / "environments"),
        "MODEL_LOOP_RUNNER_PORT": port,
        "MODEL_LOOP_RUNNER_FIRST_USER": str(next(USERS)),
        "MODEL_LOOP_RUNNER_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        **{f"MODEL_LOOP_RUNNER_{name.upper()}": value for name, value in settings.items()},
    }
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", _RUN],
        env=environment,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(f"{address}/healthz", process)
        yield Runner(address, RunnerClient(address, TOKEN), process)
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, retries=False).status == 200:
                return
        assert process.poll() is None
        time.sleep(0.05)
    raise TimeoutError(url)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Return a folder that other users may pass, unlike pytest's own."""
    # In memory, as in the container: nobody else frees what versions write there.
    path = Path(tempfile.mkdtemp(prefix="runner-tests-", dir="/dev/shm"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


#: Begins a command that cannot change its user id.
WITHOUT_IDS = ("setpriv", "--bounding-set", "-setuid,-setgid", "--inh-caps", "-setuid,-setgid")
TIGHT = {
    "memory_bytes": str(200 * 2**20),
    "file_bytes": str(20 * 2**20),
    "processes": "40",
    "seconds": "10",
    "start_seconds": "20",
}


@pytest.fixture(scope="module")
def runner(folder: Path) -> Iterator[Runner]:
    """Return a runner with tight bounds, which changes user ids."""
    if os.geteuid() != 0:
        try:
            choose_separation(next(USERS))
        except InvalidInputError as error:
            pytest.skip(f"code cannot be kept apart: {error}")
    with running(folder, **TIGHT) as started:
        yield started


@pytest.fixture(scope="module")
def bubblewrapped(folder: Path) -> Iterator[Runner]:
    """Return one that cannot change user ids."""
    if not (shutil.which("bwrap") and shutil.which("setpriv") and os.geteuid() == 0):
        pytest.skip("code cannot be kept apart: needs bubblewrap, setpriv and root")
    with running(folder, prefix=WITHOUT_IDS, **TIGHT) as started:
        yield started

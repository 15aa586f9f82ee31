"""A version in the runner: its files, its process, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from model_loop.errors import InvalidInputError
from model_loop.runner import child
from model_loop.runner.client import CodeState, StateName
from model_loop.runner.environments import SITE, environment_path
from model_loop.runner.errors import CodeFailedError, RunnerUnavailableError
from model_loop.runner.package import MOST_BYTES, CodePackage
from model_loop.runner.process import PRINT_SECONDS, CodeProcess, ProcessEndedError
from model_loop.runner.pythons import find_python, prefix_of
from model_loop.runner.rows import UNREADABLE, most_answer_bytes
from model_loop.runner.separation import (
    Separation,
    Statuses,
    memory_of,
    readable_paths,
    writable_paths,
)
from model_loop.settings import Settings

logger = logging.getLogger(__name__)

#: First and longest pause (seconds) after a failure; a version that has run for the longest begins
#: with the first again.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
#: Libraries that would take as many threads as there are processors.
_THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "LOKY_MAX_CPU_COUNT"),
)
#: Environment of the code, beside its own values.
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "USER": "model",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MPLBACKEND": "agg",
}


@dataclass(frozen=True)
class VersionContext:
    """Common base of all versions of a runner.

    Parameters
    ----------
    folder
        Their files.
    """

    folder: Path
    separation: Separation
    settings: Settings


class CodeVersion:
    """A version that was deployed.

    Parameters
    ----------
    digest
        See `version_digest`.
    slot
        Its number among those that are there, from which its user id follows.

    Raises
    ------
    InvalidInputError
        If its environment is not there, or there is no such Python.
    """

    def __init__(
        self,
        digest: str,
        package: CodePackage,
        values: Mapping[str, str],
        slot: int,
        context: VersionContext,
    ) -> None:
        self.digest, self.package, self.slot, self._home = digest, package, slot, context
        self._values = dict(values)
        self._python = find_python(package.python)
        self._environment = environment_path(
            context.settings.environments_folder, package.environment_digest
        )
        if not self._environment.is_dir():
            raise InvalidInputError(
                f"The environment {package.environment_digest}",
                "is not built",
                "Build it first: the command or the DAG that registers the package does.",
            )
        self._folder = Path(tempfile.mkdtemp(prefix=f"{slot}-", dir=context.folder))
        self._code, self._scratch = self._folder / "code", self._folder / "scratch"
        self._size = 0
        self._writing = threading.Lock()
        self._lock = asyncio.Lock()
        self._process: CodeProcess | None = None
        self._starting = False
        self._killed, self._has_failed = "", False
        self._reason, self._output, self._restarts = "", "", 0
        self._pause, self._paused_until, self._started = _FIRST_PAUSE, 0.0, 0.0
        self.asked = time.monotonic()
        self._make_folders()

    def _make_folders(self) -> None:
        self._folder.chmod(0o750)
        self._code.mkdir(0o750)
        self._scratch.mkdir(0o700)
        for folder in (self._folder, self._code):
            self._home.separation.hand_over(folder, self.slot)
        self._home.separation.hand_over(self._scratch, self.slot, owner=True)

    def missing(self) -> list[str]:
        """Return the digests of files that have not come yet."""
        files = self.package.files.items()
        return sorted({digest for path, digest in files if not (self._code / path).exists()})

    def add_file(self, digest: str, content: bytes) -> None:
        """Write a file at each of its paths that has none yet: a started version reads the others.

        Raises
        ------
        InvalidInputError
            If it is not a file of the package, has another digest, or all files together are too
            large.
        """
        paths = [path for path, sha256 in self.package.files.items() if sha256 == digest]
        with self._writing:
            targets = [self._code / path for path in paths if not (self._code / path).exists()]
            size = self._size + len(content) * len(targets)
            is_other = not paths or hashlib.sha256(content).hexdigest() != digest
            if is_other or size > MOST_BYTES:
                raise InvalidInputError(
                    f"The file {digest}",
                    f"is not in the package, or all files have more than {MOST_BYTES} bytes",
                    "Deploy the package again.",
                )
            self._size = size
            for target in targets:
                self._write(target, content)

    def _write(self, target: Path, content: bytes) -> None:
        """Write a file of the code; it is there with all of its content, or not at all."""
        for folder in reversed(target.relative_to(self._code).parents[:-1]):
            if not (self._code / folder).exists():
                (self._code / folder).mkdir(0o750)
                self._home.separation.hand_over(self._code / folder, self.slot)
        descriptor, name = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o640)
            file.write(content)
        self._home.separation.hand_over(Path(name), self.slot)
        os.replace(name, target)  # noqa: PTH105 - mkstemp returns text

    def state(self, statuses: Statuses) -> CodeState:
        """Return how it is, by the state of all processes."""
        name: StateName = "idle"
        memory = 0
        # Another thread may end it meanwhile.
        process = self._process
        if self.missing():
            name = "incomplete"
        elif self._starting:
            name = "starting"
        elif process is not None:
            name = "ready"
            members = self._home.separation.processes(self.slot, process.pid, statuses)
            memory = memory_of(members, statuses)
        elif self._has_failed:
            name = "paused"
        output = process.output if process is not None else self._output
        return CodeState(self.digest, name, self._reason, output, self._restarts, memory)

    async def warm(self) -> None:
        """Start it; a failure is in its state."""
        with contextlib.suppress(CodeFailedError, RunnerUnavailableError):
            async with self._lock:
                await self._running()

    async def ask(self, rows: bytes, seconds: float) -> bytes:
        """Return the answers to rows, both as JSON.

        Raises
        ------
        InvalidInputError
            If the rows are no list.
        CodeFailedError
            If the code fails, takes longer, or answers with more than `most_answer_bytes`.
        RunnerUnavailableError
            If it is paused, or busy for so long.
        """
        try:
            number = len(msgspec.json.decode(rows, type=list[msgspec.Raw]))
        except UNREADABLE as error:
            raise InvalidInputError(
                "The rows", f"are not a list in JSON ({error})", "Use the client of this version."
            ) from error
        most = most_answer_bytes(number, self.package)
        async with self._turn(seconds) as process:
            await process.send(child.ROWS, rows)
            return (await process.receive(most))[1]

    async def score(self, source: AsyncIterator[bytes], seconds: float) -> AsyncGenerator[bytes]:
        """Yield the result of scoring a file; errors as of `ask`."""
        async with self._turn(seconds) as process:
            async for piece in source:
                for start in range(0, len(piece), child.PIECE_BYTES):
                    await process.send(child.PIECE, piece[start : start + child.PIECE_BYTES])
            # There is one, even if it is empty.
            await process.send(child.PIECE, b"")
            await process.send(child.FILE, b"")
            size, most = 0, self._home.settings.runner_file_bytes
            async for piece in process.pieces():
                size += len(piece)
                if size > most:
                    raise ProcessEndedError(f"it has answered with more than {most} bytes")
                yield piece

    @contextlib.asynccontextmanager
    async def _turn(self, seconds: float) -> AsyncIterator[CodeProcess]:
        """Hold the process for one request; if it fails it is ended."""
        end = time.monotonic() + seconds
        self.asked = time.monotonic()
        try:
            await asyncio.wait_for(self._lock.acquire(), seconds)
        except TimeoutError as error:
            raise RunnerUnavailableError(
                self._named, f"was busy for {seconds:g} seconds", "Ask again, or less often."
            ) from error
        try:
            process = await self._running()
            if self._started > end - seconds:
                if time.monotonic() > end:
                    raise RunnerUnavailableError(
                        self._named, f"was starting for {seconds:g} seconds", "Ask again."
                    )
                # The start of the process does not count as time of the code.
                end = time.monotonic() + seconds
            try:
                async with asyncio.timeout_at(
                    asyncio.get_running_loop().time() + end - time.monotonic()
                ):
                    yield process
            except CodeFailedError as error:
                # It has answered with an error, and goes on. Printed lines come a little later.
                await asyncio.sleep(PRINT_SECONDS)
                raise CodeFailedError(
                    error.given, error.rule, error.remedy, process.output
                ) from error
            except TimeoutError as error:
                raise await self._fail(f"has not answered within {seconds:g} seconds") from error
            except ProcessEndedError as error:
                raise await self._fail(self._killed or f"has ended: {error}") from error
            except BaseException:
                # The frame that comes next would be the answer to another request.
                await self._end()
                raise
        finally:
            self.asked = time.monotonic()
            self._lock.release()

    async def _running(self) -> CodeProcess:
        """Return the process, and start it if there is none."""
        if self._process is not None and not self._process.has_ended:
            return self._process
        if self._process is not None:
            await self._fail(self._killed or f"has ended: {self._process.ending}")
        if self.missing():
            raise RunnerUnavailableError(self._named, "lacks files", "Deploy its package again.")
        pause = self._paused_until - time.monotonic()
        if pause > 0:
            raise RunnerUnavailableError(
                self._named,
                f"{self._reason}; it starts again in {pause:.1f} seconds",
                "Ask again then, or register another version.",
            )
        return await self._start()

    async def _start(self) -> CodeProcess:
        self._starting, self._killed = True, ""
        self._started = time.monotonic()
        limit = self._home.settings.runner_start_seconds
        try:
            process = self._process = CodeProcess.start(self._command(), self._options())
            async with asyncio.timeout(limit):
                await process.connect(self._configuration())
        except TimeoutError as error:
            raise await self._fail(f"was not loaded within {limit:g} seconds") from error
        except ProcessEndedError as error:
            raise await self._fail(self._killed or f"has ended: {error}") from error
        except CodeFailedError as error:
            raise await self._fail(error.rule) from error
        except OSError as error:
            raise await self._fail(f"cannot be started: {error}") from error
        finally:
            self._starting = False
        self._has_failed = False
        return process

    async def _fail(self, reason: str) -> CodeFailedError:
        """End it and begin its pause; return the error."""
        if time.monotonic() - self._started > _LONGEST_PAUSE:
            self._pause = _FIRST_PAUSE
        await self._end()
        self._reason, self._restarts, self._has_failed = reason, self._restarts + 1, True
        self._paused_until = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        logger.warning("%s %s", self._named, reason)
        return CodeFailedError(
            self._named, reason, "Correct the code, and register another version.", self._output
        )

    async def _end(self) -> None:
        """End all of its processes, and remove what they have written."""
        process, self._process = self._process, None
        if process is not None:
            if not process.kill():
                await asyncio.to_thread(self._home.separation.end, self.slot, self._scratch)
            await process.close()
            self._output = process.output
        await asyncio.to_thread(self._home.separation.end, self.slot, self._scratch)

    async def remove(self) -> None:
        """End it, and remove its files."""
        async with self._lock:
            await self._end()
            await asyncio.to_thread(self._remove_files)

    def _remove_files(self) -> None:
        try:
            # Another user's folder can be removed, and not be looked into.
            self._scratch.rmdir()
            shutil.rmtree(self._folder)
        except OSError:
            logger.exception("Files of %s are left", self._named)

    async def rest(self) -> None:
        """End its processes until the next request, unless it is answering one."""
        if self._process is not None and not self._lock.locked():
            async with self._lock:
                await self._end()

    def kill(self, reason: str) -> None:
        """End all of its processes for a reason, with which the request that waits is answered."""
        # The first one counts: what is ended for it is found ended afterwards.
        self._killed = self._killed or reason
        process = self._process
        if process is not None:
            process.kill()
            # Those that it has started keep what leads to it open.
            self._home.separation.end(self.slot, self._scratch)

    @property
    def has_ended(self) -> bool:
        """True if its first process has ended by itself."""
        process = self._process
        return process is not None and process.has_ended

    @property
    def root(self) -> int | None:
        """Id of its first process, if it has one."""
        process = self._process
        return None if process is None else process.pid

    @property
    def scratch(self) -> Path:
        """Folder that it may write to."""
        return self._scratch

    @property
    def _named(self) -> str:
        return f"The version {self.digest[:12]}"

    def _options(self) -> dict[str, Any]:
        scratch = str(self._scratch)
        threads = str(self._home.settings.runner_cpus)
        return {
            "cwd": "/",
            "env": _ENVIRONMENT
            | dict.fromkeys(_THREADS, threads)
            | {"HOME": scratch, "TMPDIR": scratch, "XDG_CACHE_HOME": scratch},
            **self._home.separation.options(self.slot),
        }

    def _command(self) -> list[str]:
        command = [self._python, "-I", "-S", "-u", child.__file__]
        readable = [*self._readable(), child.__file__]
        return [*self._home.separation.command(command, readable, self._scratch)]

    def _readable(self) -> list[str]:
        return readable_paths(str(self._code), str(self._environment), prefix_of(self._python))

    def _configuration(self) -> dict[str, Any]:
        package, settings = self.package, self._home.settings
        processors = sorted(os.sched_getaffinity(0))
        first = self.slot * settings.runner_cpus
        chosen = {
            processors[(first + number) % len(processors)] for number in range(settings.runner_cpus)
        }
        return {
            "form": package.form,
            "folder": str(self._code),
            "entry": package.entry,
            "function": package.function,
            "outputs": [column.name for column in package.outputs],
            "times": [column.name for column in package.inputs if column.type == "time"],
            "site": str(self._environment / SITE),
            "scratch": str(self._scratch),
            "readable": self._readable(),
            "writable": writable_paths(str(self._scratch)),
            "values": self._values,
            "processors": sorted(chosen),
            "bounds": {
                "RLIMIT_DATA": settings.runner_memory_bytes,
                "RLIMIT_NPROC": settings.runner_processes,
                "RLIMIT_FSIZE": settings.runner_file_bytes,
                "RLIMIT_NOFILE": 512,
                "RLIMIT_CORE": 0,
                "RLIMIT_MEMLOCK": 0,
                "RLIMIT_MSGQUEUE": 0,
            },
        }

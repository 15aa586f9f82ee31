"""All versions of a runner, and the watch over their memory and files."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from model_loop.errors import InvalidInputError
from model_loop.runner.client import CodeState
from model_loop.runner.errors import RunnerUnavailableError
from model_loop.runner.package import CodePackage
from model_loop.runner.separation import Separation, memory_of, read_statuses
from model_loop.runner.version import CodeVersion, VersionContext
from model_loop.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds between two looks at memory and files.
_WATCH_SECONDS = 0.25


class UnknownCodeError(RunnerUnavailableError):
    """No such version was deployed since the runner was started."""


class Supervisor:
    """The versions of a runner.

    Parameters
    ----------
    folder
        An empty folder of their files, which other users may pass and not read.
    """

    def __init__(self, folder: Path, separation: Separation, settings: Settings) -> None:
        self._home = VersionContext(folder, separation, settings)
        self._versions: dict[str, CodeVersion] = {}
        self._deploying = asyncio.Lock()
        self._warming: set[asyncio.Task[None]] = set()
        self._unused = self._free_bytes()

    def find(self, digest: str) -> CodeVersion:
        """Return a version.

        Raises
        ------
        UnknownCodeError
            If it was not deployed.
        """
        if digest not in self._versions:
            raise UnknownCodeError(
                f"The version {digest[:12]}", "is not deployed here", "Deploy its package first."
            )
        return self._versions[digest]

    async def deploy(
        self, digest: str, package: CodePackage, values: Mapping[str, str]
    ) -> list[str]:
        """Take a package; return the digests of files that are missing.

        Parameters
        ----------
        digest
            See `version_digest`.

        Raises
        ------
        InvalidInputError
            If values are missing, or the package cannot run here.
        RunnerUnavailableError
            If there are as many versions as there may be, and all are asked.
        """
        if {*values} != {*package.variables}:
            raise InvalidInputError(
                f"Values of {', '.join(sorted(values)) or 'nothing'}",
                f"are not those that the package names: {', '.join(package.variables) or 'none'}",
                "Set each of them.",
            )
        async with self._deploying:
            version = self._versions.get(digest)
            if version is None:
                slot = await self._free_slot()
                version = CodeVersion(digest, package, values, slot, self._home)
                self._versions[digest] = version
        missing = version.missing()
        if not missing:
            self.warm(version)
        return missing

    def warm(self, version: CodeVersion) -> None:
        """Start a version in the background."""
        task = asyncio.create_task(version.warm())
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    async def stop(self, digest: str) -> None:
        """End a version and remove its files."""
        if (version := self._versions.get(digest)) is not None:
            # Until its processes are gone, its user id is no other version's.
            await version.remove()
            if self._versions.get(digest) is version:
                del self._versions[digest]

    def states(self) -> list[CodeState]:
        """Return how each version is."""
        statuses = read_statuses()
        return [version.state(statuses) for version in [*self._versions.values()]]

    async def close(self) -> None:
        """End all versions, even if one of them cannot be ended."""
        for digest, version in [*self._versions.items()]:
            try:
                # A version that loads or computes would hold `stop` up.
                await asyncio.to_thread(version.kill, "was ended with the runner")
                await self.stop(digest)
            except Exception:
                logger.exception("The version %s is not ended cleanly", digest[:12])

    async def watch(self) -> None:
        """Look after all versions until cancelled."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                await asyncio.to_thread(self._look)
                await self._rest_idle()
            except Exception:
                # Without it no version would be ended for what it takes.
                logger.exception("The watch over the versions has failed, and goes on")

    def _look(self) -> None:
        """End versions that take too much."""
        settings, separation = self._home.settings, self._home.separation
        running = [
            (version, root)
            for version in [*self._versions.values()]
            if (root := version.root) is not None
        ]
        statuses = read_statuses() if running else {}
        for version, root in running:
            members = separation.processes(version.slot, root, statuses)
            if version.has_ended:
                version.kill("")
            elif memory_of(members, statuses) > settings.runner_memory_bytes:
                version.kill(f"has taken more than {settings.runner_memory_bytes} bytes of memory")
        # Only where all of them together have written so much may one have.
        if self._unused - self._free_bytes() < settings.runner_file_bytes:
            return
        for version, _ in running:
            written = separation.written(version.slot, version.scratch)
            if written > settings.runner_file_bytes:
                version.kill(f"has written more than {settings.runner_file_bytes} bytes of files")

    async def _rest_idle(self) -> None:
        idle = self._home.settings.runner_idle_seconds
        for version in [*self._versions.values()]:
            if time.monotonic() - version.asked > idle:
                await version.rest()

    async def _free_slot(self) -> int:
        """Return a number that no version has; the one that was idle for longest may go."""
        most = self._home.settings.runner_versions
        if len(self._versions) >= most:
            idle = [one for one in self._versions.values() if one.root is None]
            if not idle:
                raise RunnerUnavailableError(
                    f"A further version beside {most}",
                    "cannot be deployed: all of them are in use",
                    "Retire one, or raise MODEL_LOOP_RUNNER_VERSIONS.",
                )
            await self.stop(min(idle, key=lambda one: one.asked).digest)
        slots = {version.slot for version in self._versions.values()}
        return next(number for number in range(most) if number not in slots)

    def _free_bytes(self) -> int:
        usage = os.statvfs(self._home.folder)
        return usage.f_bfree * usage.f_frsize

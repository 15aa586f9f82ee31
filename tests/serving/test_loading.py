"""Changes that need no loading are applied at once, while another version loads."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serving.conftest import TRIP, Server

from model_loop.tracking.deployments import Deployment

Make = Callable[..., Server]
#: Two seconds are promised, and servers of this test look ten times a second.
PROMISED_SECONDS = 2.0


def answered(server: Server) -> tuple[int, int | None]:
    """Status of a prediction, and the version that has answered."""
    response = server.ask("POST", "/predict", json=TRIP)
    told: Any = response.json()
    return response.status_code, told[0]["model_version"] if response.is_success else None


def wait_for(server: Server, wanted: tuple[int, int | None]) -> None:
    """Predict until the answer is as wanted; fail when the promised time is over."""
    deadline = time.monotonic() + PROMISED_SECONDS
    while (found := answered(server)) != wanted:
        assert time.monotonic() < deadline, f"{found}, not {wanted}"
        time.sleep(0.05)


def ready(server: Server, version: int) -> bool:
    """Return whether `/models` says that a version is ready."""
    told: list[dict[str, Any]] = server.ask("GET", "/models").json()["versions"]
    return any(one["ready"] for one in told if one["version"] == version)


@pytest.fixture
def server(make_server: Make) -> Server:
    """A server whose champion is version 1 after version 2, and that looks ten times a second."""
    made = make_server(Deployment(champion=2), refresh_seconds=0.1)
    made.registry.now = Deployment(champion=1)
    wait_for(made, (200, 1))
    return made


@pytest.mark.parametrize("part", ["champion", "challenger", "shadow"])
def test_disable_and_rollback_wait_for_no_version(server: Server, part: str) -> None:
    """While a version does not come, another can be disabled, enabled, and rolled back to."""
    server.registry.stuck = {3}
    parts: dict[str, Any] = {"champion": 1, part: 3}
    server.registry.now = Deployment(**parts)
    time.sleep(0.3)
    assert answered(server) == (200, 1)
    server.registry.now = Deployment(**parts, enabled=False)
    wait_for(server, (503, None))
    server.registry.now = Deployment(**parts)
    wait_for(server, (200, 1))
    server.registry.now = Deployment(**{**parts, "champion": 2})
    wait_for(server, (200, 2))


def test_a_champion_waits_for_no_challenger(server: Server) -> None:
    """A version that has to be loaded does not queue behind one that does not come."""
    server.registry.stuck = {98, 99}
    server.registry.now = Deployment(champion=1, challenger=98, shadow=99, share=0.5)
    time.sleep(0.3)
    server.registry.now = Deployment(champion=3, challenger=98, shadow=99, share=0.5)
    wait_for(server, (200, 3))
    # What is not wanted any more is given up, and takes no place of another.
    server.registry.now = Deployment(champion=3, shadow=2)
    wait_for(server, (200, 3))
    deadline = time.monotonic() + PROMISED_SECONDS
    while not ready(server, 2):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_cannot_be_loaded_is_tried_less_and_less(server: Server) -> None:
    """Each try costs seconds of a processor; the reason is shown all the time."""
    server.registry.tries.clear()
    server.registry.now = Deployment(champion=1, challenger=99, share=0.5)
    time.sleep(1.0)
    assert server.registry.tries == [99]
    assert server.ask("GET", "/readyz").json()["versions_that_cannot_be_loaded"] == [99]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_holds_up_no_decision(
    make_server: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The state cannot be stored for a later start: the log says so, and decisions count."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", str(disk)]
    subprocess.run(mount, check=True)
    try:
        server = make_server(Deployment(champion=2), refresh_seconds=0.1, folder=disk)
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(65_536)):
                pass
        for champion in (1, 2, 3):
            server.registry.now = Deployment(champion=champion)
            wait_for(server, (200, champion))
        time.sleep(0.5)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    said = [one for one in caplog.records if "No space left" in one.getMessage()]
    assert {one.levelname for one in said} == {"WARNING"}
    assert not [one for one in caplog.records if one.exc_info]

"""Settings of the runner, which runs models with code of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from model_loop.settings.part import Part


def _default_environments_folder(known: dict[str, Any]) -> Path:
    return Path(known["state"]).resolve() / "environments"


class RunnerSettings(Part):
    """Settings of the runner of code."""

    runner_address: str = Field(
        default="",
        title="Address of the runner",
        description="Address of `model-loop runner`, such as http://runner:8095, which runs models "
        "with code of their own; empty for none.",
    )
    runner_token: str = Field(
        default="",
        repr=False,
        title="Token of the runner",
        description="Token that callers of the runner send.",
    )
    runner_token_sha256: str = Field(
        default="",
        title="Digest of the runner's token",
        description="SHA-256 of that token: all that the runner itself knows of it.",
    )
    runner_host: str = Field(
        default="127.0.0.1",
        title="Network address of the runner",
        description="Network address that `model-loop runner` listens on; 0.0.0.0 for all.",
    )
    runner_port: int = Field(
        default=8095, ge=1, le=65_535, title="Runner port", description="Port of the runner."
    )
    environments_folder: Path = Field(
        default_factory=_default_environments_folder,
        title="Folder of environments",
        description="Folder of the environments of code packages. A task or a command builds them, "
        "the runner reads them.",
    )
    runner_versions: int = Field(
        default=20,
        ge=1,
        le=1_000,
        title="Versions with code",
        description="Most versions with code of their own that the runner holds at once.",
    )
    runner_first_user: int = Field(
        default=40_000,
        ge=1_000,
        le=60_000,
        title="First user id of versions with code",
        description="Each version runs under a user id of its own: this number, and those above "
        "it. They belong to nobody else, and to no other runner of the machine.",
    )
    runner_memory_bytes: int = Field(
        default=2_147_483_648,
        ge=67_108_864,
        title="Memory of a version with code",
        description="Bytes that all processes of a version may take together.",
    )
    runner_processes: int = Field(
        default=64,
        ge=4,
        title="Processes of a version with code",
        description="Processes and threads that a version may have at once.",
    )
    runner_cpus: int = Field(
        default=2,
        ge=1,
        title="Processors of a version with code",
        description="Processors that the processes of a version may use.",
    )
    runner_file_bytes: int = Field(
        default=268_435_456,
        ge=1_048_576,
        title="Files of a version with code",
        description="Bytes of all files that a version may write; they are kept in memory.",
    )
    runner_start_seconds: float = Field(
        default=120.0,
        gt=0,
        title="Start of a version with code",
        description="Seconds in which its code has to be loaded.",
    )
    runner_seconds: float = Field(
        default=30.0,
        gt=0,
        title="Time for an answer of code",
        description="Most seconds of an answer. A version that takes longer is ended and started "
        "again.",
    )
    runner_file_seconds: float = Field(
        default=3_600.0,
        gt=0,
        title="Time for a file, by code",
        description="Most seconds in which a version scores a file.",
    )
    runner_idle_seconds: float = Field(
        default=1_800.0,
        gt=0,
        title="Idle time of a version with code",
        description="Seconds without a request after which its processes are ended; the next "
        "request starts them.",
    )

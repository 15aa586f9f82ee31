"""Bounds of files that are sent, and what a look at one has found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from model_loop.errors import ErrorFields, InvalidInputError
from model_loop.settings import Settings
from model_loop.tables.opening import Compression, FileKind

#: Name of a file in errors.
SENT = "The file"
#: Memory and time of the process that looks at a file.
_MEMORY = 2**30
_SECONDS = 60.0


class FileBounds(msgspec.Struct, frozen=True):
    """Bounds of a file.

    Parameters
    ----------
    size
        Bytes as it is sent.
    unpacked
        Bytes when it is unpacked; of Parquet, as its footer says.
    rows
        Number of rows; of texts, of lines.
    memory, seconds
        Bytes and processor time that a look at it may take.
    """

    size: int
    unpacked: int
    rows: int
    memory: int = _MEMORY
    seconds: float = _SECONDS

    @classmethod
    def of(cls, settings: Settings) -> FileBounds:
        """Return the bounds of the settings."""
        return cls(
            settings.batches_max_bytes, settings.batches_unpacked_bytes, settings.batches_max_rows
        )


class FileInspection(msgspec.Struct, frozen=True):
    """Contents of a file.

    Parameters
    ----------
    kind, compression
        Format, and how it is packed.
    rows
        Number of rows; None of texts, whose rows are counted when they are read.
    """

    kind: FileKind
    compression: Compression
    rows: int | None


class InspectionAnswer(msgspec.Struct):
    """The answer of the process: the contents of the file, or the reason for a refusal."""

    looked: FileInspection | None = None
    error: ErrorFields | None = None


def inspect_file(path: Path, bounds: FileBounds) -> FileInspection:
    """Inspect a file in a separate process; see `inspection`.

    Raises
    ------
    InvalidInputError
        If it is refused, or the process has ended without an answer.
    """
    command = [sys.executable, "-m", "model_loop.serving.batches.inspection", str(path)]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command,
            input=msgspec.json.encode(bounds),
            capture_output=True,
            timeout=bounds.seconds,
            check=True,
        )
        answer = msgspec.json.decode(done.stdout, type=InspectionAnswer)
    except (subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise InvalidInputError(
            SENT,
            "cannot be read within the time and the memory that a look at it may take",
            "Write it again, with smaller row groups, or send parts.",
        ) from error
    if answer.looked is None:
        told = answer.error or {"given": SENT, "rule": "is refused", "remedy": "Send another."}
        raise InvalidInputError(told["given"], told["rule"], told["remedy"])
    return answer.looked

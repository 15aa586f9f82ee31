"""A process that answers questions, for the tests of how one is asked."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from model_loop.dashboard.worker import serve_lookups

_BOTH = threading.Barrier(2)
_RELEASED = threading.Event()


def pid() -> int:
    """The number of this process."""
    return os.getpid()


def say(text: str) -> dict[str, str]:
    """A value, after a line that is no answer."""
    print("noise of a library", flush=True)  # noqa: T201 - libraries do
    return {"text": text}


def document(size: int | None) -> bytes | None:
    """Bytes with ends of lines in them; None for none."""
    return None if size is None else b"a\nb" * size


def fail(message: str) -> None:
    """Nothing but an error."""
    raise KeyError(message)


def meet() -> bool:
    """An answer that needs another question at the same time."""
    _BOTH.wait(20)
    return True


def hold() -> bool:
    """An answer that comes when it is released."""
    return _RELEASED.wait(20)


def release() -> None:
    """Let what is held go."""
    _RELEASED.set()


def rest(seconds: float) -> bool:
    """Answer after a while."""
    time.sleep(seconds)
    return True


def hang(marker: str = "") -> None:
    """Give no answer, and leave a file as soon as the question has come."""
    if marker:
        Path(marker).touch()
    time.sleep(60)


def end() -> None:
    """The end of the process, at once."""
    os._exit(7)


if __name__ == "__main__":
    serve_lookups(
        {
            one.__name__: one
            for one in (
                pid,
                say,
                document,
                fail,
                meet,
                hold,
                release,
                rest,
                hang,
                end,
            )
        }
    )

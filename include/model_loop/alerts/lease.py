"""A right that a single process has at a time, on file systems and on object stores."""

from __future__ import annotations

import time

from upath import UPath

from model_loop.objects.files import create_file, files_in

_POLL_SECONDS = 0.2


class SendLease:
    """A right to send, which lapses by itself if its holder is killed.

    Time is divided into slots. A process acquires the lease by creating the file of the present
    slot, which fails if it exists, and then finding the slots before and after it free. No process
    reads, replaces or removes the file of another, so that nothing has to be repaired.

    Parameters
    ----------
    folder
        Holds the files of the slots.
    seconds
        Length of a slot: a lease that is not released lapses after one to two of them.
    """

    def __init__(self, folder: UPath, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds

    def acquire(self, patience_seconds: float = 0.0) -> UPath | None:
        """Acquire the lease.

        Parameters
        ----------
        patience_seconds
            How long to wait for its release.

        Returns
        -------
        UPath or None
            The file whose removal releases the lease; None if another process has it.
        """
        until = time.monotonic() + patience_seconds
        while (path := self._claim()) is None and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        return path

    def _claim(self) -> UPath | None:
        slot = int(time.time() // self.seconds)
        path = self.folder / _name(slot)
        try:
            create_file(path, b"")
        except FileExistsError:
            return None
        # Two processes may lie on both sides of a boundary: the later to create sees the other's
        # file.
        if {_name(slot - 1), _name(slot + 1)} & {other.name for other in files_in(self.folder)}:
            path.unlink(missing_ok=True)
            return None
        return path


def _name(slot: int) -> str:
    return f"{slot:012d}"

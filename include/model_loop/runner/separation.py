"""Ways to keep the processes of a version apart from everything else.

Each of them confines itself first (`child.confine`): files by Landlock, networks and the kernel by
seccomp. Processes are kept apart by a user id for each version where the runner may change its own,
as in its container, and by bubblewrap elsewhere. If neither works, no code is run.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from model_loop.errors import InvalidInputError
from model_loop.runner import child
from model_loop.runner.pythons import pythons

_PROBE_SECONDS = 60
#: Files that every version may read.
_SHARED = (
    *("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/certs"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/dev/urandom"),
)
_DEVICES = ("/dev/null", "/dev/zero")
_CLEAR = 'chmod -R u+rwx -- "$0"; find "$0" -mindepth 1 -delete'
_END = f"kill -s KILL -- -1 2>/dev/null; {_CLEAR}"
#: Looks, and seconds between two, until processes that were killed are gone. Until then they count
#: among those that the next version may have.
_LOOKS, _LOOK_SECONDS = 20, 0.02


Statuses = dict[int, dict[str, str]]
"""Lines that the kernel says of processes, by their ids; see `read_statuses`."""


class Separation(Protocol):
    """A way to keep the processes of versions apart."""

    name: str

    def command(
        self, command: Sequence[str], readable: Sequence[str], scratch: Path
    ) -> Sequence[str]:
        """Return the command that runs another one apart."""

    def options(self, slot: int) -> dict[str, Any]:
        """Return the options of `subprocess` for a process of a version."""

    def hand_over(self, path: Path, slot: int, *, owner: bool = False) -> None:
        """Let a version read a file or folder, or own it."""

    def end(self, slot: int, scratch: Path) -> None:
        """End all processes of a version, and remove what it has written."""

    def processes(self, slot: int, root: int, statuses: Statuses) -> set[int]:
        """Return the ids of all processes of a version, whose first one is *root*."""

    def written(self, slot: int, scratch: Path) -> int:
        """Return the bytes that a version has written."""

    def end_left(self, slots: int) -> None:
        """End what versions have left of a runner before that was killed."""


class UserIds:
    """A user id for each version.

    Parameters
    ----------
    first
        User id of the first one.

    Raises
    ------
    OSError
        If another runner of the machine uses these ids: ending a version would end its versions.
    """

    name = "user ids"

    def __init__(self, first: int) -> None:
        self._first = first
        # The kernel frees the name with this process.
        self._claim = socket.socket(socket.AF_UNIX)
        self._claim.bind(f"\0model-loop-runner-{first}")

    def command(
        self, command: Sequence[str], readable: Sequence[str], scratch: Path
    ) -> Sequence[str]:
        """Return the command itself."""
        del readable, scratch
        return command

    def options(self, slot: int) -> dict[str, Any]:
        """Return the user, the group, and no further group."""
        user = self._first + slot
        return {"user": user, "group": user, "extra_groups": (), "umask": 0o077}

    def hand_over(self, path: Path, slot: int, *, owner: bool = False) -> None:
        """Change the group, and perhaps the owner."""
        user = self._first + slot
        os.chown(path, user if owner else -1, user)

    def end(self, slot: int, scratch: Path) -> None:
        """Let a process of the same user end all others: no fork escapes it."""
        subprocess.run(  # noqa: S603 - our own words
            ["/bin/sh", "-c", _END, str(scratch)],
            check=False,
            stderr=subprocess.DEVNULL,
            **self.options(slot),
        )
        for _ in range(_LOOKS):
            if not self.processes(slot, 0, read_statuses()):
                return
            time.sleep(_LOOK_SECONDS)

    def written(self, slot: int, scratch: Path) -> int:
        """Let a process of the same user look."""
        return _measure(scratch, self.options(slot))

    def end_left(self, slots: int) -> None:
        """End all processes of the users: no other runner has them."""
        statuses = read_statuses()
        with tempfile.TemporaryDirectory() as nothing:
            for slot in range(slots):
                if self.processes(slot, 0, statuses):
                    self.end(slot, Path(nothing, "none"))

    def processes(self, slot: int, root: int, statuses: Statuses) -> set[int]:
        """Return all processes of the user."""
        del root
        user = str(self._first + slot)
        return {pid for pid, status in statuses.items() if status["Uid"].split()[0] == user}


class Bubblewrap:
    """Namespaces for each version, made by bubblewrap.

    Raises
    ------
    OSError
        If it is not installed.
    """

    name = "bubblewrap"

    def __init__(self) -> None:
        if shutil.which("bwrap") is None:
            raise OSError("bubblewrap: it is not installed")

    def command(
        self, command: Sequence[str], readable: Sequence[str], scratch: Path
    ) -> Sequence[str]:
        """Return a command with nothing but these files, and without networks."""
        binds = [word for path in readable for word in ("--ro-bind-try", path, path)]
        return [
            *("bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *("--proc", "/proc", "--dev", "/dev", *binds, "--bind", str(scratch), str(scratch)),
            *("--chdir", str(scratch), "--", *command),
        ]

    def options(self, slot: int) -> dict[str, Any]:
        """Return nothing but the mask of new files."""
        del slot
        return {"umask": 0o077}

    def hand_over(self, path: Path, slot: int, *, owner: bool = False) -> None:
        """Change nothing: the files belong to the runner's user, as its processes do."""

    def end(self, slot: int, scratch: Path) -> None:
        """Remove the files; the processes end with the first of their namespace."""
        del slot
        subprocess.run(["/bin/sh", "-c", _CLEAR, str(scratch)], check=False)  # noqa: S603 - our own words

    def written(self, slot: int, scratch: Path) -> int:
        """Look at the files."""
        return _measure(scratch, self.options(slot))

    def end_left(self, slots: int) -> None:
        """Do nothing: all processes of a version end with the runner."""

    def processes(self, slot: int, root: int, statuses: Statuses) -> set[int]:
        """Return the first process and all its descendants."""
        del slot
        parents = {pid: int(status["PPid"]) for pid, status in statuses.items()}
        members, size = {root}, 0
        while size < len(members):
            size = len(members)
            members |= {pid for pid, parent in parents.items() if parent in members}
        return members


def readable_paths(*further: str) -> list[str]:
    """Return the files that a version may read: shared ones, those of its Python, further ones."""
    return [*_SHARED, *further]


def writable_paths(scratch: str) -> list[str]:
    """Return the files that a version may write."""
    return [*_DEVICES, scratch]


def choose_separation(first_user: int) -> Separation:
    """Return the first way that works here, as a process shows that tries to break out.

    Parameters
    ----------
    first_user
        User id of the first version.

    Raises
    ------
    InvalidInputError
        If none does; it says why.
    """
    reasons = []
    ways: tuple[Callable[[], Separation], ...] = (lambda: UserIds(first_user), Bubblewrap)
    for make in ways:
        try:
            way = make()
            _require_working(way)
        except OSError as error:
            reasons.append(str(error))
        else:
            return way
    raise InvalidInputError(
        "Code of its own",
        f"cannot be kept apart here ({'; '.join(reasons)})",
        "Run it in the container `runner` of the compose file, or install bubblewrap on a Linux "
        "that lets users make namespaces and has Landlock.",
    )


def _require_working(way: Separation) -> None:
    """Raise an `OSError` if a way does not work here."""
    with tempfile.TemporaryDirectory(prefix="model-loop-probe-") as folder:
        # Others have to pass it.
        Path(folder).chmod(0o711)
        scratch = Path(folder, "scratch")
        scratch.mkdir(0o700)
        readable = readable_paths(child.__file__)
        configuration = {
            "form": child.PROBE,
            "bounds": {},
            "processors": sorted(os.sched_getaffinity(0)),
            "readable": readable,
            "writable": writable_paths(str(scratch)),
            "values": {},
            "site": folder,
            "scratch": folder,
        }
        content = json.dumps(configuration).encode()
        interpreter = next(iter(pythons().values()), "python3")
        command = [interpreter, "-I", "-S", child.__file__, "1"]
        way.hand_over(scratch, 0, owner=True)
        try:
            done = subprocess.run(  # noqa: S603 - our own words
                way.command(command, readable, scratch),
                input=child.HEADER.pack(len(content), child.CONFIGURE) + content,
                capture_output=True,
                timeout=_PROBE_SECONDS,
                check=False,
                **way.options(0),
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{way.name}: {error}") from error
        finally:
            way.end(0, scratch)
            # The folder of another user can be removed, and not be looked into.
            scratch.rmdir()
    header = child.HEADER.size
    if done.stdout[header - 1 : header] != child.READY:
        said = (done.stdout[header:] or done.stderr[-500:]).decode(errors="replace").strip()
        raise OSError(f"{way.name}: {said or f'exit code {done.returncode}'}")


def _measure(scratch: Path, options: dict[str, Any]) -> int:
    command = ["du", "--summarize", "--block-size=1", "--", str(scratch)]
    done = subprocess.run(  # noqa: S603 - our own words
        command, capture_output=True, text=True, check=False, **options
    )
    return int(done.stdout.split()[0]) if done.stdout.strip() else 0


def memory_of(processes: set[int], statuses: Statuses) -> int:
    """Return the bytes of memory of some processes, without what they share with files."""
    return sum(
        1024 * int(statuses[pid].get(field, "0 kB").split()[0])
        for pid in processes & {*statuses}
        for field in ("RssAnon", "RssShmem")
    )


def read_statuses() -> Statuses:
    """Return what the kernel says of every process, also of those that hide their folders."""
    statuses = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # A process names itself, with any bytes.
                lines = (folder / "status").read_text(errors="surrogateescape").splitlines()
            except OSError:
                # It has ended.
                continue
            parts = (line.partition(":\t") for line in lines)
            statuses[int(folder.name)] = {name: value.strip() for name, _, value in parts}
    return statuses

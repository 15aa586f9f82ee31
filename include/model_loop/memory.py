"""Memory that this process may still have: of its control group, or of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MEMINFO, _GROUPS, _ROOT = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
#: Files of a control group, by version: its limit and what it uses, pages of files among them.
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory() -> int | None:
    """Return the bytes that processes may still have; None where the system does not say.

    Containers and units of a service manager have a limit of their own, which the machine's free
    memory does not show.
    """
    found = [*_of_groups()]
    if (machine := _of_machine()) is not None:
        found.append(machine)
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    available = known.get("MemAvailable", "").split()
    return int(available[0]) * 1024 if available else None


def _of_groups() -> Iterator[int]:
    """Yield what is left of each limit above this process."""
    for folder in _folders():
        for limit, used, reclaimable in _FILES:
            try:
                most = (folder / limit).read_text(encoding="ascii").strip()
                now = int((folder / used).read_text(encoding="ascii"))
                stat = (folder / "memory.stat").read_text(encoding="ascii")
            except (OSError, ValueError):
                continue
            if most.isdecimal():
                told = dict(line.split() for line in stat.splitlines())
                # The kernel drops pages of files that were not used lately.
                yield max(int(most) - now + int(told.get(reclaimable, 0)), 0)


def _folders() -> Iterator[Path]:
    """Yield the folders of the memory groups of this process, from its own to the root."""
    try:
        lines = _GROUPS.read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _ROOT / "memory" if controllers else _ROOT
        # In a container, the path may be that on the host: its own group is the root then.
        group = root / path.strip("/")
        yield group
        yield from (above for above in group.parents if above.is_relative_to(root))

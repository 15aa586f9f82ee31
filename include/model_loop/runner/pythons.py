"""Interpreters that are at hand for versions with code."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from model_loop.errors import look_up

#: Minor versions of Python 3 that are looked for.
_MINORS = range(9, 20)
#: Permission of everybody else to pass a folder, or run a file.
_BY_OTHERS = 0o001


@functools.cache
def pythons() -> Mapping[str, str]:
    """Return the path of each interpreter by its version, such as 3.11.

    Versions run under their own user ids, so a Python in somebody's home is not used.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"))
    found = {}
    for version in (f"3.{minor}" for minor in _MINORS):
        candidates = [getattr(sys, "_base_executable", "")] if version == own else []
        folders = path.split(os.pathsep)
        candidates += [shutil.which(f"python{version}", path=one) or "" for one in folders]
        for candidate in map(os.path.realpath, filter(None, candidates)):
            # A virtual environment is linked to the one that it was made from.
            if _reachable(candidate):
                found[version] = candidate
                break
    return MappingProxyType(found)


def find_python(version: str) -> str:
    """Return the path of the interpreter of a version.

    Raises
    ------
    InvalidInputError
        If there is none; it names those that there are.
    """
    return look_up("Python", version, pythons())


def prefix_of(python: str) -> str:
    """Return the folder of an interpreter's library."""
    return str(Path(python).parents[1])


def _reachable(path: str) -> bool:
    return all(folder.stat().st_mode & _BY_OTHERS for folder in (Path(path), *Path(path).parents))

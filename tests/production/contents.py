"""What the image installs, and a Python that has nothing else: as the image's own."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.production.compose import ROOT

#: Our packages: neither is a distribution of the image of its own name.
OURS = frozenset({"model_loop", "trip_duration"})
#: Parts of a name by which distributions differ that share a package: `airflow.providers.git`.
_DEPTH = 3

#: Refuses what the image lacks, in every Python that has this file's folder on its path.
_REFUSAL = '''"""Refuse imports of what the image lacks."""
import importlib.abc
import sys

LACKING = frozenset({lacking!r})


class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in LACKING:
            raise ModuleNotFoundError(f"No module named {{name!r}} in the image", name=name)


sys.meta_path.insert(0, Refusal())
'''


@functools.cache
def installed() -> frozenset[str]:
    """Names of the distributions that the image's extra asks for, directly or not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    own = canonicalize_name(project["name"])
    waiting = [*project["dependencies"], f"{own}[production]"]
    found: set[tuple[str, str]] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            marker = requirement.marker
            if (name, extra) in found or (marker and not marker.evaluate({"extra": ""})):
                continue
            found.add((name, extra))
            waiting += extras.get(extra, ()) if name == own else _asked_for(name, extra)
    return frozenset(name for name, _ in found) - {own}


def _asked_for(name: str, extra: str) -> Iterator[str]:
    """Yield what a distribution asks for with an extra, without its marker."""
    for text in importlib.metadata.distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            requirement.marker = None
            yield str(requirement)


def lacking() -> frozenset[str]:
    """Modules and packages of this environment that the image has not."""
    return _here()[False] - _here()[True] - OURS


def without_the_rest(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment whose Pythons refuse to import what the image lacks.

    Parameters
    ----------
    folder
        Where the refusal is written.
    environment
        What is told besides.
    """
    folder.mkdir(exist_ok=True)
    text = _REFUSAL.format(lacking=sorted(lacking()))
    (folder / "sitecustomize.py").write_text(text)
    path = [str(folder), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}


def foreign(names: Iterable[str]) -> set[str]:
    """Names of modules that the image has not: neither Python's, nor installed, nor ours."""
    known = {*sys.stdlib_module_names, *OURS, *_here()[True]}
    return {name for name in names if name.split(".")[0] not in known}


@functools.cache
def _here() -> Mapping[bool, frozenset[str]]:
    """Names of this environment's modules, by whether the image has them."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for one in importlib.metadata.distributions():
        found[canonicalize_name(one.name) in installed()] |= _modules(one)
    return {there: frozenset(names) for there, names in found.items()}


def _modules(one: Distribution) -> set[str]:
    """Dotted names of what a distribution's files can be imported as."""
    found = set()
    for file in map(str, one.files or ()):
        if file.endswith((".py", ".so")) and not file.startswith(".."):
            *folders, last = file.split("/")[:_DEPTH]
            names = folders if last == "__init__.py" else [*folders, last.split(".")[0]]
            found |= {".".join(names[: depth + 1]) for depth in range(len(names))}
    return found

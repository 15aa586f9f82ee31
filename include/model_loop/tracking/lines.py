"""The libraries that a stored model was made by, and whether those that are installed may read it.

A model of one line of a library (its first two numbers, such as 3.2) is another model when another
line reads it: predictions differ, and nothing says so.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path

from model_loop.errors import StoredObjectError

SKLEARN, XGBOOST = "scikit-learn", "xgboost"

#: Two packages bring this module; see pyproject.toml.
_BOOSTERS = ("xgboost-cpu", "xgboost")
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\d[^\s;#]*)")


class OtherLineError(StoredObjectError):
    """A stored model was made by another line of a library than is installed."""


def installed_boosters() -> list[str]:
    """Name the package that XGBoost comes as, in a list; empty where it is not installed."""
    # Asked by name: reading the metadata of every package there is takes a second.
    return [name for name in _BOOSTERS if any(importlib.metadata.distributions(name=name))][:1]


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that decide what a stored model says."""
    found = {SKLEARN: importlib.metadata.version(SKLEARN)}
    for name in installed_boosters():
        found[XGBOOST] = importlib.metadata.version(name)
    return found


def stored_versions(folder: Path) -> dict[str, str]:
    """Return the library versions that a stored MLflow model requires; none if it names none."""
    requirements, found = folder / "requirements.txt", dict[str, str]()
    if not requirements.exists():
        return found
    for written in requirements.read_text(encoding="utf-8").splitlines():
        pinned = _PINNED.match(written.strip())
        if pinned is None:
            continue
        name = XGBOOST if pinned["name"] in _BOOSTERS else pinned["name"]
        if name in {SKLEARN, XGBOOST}:
            found[name] = pinned["version"]
    return found


def require_same_line(model_name: str, stored: Mapping[str, str], library: str) -> None:
    """Check that a stored model was made by the line of a library that is installed.

    Parameters
    ----------
    model_name
        Name of the model in errors.
    stored
        Versions of its libraries; one that is not known is let pass.

    Raises
    ------
    OtherLineError
        If it was made by another line.
    """
    then, now = stored.get(library), installed_versions().get(library)
    if then is None or (now is not None and line_of(then) == line_of(now)):
        return
    raise OtherLineError(
        model_name,
        f"was made by {library} {then}, and {now or 'none'} is installed, which would make another "
        "model of it",
        f"Run the DAG retraining, or install {library} {line_of(then)}.",
    )


def line_of(version: str) -> str:
    """The line of a version: its first two numbers."""
    return ".".join(version.split(".")[:2])

"""The house: what may import what."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "include" / "model_loop"

#: Rooms in the order in which data flows through them; each may import those above it.
FLOW = (
    "masking",
    "errors",
    "background_cache",
    "days",
    "datasets",
    "findings",
    "settings",
    "options",
    "objects",
    "alerts",
    "history",
    "trips",
    "training_set",
    "models",
    "charts",
    "tracking",
    "scoring",
    "serving",
    "monitoring",
    "dashboard",
)
#: Modules that import neither data nor servers: forms and DAG files have them anyway.
LIGHT = {
    f"model_loop.{name}"
    for name in (
        "errors",
        "findings",
        "models.gate_rules",
        "models.search",
        "options",
        "settings",
        "tracking.standing",
        "training_set.recipes",
        "trips.months",
        "trips.origin",
        "trips.services",
    )
}
#: Rooms at the end of the flow, and which other end they may import.
ENDS = {"orchestration": (), "cli": (), "local": (), "production": ()}


def imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room(module: str) -> str:
    """The room of one of our modules."""
    return [*module.split("."), ""][1]


def files() -> list[Path]:
    """Every module of the library but the package itself."""
    return sorted(path for path in LIBRARY.rglob("*.py") if path != LIBRARY / "__init__.py")


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(LIBRARY)))
def test_imports_follow_the_data(file: Path) -> None:
    """A room imports only rooms that data passes before it."""
    here = file.relative_to(LIBRARY).parts[0].removesuffix(".py")
    allowed = {*FLOW[: FLOW.index(here) + 1]} if here in FLOW else {*FLOW, here, *ENDS[here]}
    ours = {room(module) for module in imports(file) if module.startswith("model_loop.")}
    assert ours <= allowed


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(LIBRARY)))
def test_only_orchestration_knows_airflow(file: Path) -> None:
    """No room but `orchestration`, and the launcher of the local scheduler, imports Airflow."""
    knows = any(module.split(".")[0] == "airflow" for module in imports(file))
    name = str(file.relative_to(LIBRARY))
    assert not knows or name.startswith("orchestration/") or name == "local/scheduler.py"


def inner_imports(file: Path) -> Iterator[str]:
    """Every module that a function of a file imports."""
    for function in ast.walk(ast.parse(file.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (name.name for name in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module


@pytest.mark.parametrize(
    "file",
    [file for file in files() if file.relative_to(LIBRARY).parts[0] == "orchestration"],
    ids=lambda file: file.name,
)
def test_what_is_light_is_imported_at_the_top(file: Path) -> None:
    """Only what would slow the reading of a DAG down is imported inside a function."""
    inner = {*inner_imports(file)}
    standard = {module for module in inner if module.split(".")[0] in sys.stdlib_module_names}
    assert standard | (inner & LIGHT) == set()


def test_every_room_has_its_place() -> None:
    """A new room is given a place in the flow."""
    rooms = {path.relative_to(LIBRARY).parts[0].removesuffix(".py") for path in files()}
    assert rooms == {*FLOW, *ENDS}

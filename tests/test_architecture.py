"""The house: what may import what."""

from __future__ import annotations

import ast
import functools
import graphlib
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
    "memory",
    "client",
    "findings",
    "settings",
    "options",
    "runner",
    "objects",
    "datasets",
    "tables",
    "databases",
    "partitions",
    "alerts",
    "sources",
    "history",
    "intervals",
    "training_set",
    "drafting",
    "models",
    "cluster",
    "charts",
    "tracking",
    "scoring",
    "coded",
    "serving",
    "monitoring",
    "erasure",
    "pipeline",
    "dashboard",
)
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


def test_the_loop_imports_no_dataset() -> None:
    """It finds those in Python by their entry points."""
    importing = {
        str(file.relative_to(LIBRARY))
        for file in files()
        if any(module.split(".")[0] == "trip_duration" for module in imports(file))
    }
    assert importing == set()


def late_imports(file: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that stands inside a function of a file."""
    for function in ast.walk(ast.parse(file.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield node


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(LIBRARY)))
def test_an_import_inside_a_function_says_why(file: Path) -> None:
    """Imports stand at the top of a module; another one has its reason beside it.

    Ruff finds what is suppressed without need, so that no reason outlives its import.
    """
    lines = file.read_text().splitlines()
    late = {node.lineno: ast.unparse(node) for node in late_imports(file)}
    if file.relative_to(LIBRARY).parts[0] == "cli":
        # All of them for one reason, which stands beside the exception in pyproject.toml.
        return
    without = [said for line, said in late.items() if " # noqa: PLC0415 - " not in lines[line - 1]]
    assert without == []


def module_of(file: Path) -> str:
    """The whole name of a module."""
    parts = file.relative_to(LIBRARY.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


@functools.cache
def imported_modules() -> dict[str, set[str]]:
    """Every module of the library with those of the library that it imports, wherever in it."""
    ours = {module_of(file) for file in files()}
    found: dict[str, set[str]] = {}
    for file in files():
        named: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                named |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    inner = f"{node.module}.{name.name}"
                    named.add(inner if inner in ours else node.module)
        found[module_of(file)] = (named & ours) - {module_of(file)}
    return found


def test_no_modules_import_each_other() -> None:
    """There is no circle of imports: neither at the top, nor inside functions, nor for types."""
    # It raises an error that names a circle.
    graphlib.TopologicalSorter(imported_modules()).prepare()


#: Folders of modules beside the library whose names are looked at.
BESIDE = (LIBRARY.parent / "trip_duration", LIBRARY.parents[1] / "benchmarks")
#: Public classes that may have the name of another one.
TWICE = {
    "DaysOnDemand": "the one of trips is the other's: Airflow has stored both paths",
}
#: Verbs that need their object, as many modules plan, judge or check something.
BARE = frozenset({"check", "fetch", "join", "judge", "keep", "make", "plan", "take"})


def definitions() -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every class and function of modules, with the path of the module."""
    for folder in (LIBRARY, *BESIDE):
        for file in sorted(folder.rglob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    yield str(file.relative_to(folder.parent)), node


def test_no_two_classes_have_one_name() -> None:
    """A name stands for one thing, so that it can be searched for; names of a module's own may."""
    homes: dict[str, list[str]] = {}
    for file, node in definitions():
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            homes.setdefault(node.name, []).append(file)
    assert {name for name, modules in homes.items() if len(modules) > 1} == {*TWICE}


def test_functions_say_what_they_judge_or_plan() -> None:
    """No function of a module is a bare verb."""
    bare: dict[str, set[str]] = {}
    for file, node in definitions():
        if node.name in BARE:
            bare.setdefault(file, set()).add(node.name)
    assert bare == {}


#: Rooms of `orchestration`, and modules beside them, in the order in which each may import others.
ORCHESTRATION = (
    *("lazy", "names", "assets", "xcom"),
    *("connections", "forms", "alerts", "registry", "loading", "schedules", "steps"),
    *("operators", "conventions", "graphs", "factory", "web", "reference"),
)


@pytest.mark.parametrize("place", range(len(ORCHESTRATION)), ids=ORCHESTRATION)
def test_rooms_of_orchestration_have_an_order(place: int) -> None:
    """The function of a task knows neither the operator around it nor the pages that show it."""
    allowed = {*ORCHESTRATION[: place + 1]}
    prefix = f"model_loop.orchestration.{ORCHESTRATION[place]}"
    for module, imported in imported_modules().items():
        if module == prefix or module.startswith(f"{prefix}."):
            ours = {name for name in imported if name.startswith("model_loop.orchestration.")}
            assert {name.split(".")[2] for name in ours} <= allowed, module


def test_every_part_of_orchestration_has_its_place() -> None:
    """A new room of `orchestration` is given a place in the order."""
    folder = LIBRARY / "orchestration"
    parts = {path.relative_to(folder).parts[0].removesuffix(".py") for path in folder.rglob("*.py")}
    assert parts - {"__init__"} == {*ORCHESTRATION}


def test_every_room_has_its_place() -> None:
    """A new room is given a place in the flow."""
    rooms = {path.relative_to(LIBRARY).parts[0].removesuffix(".py") for path in files()}
    assert rooms == {*FLOW, *ENDS}

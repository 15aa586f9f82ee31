"""Mutation testing of the rooms in `tests/mutation.toml`: `make test-mutation ROOM=gate`.

mutmut changes one thing of a function at a time (a sign, a bound, a word) and runs the tests that
call it; what no test notices has survived. It works on a copy, in the layout that it knows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("model_loop", "trip_duration")
ROOMS: Mapping[str, Mapping[str, Any]] = tomllib.loads(
    (ROOT / "tests" / "mutation.toml").read_text(encoding="utf-8")
)
#: Files that the tests read beside the package.
_BESIDE = ("tests", "dags", "plugins", "docs", "Makefile", "README.md")


def make_copy(folder: Path, room: Mapping[str, Any]) -> None:
    """Copy the project, with the settings of mutmut for a room."""
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / "include" / package, folder / "src" / package, ignore=ignored)
    for name in _BESIDE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pytest = project[project.index("[tool.pytest.ini_options]") : project.index("[tool.mypy]")]
    settings = {
        "source_paths": [f"src/{package}" for package in PACKAGES],
        "only_mutate": [f"src/{module}" for module in room["modules"]],
        "also_copy": [name for name in _BESIDE if name != "tests"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": list(room["tests"]),
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    text = "\n".join([pytest, "[tool.mutmut]", *lines, "use_git_change_detection = false", ""])
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def mutmut(folder: Path, *arguments: str, shown: bool = False, seconds: float | None = None) -> str:
    """Run a command of mutmut in the copy; return what it prints where that is not shown.

    Raises
    ------
    subprocess.TimeoutExpired
        If it takes longer than some seconds; what it has tried until then is kept.
    """
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=folder,
        timeout=seconds,
        # Machine code would run instead of what was changed, and a forked process would wait for
        # threads that its parent has left behind: that counted as noticed.
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"},
        stdout=None if shown else subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout or ""


def modules_of(name: str, changed: Collection[str] | None = None) -> list[str]:
    """Return the modules of a room; only those that were changed, if these are given."""
    return [one for one in ROOMS[name]["modules"] if changed is None or one in changed]


def changed_since(commit: str) -> set[str]:
    """Return the modules that differ from the last common commit with another one."""
    done = subprocess.run(
        ["git", "diff", "--name-only", f"{commit}...", "--", "include"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {path.removeprefix("include/") for path in done.stdout.splitlines()}


def measure(
    name: str, folder: Path, processes: int, modules: Sequence[str], seconds: float | None
) -> bool:
    """Mutate modules of a room, print its score and what has survived.

    Parameters
    ----------
    seconds
        After which no further change is tried; the score is that of those which were.

    Returns
    -------
    bool
        Whether the tests notice enough.
    """
    room = {**ROOMS[name], "modules": modules}
    make_copy(folder, room)
    try:
        mutmut(folder, "run", "--max-children", str(processes), shown=True, seconds=seconds)
    except subprocess.TimeoutExpired:
        sys.stdout.write(f"{name}: the time is up, and the other changes are not tried\n")
    mutmut(folder, "export-cicd-stats")
    counts = json.loads((folder / "mutants" / "mutmut-cicd-stats.json").read_text())
    # A process that ends by a signal is noticed, too.
    noticed = counts["killed"] + counts["timeout"] + counts["segfault"]
    tried = noticed + counts["survived"] + counts["no_tests"] + counts["suspicious"]
    score = 100 * noticed / max(tried, 1)
    for line in mutmut(folder, "results").splitlines():
        if line.strip().endswith((": survived", ": no tests")):
            sys.stdout.write(f"{line}\n")
    sys.stdout.write(
        f"{name}: {noticed} of {tried} noticed ({score:.1f} %), {counts['survived']} survived, "
        f"{counts['no_tests']} without a test; {counts['total']} changes in all\n"
    )
    return bool(not tried or score >= room["least"])


def main() -> int:
    """Measure rooms; return 1 if fewer changes are noticed than a room has to notice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="*", help=f"of {', '.join(ROOMS)}; all by default")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mutation")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--changed", help="a commit: only modules that were changed since")
    parser.add_argument("--minutes", type=float, help="for all rooms together")
    given = parser.parse_args()
    if unknown := set(given.rooms) - set(ROOMS):
        parser.error(f"no such room: {', '.join(sorted(unknown))}; there are {', '.join(ROOMS)}")
    changed = None if given.changed is None else changed_since(given.changed)
    wanted = {name: modules_of(name, changed) for name in given.rooms or ROOMS}
    end = None if given.minutes is None else time.monotonic() + 60 * given.minutes
    enough = [
        measure(
            name,
            given.folder / name,
            given.processes,
            modules,
            None if end is None else max(end - time.monotonic(), 1),
        )
        for name, modules in wanted.items()
        if modules
    ]
    return 0 if all(enough) else 1


if __name__ == "__main__":
    sys.exit(main())

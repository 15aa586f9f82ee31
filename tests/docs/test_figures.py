"""Every measured figure of the pages can be traced to a command that prints it."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from benchmarks.results import RESULTS, Figure, filled, read, record, table
from benchmarks.tables import KNOWN

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "docs" / "measured.md"
#: Pages that commands write as a whole, each with the name of its command on it.
WRITTEN = {
    "broken-months.md",
    "damaged-months.md",
    "faults.md",
    "commands.md",
    "reference.md",
    "measured.md",
}
PAGES = [
    page
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if page.name not in WRITTEN
]
#: Modules that measure nothing by themselves.
HELPERS = {"load", "results", "stacks", "tables"}
FIGURE = re.compile(r"(?<![\w.,-])\d[\d.,]*\s?(?:ms|µs|s|KB|MB|MiB|GB|%|times)(?!\w)")
#: Of units that no setting and no requirement has.
TAKEN = re.compile(r"(?<![\w.,-])\d[\d.,]*\s?(?:ms|µs|KB|MB|MiB)(?!\w)")
COMMAND = re.compile(r"benchmarks|`make |tests/|measured\.md")


def code(name: str) -> ast.Module:
    """Parse a benchmark: some import what only its own run needs."""
    return ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8"))


def words(name: str) -> set[str]:
    """All texts in the code of a benchmark."""
    found = (node.value for node in ast.walk(code(name)) if isinstance(node, ast.Constant))
    return {value for value in found if isinstance(value, str)}


def recorded(name: str) -> Iterator[str]:
    """Names of the tables that a benchmark records into."""
    for node in ast.walk(code(name)):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") in {"record", "keep"}
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def test_the_page_holds_the_ranges_of_all_runs() -> None:
    """After a benchmark, `make docs` writes them."""
    page = MEASURED.read_text(encoding="utf-8")
    assert page == filled(page, read()), "run `make docs`"
    assert set(re.findall(r"<!-- figures of (.+) -->", page)) == set(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_a_command_stands_above_each_table(name: str) -> None:
    """It is there, it takes such arguments, and it records that table."""
    module = name.partition(" ")[0]
    before = MEASURED.read_text(encoding="utf-8").partition(f"<!-- figures of {name} -->")[0]
    section = before.rpartition("<!-- end of figures -->")[2]
    (told, arguments) = re.findall(r"`python -m benchmarks\.(\w+)([\w ]*)`", section)[-1]
    assert told == module
    assert set(arguments.split()) <= words(module)
    assert name in recorded(module)


def test_every_benchmark_records() -> None:
    """None prints figures that are then forgotten."""
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - HELPERS
    assert modules == {name.partition(" ")[0] for name in KNOWN}
    for module in modules:
        assert {name for name in recorded(module) if name in KNOWN} <= set(KNOWN)


def test_every_line_is_a_row_that_its_benchmark_knows() -> None:
    """With the day, the processor and the code that it is of."""
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        known = KNOWN[told["benchmark"]]
        column = f"{told['column']}, {told['unit']}" if told["unit"] else told["column"]
        assert told["row"] in known.rows, line
        assert column in known.columns, line
        assert math.isfinite(told["value"]), line
        assert datetime.fromisoformat(told["date"]).year > 0, line
        assert all(told[name] for name in ("processor", "commit")), line
        assert told.get("from", "docs") == "docs", line


def test_figures_stand_in_tables_alone() -> None:
    """A figure in a sentence is of one day, and nobody measures it again."""
    page = MEASURED.read_text(encoding="utf-8")
    page = re.sub(r"<!-- figures of .*?<!-- end of figures -->", "", page, flags=re.DOTALL)
    assert FIGURE.findall(re.sub(r"`[^`]*`", "", page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_other_pages_name_the_command_beside_a_figure(page: Path) -> None:
    """Or they link to what was measured."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    # A table belongs to the paragraph before it.
    for paragraph in re.split(r"\n\n(?!\|)", text):
        if TAKEN.search(re.sub(r"`[^`]*`", "", paragraph)):
            assert COMMAND.search(paragraph), paragraph
    for module in re.findall(r"benchmarks[./](\w+)", text):
        assert module == "results" or (ROOT / "benchmarks" / f"{module}.py").exists(), module


def test_a_run_adds_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of generated months are left out where the table is of published ones."""
    monkeypatch.setenv("MODEL_LOOP_TLC_FOLDER", "months")
    path = tmp_path / "results.jsonl"
    for seconds in (2.0, 1.25):
        record("preparation", "two months", {"ours, s": seconds}, path)
    monkeypatch.delenv("MODEL_LOOP_TLC_FOLDER")
    record("preparation", "two months", {"ours, s": 100.0}, path)
    record("capacity", "final fit", {"at most, GB": 0.5}, path)
    assert [one.value for one in read(path)] == [2.0, 1.25, 0.5]
    (line, *_) = path.read_text(encoding="utf-8").splitlines()
    assert {"date", "commit", "processor", "load", "unit"} <= json.loads(line).keys()
    for row, column in (("three months", "ours, s"), ("two months", "theirs, s")):
        with pytest.raises(KeyError, match="has no row"):
            record("preparation", row, {column: 1.0}, path)


def test_a_table_tells_ranges() -> None:
    """From the lowest to the highest, and of when and where they are."""
    days = (("2026-11-20", 0.25), ("2026-11-29T10:00:00+00:00", 1_250.0))
    where = ("a processor", "preparation", "two months", "ours, s")
    found = [Figure(day, *where, seconds) for day, seconds in days]
    # Beside seven others, the seconds are those of the others; a ratio is not.
    found.append(Figure("2026-11-29", *where, value=9_000.0, load=7.0))
    found.append(Figure("2026-11-29", *where[:-1], "faster, times", 8.0, load=7.0))
    assert table("preparation", found).splitlines() == [
        "| | ours (s) | faster (times) |",
        "| --- | --- | --- |",
        "| two months | 0.25 to 1,250 | 8 |",
        "",
        "Up to 2 runs, 2026-11-20 to 2026-11-29: a processor.",
    ]

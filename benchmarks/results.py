"""Figures of benchmarks: every run adds to `results.jsonl`, and the docs print the range so far.

A line holds the date of its run, commit, processor, load, benchmark, row, column, unit and value;
`from` says `docs` where a page had the figure before runs were kept. `benchmarks.tables` lists the
figures of each benchmark. `python -m benchmarks.results` prints all tables; with the path of a
page, it writes them there.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import KNOWN

RESULTS = Path(__file__).with_name("results.jsonl")
_DATE = dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds")
_TABLE = re.compile(r"(<!-- figures of ([\w ]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
#: Processes for each core beyond which figures of these units are not printed.
_BUSY, _SECONDS = 3.0, (", s", " ms", "/s")
#: Figures from here on have no digits behind the point; those of some units always as many.
_LARGE = 1_000
_PLACES = {"min": 3, "": 0}


@dataclass(frozen=True)
class Figure:
    """A figure of a run: a line of the file."""

    date: str
    processor: str
    benchmark: str
    row: str
    column: str
    value: float
    load: float = 0.0

    @property
    def is_of_others(self) -> bool:
        """True for seconds that a busy machine spoilt: such a figure says what else it did."""
        return self.load > _BUSY and self.column.endswith(_SECONDS)


def record(benchmark: str, row: str, values: Mapping[str, float], path: Path | None = None) -> None:
    """Add figures of this run.

    Parameters
    ----------
    values
        By column of the benchmark's table.

    Raises
    ------
    KeyError
        If the table has no such row or column: nobody would find the figure.
    """
    table = KNOWN[benchmark]
    if row not in table.rows or not values.keys() <= set(table.columns):
        message = f"{benchmark} has no row {row!r} with the columns {', '.join(values)}"
        raise KeyError(message)
    if table.published and "MODEL_LOOP_TLC_FOLDER" not in os.environ:
        return
    with (path or RESULTS).open("a", encoding="utf-8") as file:
        for column, value in values.items():
            name, _, unit = column.rpartition(", ")
            line = {
                "date": _DATE,
                "commit": _commit(),
                "processor": _processor(),
                # Processes of the last minute for each core: beside others, a benchmark is slower.
                "load": round(os.getloadavg()[0] / (os.cpu_count() or 1), 1),
                "benchmark": benchmark,
                "row": row,
                "column": name or column,
                "unit": unit if name else "",
                "value": float(f"{value:.5g}"),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read(path: Path = RESULTS) -> list[Figure]:
    """Return all figures so far."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        column = f"{told['column']}, {told['unit']}" if told["unit"] else told["column"]
        found.append(
            Figure(
                date=told["date"],
                processor=told["processor"],
                benchmark=told["benchmark"],
                row=told["row"],
                column=column,
                value=told["value"],
                load=told.get("load", 0.0),
            )
        )
    return found


def table(benchmark: str, figures: Iterable[Figure]) -> str:
    """Return the ranges of a benchmark's figures as a table."""
    known = KNOWN[benchmark]
    own = [
        figure for figure in figures if figure.benchmark == benchmark and not figure.is_of_others
    ]
    if not own:
        return "No run was kept yet.\n"
    cells: dict[tuple[str, str], list[float]] = {}
    for one in own:
        cells.setdefault((one.row, one.column), []).append(one.value)
    columns = [it for it in known.columns if any(column == it for _, column in cells)]
    lines = [["", *(_title(column) for column in columns)], ["---"] * (len(columns) + 1)]
    for row in known.rows:
        if any(there == row for there, _ in cells):
            found = (_range(cells.get((row, it), ()), it) for it in columns)
            lines.append([row, *found])
    text = "\n".join(f"|{'|'.join(f' {it} ' if it else ' ' for it in line)}|" for line in lines)
    most = max(map(len, cells.values()))
    return f"{text}\n\n{_runs(own, most)}\n"


def filled(page: str, figures: Sequence[Figure]) -> str:
    """Return a page with every table of figures made anew."""
    return _TABLE.sub(lambda it: f"{it[1]}{table(it[2], figures)}{it[3]}", page)


def _title(column: str) -> str:
    name, _, unit = column.rpartition(", ")
    return f"{name} ({unit})" if name else column


def _range(values: Sequence[float], column: str) -> str:
    if not values:
        return ""
    unit = column.rpartition(", ")[2] if ", " in column else ""
    low, high = (_number(pick(values), unit) for pick in (min, max))
    return low if low == high else f"{low} to {high}"


def _number(value: float, unit: str) -> str:
    """Write a figure with three digits, or as many as its unit wants."""
    places = _PLACES.get(unit, 0 if abs(value) >= _LARGE else None)
    return f"{value:.3g}" if places is None else f"{value:,.{places}f}"


def _runs(own: Sequence[Figure], most: int) -> str:
    first, *_, last = sorted(one.date[:10] for one in (*own, own[0]))
    when = first if first == last else f"{first} to {last}"
    runs = "One run" if most == 1 else f"Up to {most} runs"
    return f"{runs}, {when}: {'; '.join(sorted({one.processor for one in own}))}."


@functools.cache
def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - git, wherever it is
        cwd=RESULTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


@functools.cache
def _processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return f"{found[1].strip() if found else 'unknown'}, {os.cpu_count()} cores"


def main(paths: Sequence[str]) -> None:
    """Print all tables, or write them into pages."""
    figures = read()
    for path in map(Path, paths):
        path.write_text(filled(path.read_text(encoding="utf-8"), figures), encoding="utf-8")
    if not paths:
        for benchmark in KNOWN:
            sys.stdout.write(f"== {benchmark}\n{table(benchmark, figures)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

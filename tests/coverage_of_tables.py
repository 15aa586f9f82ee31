"""Share of the loop's lines that the tests of declared tables execute, room by room.

`model_loop` knows no table: what only trips reach is either general and lacks a test with another
table, or belongs to `trip_duration`. So the tests of bikes, flights and small declared tables are
run alone, in all their processes: commands, servers, and an Airflow with its tasks. The percentages
and the ranges of lines that were not executed are printed; `--keep` reports what an interrupted run
has measured so far, and names of tests measure those alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

#: Tests of declared tables; those of servers ask trips beside them. Of rooms that read any table,
#: such as `tables`, all tests.
TESTS = (
    "tests/cli/test_bikes_commands.py",
    "tests/cli/test_datasets.py",
    "tests/cli/test_last_screen.py",
    "tests/cli/test_run.py",
    "tests/dashboard/test_declared.py",
    "tests/datasets",
    "tests/docs/test_your_own_table.py",
    "tests/drafting",
    "tests/history/test_declared.py",
    "tests/integration/test_tables.py",
    "tests/monitoring/test_bikes.py",
    "tests/monitoring/test_declared.py",
    "tests/orchestration/test_factory.py",
    "tests/partitions",
    "tests/scoring/test_absent_columns.py",
    "tests/scoring/test_predict_command.py",
    "tests/scoring/test_ten_rows.py",
    "tests/serving/test_compiled_columns.py",
    "tests/serving/test_several.py",
    "tests/tables",
    "tests/training_set/test_declared.py",
    "tests/training_set/test_tables.py",
)
FOLDER = Path("build") / "coverage"
CONFIGURATION = """
[run]
source_pkgs = model_loop
parallel = true
concurrency = multiprocessing,thread
patch = subprocess,_exit
sigterm = true
data_file = {data}
[report]
show_missing = true
exclude_also =
    if TYPE_CHECKING:
    class .*\\(Protocol\\):
"""
_LINE = re.compile(r"^include/model_loop/(\S+?)(?:/\S*)?\s+(\d+)\s+(\d+)\s")


def main() -> None:
    """Run the tests, and print what they execute."""
    keep, tests = "--keep" in sys.argv, [name for name in sys.argv[1:] if name != "--keep"]
    configuration, data = FOLDER / "coveragerc", FOLDER.resolve() / "data"
    if not keep:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        configuration.write_text(CONFIGURATION.format(data=data))
        for test in tests or TESTS:
            _coverage(configuration, "run", "-m", "pytest", "-q", "-m", "", test)
    _coverage(configuration, "combine", "--keep", "--quiet")
    report = _coverage(configuration, "report")
    (FOLDER / "report.txt").write_text(report)
    print(rooms(report))  # noqa: T201 - what the command is for
    print(f"Lines that were not executed: {FOLDER / 'report.txt'}")  # noqa: T201 - likewise


def _coverage(configuration: Path, command: str, *arguments: str) -> str:
    """Run a command of coverage; a test that fails is shown, and the others go on."""
    done = subprocess.run(
        [sys.executable, "-m", "coverage", command, f"--rcfile={configuration}", *arguments],
        check=False,
        stdout=None if command == "run" else subprocess.PIPE,
        text=True,
    )
    return done.stdout or ""


def rooms(report: str) -> str:
    """Return the table of the rooms: statements, those that were not executed, and the share."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in report.splitlines():
        if found := _LINE.match(line):
            for room in (found[1], "all"):
                counts[room][0] += int(found[2])
                counts[room][1] += int(found[3])
    lines = ["| room | statements | not executed | executed |", "| --- | --- | --- | --- |"]
    for room, (statements, missed) in sorted(counts.items(), key=lambda item: -item[1][1]):
        share = 1 - missed / max(statements, 1)
        lines.append(f"| {room} | {statements:,} | {missed:,} | {share:.1%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

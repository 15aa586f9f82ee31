"""Preparation of a growing train month: time and memory of ours against the plain way.

The train month (green 2024-01) is repeated 1, 4, 16 and 64 times, each time a microsecond later so
that no row repeats another; the validation month stays as it is. Both ways read the same files and
end with the same three matrices; ours checks the contract and fills the quarantine as well.

Time is taken in one process, both ways in turn. Memory is the highest resident memory of a process
that does one preparation and nothing else, with and without what the imports take. Tasks of a DAG
have a process each: of ours it is the higher of that which fetches, checks and compares the months,
and that which encodes them. Last, a
generated month of 20 million for-hire trips is prepared.

Months come from MODEL_LOOP_TLC_FOLDER, or are generated in their size where that is not set.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from benchmarks.results import record

GROWTH = (1, 4, 16, 64)
PAIRS = 5
FOR_HIRE_TRIPS = 20_000_000
_ROW_GROUP = 2**20
#: Megabytes below which a preparation needs hardly more than its imports.
_SMALL = 20.0
_TIMES = ("lpep_pickup_datetime", "lpep_dropoff_datetime")


@dataclass(frozen=True)
class Figures:
    """Cost of one preparation.

    Parameters
    ----------
    seconds
        Without the imports.
    megabytes
        Highest resident memory of the process.
    imports
        Memory before the preparation began.
    """

    seconds: float
    megabytes: float
    imports: float

    @property
    def growth(self) -> float:
        """Memory that the preparation itself took."""
        return self.megabytes - self.imports


def main() -> None:
    """Measure all sizes in turn, or do one preparation of a process."""
    if len(sys.argv) > 1:
        way, folder, *root = sys.argv[1:]
        ways = ("plain", "ours") * PAIRS if way == "in_turn" else (way,)
        print(json.dumps([asdict(prepare(way, Path(folder), *root)) for way in ways]))
        return
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name))
        for_hire(Path(name))


def compare(folder: Path) -> None:
    """Print time and memory of both ways for every size."""
    from benchmarks.preparation import months_folder

    months = months_folder()
    validation = "green_tripdata_2024-02.parquet"
    (folder / validation).symlink_to(months / validation)
    for times in GROWTH:
        rows = repeat(months / "green_tripdata_2024-01.parquet", folder, times)
        print(f"{times:>3}x, {rows:>9,} rows", flush=True)
        seconds = in_process("in_turn", folder)
        print(f"     {compared_times(seconds)}", flush=True)
        plain, ours = in_process("plain", folder)[0], of_tasks(folder)
        print(f"     {compared_memory(plain, ours)}", flush=True)
        record("growth", f"{rows:,} rows", kept_figures(seconds, plain, ours))


def of_tasks(folder: Path) -> Figures:
    """Prepare in two processes, one after the other; return what the larger has taken."""
    with tempfile.TemporaryDirectory() as root:
        both = [in_process(way, folder, root)[0] for way in ("checks", "encoding")]
    return max(both, key=lambda one: one.megabytes)


def kept_figures(seconds: list[Figures], plain: Figures, ours: Figures) -> dict[str, float]:
    """Medians of both ways, and their ratios."""
    slow, fast = ([one.seconds for one in way] for way in (seconds[::2], seconds[1::2]))
    found = {
        "plain, s": statistics.median(slow),
        "ours, s": statistics.median(fast),
        "faster, times": statistics.median(a / b for a, b in zip(slow, fast, strict=True)),
        "plain, MB": plain.megabytes,
        "ours, MB": ours.megabytes,
        "less, times": plain.megabytes / ours.megabytes,
    }
    if ours.growth >= _SMALL:
        found["less beyond the imports, times"] = plain.growth / ours.growth
    return found


def compared_times(figures: list[Figures]) -> str:
    """Medians and ratio of preparations that took turns."""
    plain, ours = figures[::2], figures[1::2]
    ratios = [slow.seconds / fast.seconds for slow, fast in zip(plain, ours, strict=True)]
    slow, fast = (statistics.median(one.seconds for one in way) for way in (plain, ours))
    return (
        f"time: plain {slow:.3f} s, ours {fast:.3f} s; {statistics.median(ratios):.0f} times "
        f"faster (from {min(ratios):.0f} to {max(ratios):.0f})"
    )


def compared_memory(plain: Figures, ours: Figures) -> str:
    """Memory of two processes, and their ratio."""
    text = (
        f"memory: plain {plain.megabytes:,.0f} MB, ours {ours.megabytes:,.0f} MB; "
        f"{plain.megabytes / ours.megabytes:.1f} times less"
    )
    if ours.growth < _SMALL:
        return text
    return (
        f"{text}; beyond the imports {plain.growth:,.0f} and {ours.growth:,.0f} MB, "
        f"{plain.growth / ours.growth:.1f} times less"
    )


def repeat(month: Path, folder: Path, times: int) -> int:
    """Write a month that holds another so many times; return its rows."""
    path = folder / month.name
    path.unlink(missing_ok=True)
    table = pq.read_table(month)
    with pq.ParquetWriter(path, table.schema) as writer:
        parts = []
        for number in range(times):
            later = pa.scalar(number, pa.duration("us"))
            shifted = table
            for name in _TIMES:
                index = table.schema.get_field_index(name)
                shifted = shifted.set_column(index, name, pc.add(table[name], later))
            parts.append(shifted)
        writer.write_table(pa.concat_tables(parts), row_group_size=_ROW_GROUP)
    rows: int = table.num_rows * times
    return rows


def for_hire(folder: Path) -> None:
    """Prepare a large generated month."""
    from trip_duration.months import Month
    from trip_duration.sample import write_month
    from trip_duration.sample_options import SampleOptions
    from trip_duration.services import get_service

    path = folder / "fhvhv_tripdata_2024-01.parquet"
    write_month(path, get_service("fhvhv"), Month(2024, 1), SampleOptions(trips=FOR_HIRE_TRIPS))
    found = in_process("month", folder)[0]
    print(
        f"fhvhv, {FOR_HIRE_TRIPS:,} generated rows: {found.seconds:.1f} s, "
        f"{found.megabytes:,.0f} MB"
    )
    kept = {"ours, s": found.seconds, "ours, MB": found.megabytes}
    record("growth", f"{FOR_HIRE_TRIPS:,} for-hire", kept)


def in_process(what: str, folder: Path, *root: str) -> list[Figures]:
    """Prepare in a process of its own, once or both ways in turn, or one of the tasks."""
    answer = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, "-m", "benchmarks.growth", what, str(folder), *root],
        check=True,
        capture_output=True,
        text=True,
    )
    return [Figures(**figures) for figures in json.loads(answer.stdout.splitlines()[-1])]


def highest_memory() -> float:
    """The highest resident memory of this process so far, in megabytes."""
    # Not getrusage: what it says of a child begins with what its parent had.
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return int(kilobytes) / 1_000


def prepare(what: str, folder: Path, *root: str) -> Figures:
    """One preparation, measured."""
    from benchmarks import preparation

    work: dict[str, Callable[..., object]] = {
        "plain": preparation.plain,
        "ours": preparation.ours,
        "checks": preparation.until_encoding,
        "encoding": preparation.after_checks,
        "month": prepare_month,
    }
    imports = highest_memory()
    started = time.perf_counter()
    work[what](folder, *root)
    return Figures(time.perf_counter() - started, highest_memory(), imports)


def prepare_month(folder: Path) -> None:
    """Check a month, set aside what is wrong with it, and profile its trips."""
    from trip_duration.contract.checked import CheckedMonthStore
    from trip_duration.contract.rules import ContractLimits
    from trip_duration.months import Month
    from trip_duration.sample_options import SampleOptions
    from trip_duration.services import get_service
    from trip_duration.source.fetching import fetch_month

    service = get_service("fhvhv")
    raw = fetch_month(
        str(folder),
        service,
        Month(2024, 1),
        str(folder),
        sample=SampleOptions(),
        timeout_seconds=1.0,
    )
    CheckedMonthStore(str(folder)).check(raw, service, ContractLimits()).load_profile()


if __name__ == "__main__":
    main()

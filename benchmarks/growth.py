"""Preparation of a growing train month: time and memory of ours against the plain way.

The train month (green 2024-01) is repeated 1, 4, 16 and 64 times, each time a microsecond later so
that no row repeats another; the validation month stays as it is. Each preparation runs in a
process of its own, ours and the plain way in turn, and reports its time and the highest resident
memory of the whole process. Last, a generated month of 20 million for-hire trips is prepared.

Months come from TRIP_DURATION_TLC_FOLDER, or are generated in their size where that is not set.
"""

from __future__ import annotations

import json
import resource
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

GROWTH = (1, 4, 16, 64)
PAIRS = 3
FOR_HIRE_TRIPS = 20_000_000
_ROW_GROUP = 2**20
_TIMES = ("lpep_pickup_datetime", "lpep_dropoff_datetime")


@dataclass(frozen=True)
class Figures:
    """What one preparation took.

    Parameters
    ----------
    seconds
        Without the imports.
    megabytes
        Highest resident memory of the process.
    imports
        The same before the preparation began.
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
        print(json.dumps(asdict(prepare(sys.argv[1], Path(sys.argv[2])))))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder))
        for_hire(Path(folder))


def compare(folder: Path) -> None:
    """Print time and memory of both ways for every size."""
    from benchmarks.preparation import months_folder

    months = months_folder()
    validation = "green_tripdata_2024-02.parquet"
    (folder / validation).symlink_to(months / validation)
    for times in GROWTH:
        rows = repeat(months / "green_tripdata_2024-01.parquet", folder, times)
        pairs = [(in_process("plain", folder), in_process("ours", folder)) for _ in range(PAIRS)]
        print(f"{times:>3}x {rows:>9,} rows: {compared(pairs)}", flush=True)


def compared(pairs: list[tuple[Figures, Figures]]) -> str:
    """Medians and ratios of pairs of preparations, in words."""

    def median(what: Callable[[Figures, Figures], float]) -> float:
        return statistics.median(what(plain, ours) for plain, ours in pairs)

    seconds = (
        f"{median(lambda plain, _: plain.seconds):.3f} s against "
        f"{median(lambda _, ours: ours.seconds):.3f} s, "
        f"{median(lambda plain, ours: plain.seconds / ours.seconds):.0f} times faster"
    )
    memory = (
        f"{median(lambda plain, _: plain.megabytes):,.0f} MB against "
        f"{median(lambda _, ours: ours.megabytes):,.0f} MB, "
        f"{median(lambda plain, ours: plain.megabytes / ours.megabytes):.1f} times less "
        f"({median(lambda plain, ours: plain.growth / ours.growth):.1f} without the imports)"
    )
    return f"{seconds}; {memory}"


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
    from trip_duration.trips.months import Month
    from trip_duration.trips.sample import SampleOptions, write_month
    from trip_duration.trips.services import get_service

    path = folder / "fhvhv_tripdata_2024-01.parquet"
    write_month(path, get_service("fhvhv"), Month(2024, 1), SampleOptions(trips=FOR_HIRE_TRIPS))
    found = in_process("month", folder)
    print(
        f"fhvhv, {FOR_HIRE_TRIPS:,} generated rows: {found.seconds:.1f} s, "
        f"{found.megabytes:,.0f} MB"
    )


def in_process(what: str, folder: Path) -> Figures:
    """Do one preparation in a process of its own."""
    answer = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, "-m", "benchmarks.growth", what, str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    return Figures(**json.loads(answer.stdout.splitlines()[-1]))


def highest_memory() -> float:
    """The highest resident memory of this process so far, in megabytes."""
    # Kilobytes on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000


def prepare(what: str, folder: Path) -> Figures:
    """One preparation, measured."""
    from benchmarks import preparation

    work: dict[str, Callable[[Path], object]] = {
        "plain": preparation.plain,
        "ours": preparation.ours,
        "month": prepare_month,
    }
    imports = highest_memory()
    started = time.perf_counter()
    work[what](folder)
    return Figures(time.perf_counter() - started, highest_memory(), imports)


def prepare_month(folder: Path) -> None:
    """Check a month, set aside what is wrong with it, and profile its trips."""
    from trip_duration.trips.checked import CheckedMonthStore
    from trip_duration.trips.contract import Limits
    from trip_duration.trips.months import Month
    from trip_duration.trips.sample import SampleOptions
    from trip_duration.trips.services import get_service
    from trip_duration.trips.source import fetch_month

    service = get_service("fhvhv")
    raw = fetch_month(
        str(folder),
        service,
        Month(2024, 1),
        str(folder),
        sample=SampleOptions(),
        timeout_seconds=1.0,
    )
    CheckedMonthStore(str(folder)).check(raw, service, Limits())


if __name__ == "__main__":
    main()

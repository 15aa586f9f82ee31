"""Time that Airflow needs to read the DAGs of a dataset, and of fifty.

``python -m benchmarks.parsing`` prints the median of ten new processes for one file beyond the
import of Airflow's SDK, and the processor's time for fifty files, each read and serialized in a
fork of one process, as Airflow's DAG processor does, twice.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.results import record

from model_loop.datasets.stubs import stub_name, stub_of

RUNS, DATASETS = 10, 50

TABLE = """
name = "{name}"
target = "y"
source = "{name}-{{partition}}.csv"
partition = "month"
moments = ["planned", "departed"]

[time]
column = "at"

[columns.at]
type = "time"

[columns.kind]
type = "category"
categories = ["a", "b"]

[recipes.planned]
at = "planned"

[recipes.departed]
at = "departed"
"""
NUMBERS = 20

READ_ONE = """
import runpy, sys, time
import airflow.sdk
begun = time.process_time()
runpy.run_path(sys.argv[1])
print("seconds:", time.process_time() - begun)
"""

READ_ALL = """
import os, sys, time
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

def read(file):
    bag = DagBag(dag_folder=str(file), bundle_path=file.parent, bundle_name="benchmark")
    assert bag.dags and not bag.import_errors, bag.import_errors
    for dag in bag.dags.values():
        DagSerialization.to_dict(dag)

for parse in (1, 2):
    before = os.times()
    for file in sorted(Path(sys.argv[1]).glob("*.py")):
        child = os.fork()
        if child == 0:
            read(file)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    after = os.times()
    spent = sum(after[:4]) - sum(before[:4])
    print(f"processor seconds of parse {parse}:", spent)
"""


def main() -> None:
    """Measure, and print both figures."""
    with tempfile.TemporaryDirectory() as folder:
        datasets, dags = Path(folder, "datasets"), Path(folder, "dags")
        datasets.mkdir()
        dags.mkdir()
        for number in range(DATASETS):
            name = f"table_{number}"
            numbers = "".join(f'\n[columns.x{one}]\ntype = "number"\n' for one in range(NUMBERS))
            (datasets / f"{name}.toml").write_text(TABLE.format(name=name) + numbers)
            (dags / stub_name(name)).write_text(stub_of(name))
        environment = {
            **os.environ,
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(Path(__file__).parents[1] / "plugins"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "MODEL_LOOP_DATASETS_FOLDER": str(datasets),
            # Compiled modules are kept, as in any installation.
            "PYTHONPYCACHEPREFIX": str(Path(folder, "compiled")),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        seconds = [
            _seconds(READ_ONE, str(dags / stub_name("table_0")), environment)[0]
            for _ in range(RUNS + 1)
        ]
        # The first one compiles.
        median = statistics.median(seconds[1:])
        print(f"one dataset: {median:.3f} s of the processor (median of {RUNS})")
        record("parsing", "one dataset", {"processor time, s": median})
        first, second = _seconds(READ_ALL, str(dags), environment)
        print(f"{DATASETS} datasets: {first:.1f} s of the processor, {second:.1f} s once more")
        record("parsing", "fifty datasets, once more", {"processor time, s": second})


def _seconds(program: str, argument: str, environment: dict[str, str]) -> list[float]:
    done = subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-c", program, argument],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if "seconds" in line]
    return [float(line.rpartition(" ")[2]) for line in lines]


if __name__ == "__main__":
    main()

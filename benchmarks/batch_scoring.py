"""Scoring 3.5 million rows: in chunks, against `mlflow.pyfunc` on the whole frame.

A green month is repeated into one Parquet file with all of its columns, and a model of the recipe
`pair_distance` is trained on it. Both ways read the file and write it again with minutes, version
and ids; each runs in a process of its own, and its memory is the highest resident memory of that
process, with and without what the imports take. The same is done with a tenth of the rows, and with
a CSV file of a tenth, which has no other way.

Months come from MODEL_LOOP_TLC_FOLDER, or are generated in their size where that is not set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.growth import Figures, highest_memory
from benchmarks.preparation import months_folder
from benchmarks.results import record

ROWS = 3_500_000
_ROW_GROUP = 2**20


def main() -> None:
    """Measure all, or do one way in this process."""
    if len(sys.argv) > 1:
        print(json.dumps(asdict(measured(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder)
        for rows in (ROWS // 10, ROWS):
            source = folder / f"{rows}.parquet"
            repeat(months_folder() / "green_tripdata_2024-01.parquet", source, rows)
            compare(folder, source, rows)
        source = folder / f"{ROWS // 10}.csv"
        write_csv(folder / f"{ROWS // 10}.parquet", source)
        ours = in_process("ours", folder, source)
        print(f"CSV, {ROWS // 10:,} rows: {described(ours, ROWS // 10)}")
        record("batch_scoring", f"{ROWS // 10:,} rows of CSV", kept("ours", ours, ROWS // 10))


def kept(way: str, figures: Figures, rows: int) -> dict[str, float]:
    """Figures of one way."""
    return {f"{way}, rows/s": rows / figures.seconds, f"{way}, MB": figures.megabytes}


def compare(folder: Path, source: Path, rows: int) -> None:
    """Print both ways for one file."""
    plain, ours = in_process("pyfunc", folder, source), in_process("ours", folder, source)
    print(f"Parquet, {rows:,} rows")
    print(f"  pyfunc, whole frame: {described(plain, rows)}")
    print(f"  ours, in chunks:     {described(ours, rows)}")
    print(
        f"  {plain.seconds / ours.seconds:.2f} times the rows a second, with "
        f"{plain.growth / ours.growth:.1f} times less memory beyond the imports",
        flush=True,
    )
    ratios = {
        "faster, times": plain.seconds / ours.seconds,
        "less beyond the imports, times": plain.growth / ours.growth,
    }
    both = {**kept("pyfunc", plain, rows), **kept("ours", ours, rows), **ratios}
    record("batch_scoring", f"{rows:,} rows", both)


def described(figures: Figures, rows: int) -> str:
    """Speed and memory in words."""
    return (
        f"{figures.seconds:.1f} s, {rows / figures.seconds:,.0f} rows a second, "
        f"{figures.megabytes:,.0f} MB, {figures.growth:,.0f} MB beyond the imports"
    )


def make_model(folder: Path) -> None:
    """Train and save a model."""
    from model_loop.models.search import SearchRequest
    from model_loop.models.training import train
    from model_loop.models.tuning import tune
    from model_loop.tracking.registry import save_model
    from model_loop.training_set.preparation import build_training_set
    from trip_duration.months import MonthSplit
    from trip_duration.training_set.request import TrainingSetRequest

    split = MonthSplit.parse("2024-01", "2024-02")
    request = TrainingSetRequest(str(months_folder()), "green", split, recipe="pair_distance")
    training_set = build_training_set(request, storage_root=str(folder))
    search = SearchRequest(max_evaluations=1)
    trained = train(tune("xgboost", training_set, search), training_set, search)
    save_model(
        trained.model, folder / "model", training_set.example_rows, training_set.dataset.optional
    )
    print(f"XGBoost, pair_distance, {trained.tuned.best.rounds} rounds", flush=True)


def repeat(month: Path, path: Path, rows: int) -> None:
    """Write a file of so many rows."""
    table = pq.read_table(month)
    times = -(-rows // table.num_rows)
    pq.write_table(
        pa.concat_tables([table] * times).slice(0, rows), path, row_group_size=_ROW_GROUP
    )


def write_csv(source: Path, path: Path) -> None:
    """Write a Parquet file as CSV."""
    from pyarrow import csv

    csv.write_csv(pq.read_table(source), path)


def in_process(way: str, folder: Path, source: Path) -> Figures:
    """Go one way in a process of its own."""
    answer = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, "-m", "benchmarks.batch_scoring", way, str(folder), str(source)],
        check=True,
        capture_output=True,
        text=True,
    )
    return Figures(**json.loads(answer.stdout.splitlines()[-1]))


def measured(way: str, folder: Path, source: Path) -> Figures:
    """One way, without its imports."""
    work = {"pyfunc": whole_frame, "ours": in_chunks}[way]
    # The imports, and a first prediction, which loads what is loaded when it is needed.
    work(folder, source, warm_up=True)
    imports = highest_memory()
    started = time.perf_counter()
    work(folder, source)
    return Figures(time.perf_counter() - started, highest_memory(), imports)


def whole_frame(folder: Path, source: Path, *, warm_up: bool = False) -> None:
    """Read all, predict all, write all."""
    import mlflow
    import numpy as np
    import pandas as pd

    from model_loop.scoring.identifiers import new_ids

    model = mlflow.pyfunc.load_model(str(folder / "model"))
    columns = model.metadata.signature.inputs.input_names()
    if warm_up:
        model.predict(model.input_example)
        return
    trips = pd.read_parquet(source)
    trips["predicted_minutes"] = model.predict(
        trips[columns].astype(dict.fromkeys(columns[:2], np.int32))
    )
    trips["model_version"] = 1
    # The standard library's, one after another, would take a third of the time.
    trips["prediction_id"] = new_ids(len(trips)).astype(str)
    trips.to_parquet(source.with_suffix(".whole.parquet"), index=False)


def in_chunks(folder: Path, source: Path, *, warm_up: bool = False) -> None:
    """Score in bounded memory, interrupted and resumed at will."""
    from upath import UPath

    from model_loop.objects.trust import load_estimator
    from model_loop.scoring.batch.planning import BatchRequest, by_job, plan_chunks
    from model_loop.scoring.batch.scoring import join_chunks, score_chunk
    from model_loop.scoring.predictor import Predictor, RegisteredVersion

    model = load_estimator((folder / "model" / "model.skops").read_bytes())
    predictor = Predictor(
        RegisteredVersion("green", 1), model, ("PULocationID", "DOLocationID", "trip_distance")
    )
    if warm_up:
        import pandas as pd

        predictor.predict(pd.DataFrame([[74, 75, 1.0]], columns=list(predictor.columns)))
        return
    output = UPath(source.with_suffix(f".predictions{source.suffix}"))
    request = BatchRequest([(UPath(source), output)], predictor.version, predictor.columns)
    chunks = plan_chunks(request, str(folder))
    for chunk in chunks:
        score_chunk(chunk, predictor)
    for job, parts in by_job(chunks):
        join_chunks(job, parts)


if __name__ == "__main__":
    main()

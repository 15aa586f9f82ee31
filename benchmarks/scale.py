"""Memory and time of each step of the loop, by the number of rows of a generated declared table.

The table has twelve features: seven numbers, three categories, a yes/no and the time, in months of
distinct rows. Each step runs in a process of its own and hands on what it makes through the store,
as the tasks of a DAG do; fits are of 20 rounds of depth 8. Memory is that of the whole tree of
processes: ``held`` are pages that only they have (anonymous and shared memory), which is what a
machine must have; ``mapped`` adds pages of files, which the kernel may drop at any time. A step
beyond the bound is ended, and said to be. ``python -m benchmarks.scale ROWS…`` measures these
numbers of rows, a million by default; ``BOUND_GIB`` and ``SCALE_FOLDER`` set the bound (12) and the
folder of all files. ``python -m benchmarks.scale fits ROWS…`` fits encoded rows alone, from a file
of 18 columns, with the bins in memory and in files, and compares the trees.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
from benchmarks.results import record
from benchmarks.tables import KNOWN

if TYPE_CHECKING:
    from model_loop.models.feeding import Feeding
    from model_loop.pipeline.training import TrackedRun
    from model_loop.tracking.promotion import Promoter
    from model_loop.training_set.request import TableRequest
    from model_loop.training_set.types import TrainingSet

GIB = 2**30
ROUNDS, DEPTH, BINS, COLUMNS = 20, 8, 1_024, 18
_PIECE = 1_000_000
_MONTHS = [f"{year}-{month:02d}" for year in (2023, 2024) for month in range(1, 13)]
_PAUSE = 0.2
_STATE = "scale"
_DECLARATION = """\
name = "made"
title = "Made table"
target = "outcome"
source = "{folder}/rows_{{partition}}.parquet"
partition = "month"

[time]
column = "moment"

[task]
unit = "units"

[columns]
{columns}
"""
_NUMBERS = tuple(f"number_{place}" for place in range(7))
#: Categories, and the number of their values.
_CATEGORIES = {"category_few": 4, "category_some": 30, "category_many": 260}


def main(sizes: Sequence[int], only: Sequence[str] = ()) -> None:
    """Measure every step at each number of rows, and print a table.

    Parameters
    ----------
    only
        Names of the steps that are run; all of them by default.
    """
    bound = float(os.environ.get("BOUND_GIB", "12")) * GIB
    for rows in sizes:
        with _SizeFolder(rows) as folder:
            if not (folder / "made.toml").exists():
                generate(folder, rows)
            print(f"{rows:,} rows | s | held, GB | mapped, GB", flush=True)
            for step in only or STEPS:
                found = in_process(step, folder, bound)
                _tell(rows, step, found)
                if "failed" in found:
                    break


def fits(sizes: Sequence[int]) -> None:
    """Fit matrices of some numbers of rows in both ways, and print and record what each takes.

    Raises
    ------
    AssertionError
        If the trees are not the same.
    """
    bound = float(os.environ.get("BOUND_GIB", "12")) * GIB
    for rows in sizes:
        with _SizeFolder(rows) as folder:
            write_matrix(folder, rows)
            trees = set()
            for way in ("memory", "files"):
                found = in_process(f"fit-{way}", folder, bound)
                trees.add(found.pop("trees", None))
                print(f"{rows:,} rows, bins in {way}: {found}", flush=True)
                row = f"{rows / 1e6:g} million rows, bins in {way}"
                if "failed" not in found and row in KNOWN["scale fits"].rows:
                    record("scale fits", row, found)
            if len(trees - {None}) > 1:
                message = f"the trees of {rows:,} rows differ"
                raise AssertionError(message)


def write_matrix(folder: Path, rows: int) -> None:
    """Write encoded rows, and their targets, piece by piece."""
    import numpy as np

    with (folder / "matrix").open("wb") as matrix, (folder / "targets").open("wb") as targets:
        for place, first in enumerate(range(0, rows, _PIECE)):
            count, generator = min(_PIECE, rows - first), np.random.default_rng(place)
            piece = generator.standard_normal((count, COLUMNS), dtype=np.float32)
            # Columns as categories by their codes, yes and no, and hours.
            for column, values in ((10, 4), (11, 30), (12, 2), (13, 24)):
                piece[:, column] = generator.integers(0, values, count)
            outcome = 3 * piece[:, 0] + piece[:, 1] * piece[:, 2] + np.sin(piece[:, 11])
            piece.tofile(matrix)
            (outcome + generator.standard_normal(count)).astype(np.float64).tofile(targets)


def _fit(folder: Path, way: Feeding) -> dict[str, Any]:
    import hashlib

    import numpy as np

    from model_loop.models.boosting import BoosterRegressor
    from model_loop.models.feeding import fed_matrix

    targets = np.fromfile(folder / "targets")
    matrix = np.memmap(folder / "matrix", np.float32, "r", 0, (len(targets), COLUMNS))
    threads = os.cpu_count() or 1
    started = time.monotonic()
    fed = fed_matrix(matrix, targets, threads=threads, bins=BINS, feeding=way)
    binned = time.monotonic() - started
    settings = {"max_depth": DEPTH, "max_bin": BINS, "learning_rate": 0.1}
    booster = BoosterRegressor(settings, ROUNDS, threads=threads)
    times = [time.monotonic() for _ in booster.grow(fed, targets)]
    trees = "".join(booster.booster_.get_dump(with_stats=True))
    return {
        "binned, s": binned,
        "a round, s": (times[-1] - times[0]) / (len(times) - 1),
        "trees": hashlib.sha256(trees.encode()).hexdigest(),
    }


class _SizeFolder:
    """The folder of a size: a temporary one, or one below ``SCALE_FOLDER`` that stays."""

    def __init__(self, rows: int) -> None:
        self._given, self._rows = os.environ.get("SCALE_FOLDER"), rows
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Path:
        if self._given:
            folder = Path(self._given) / str(self._rows)
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        self._temporary = tempfile.TemporaryDirectory()
        return Path(self._temporary.name)

    def __exit__(self, *_: object) -> None:
        if self._temporary:
            self._temporary.cleanup()


def _tell(rows: int, step: str, found: Mapping[str, Any]) -> None:
    figures = {key: value for key, value in found.items() if key != "failed"}
    said = " | ".join(f"{name} {value:.3g}" for name, value in figures.items())
    print(f"{step} | {said}{' | ' + found['failed'] if 'failed' in found else ''}", flush=True)
    row = f"{rows / 1e6:g} million rows, {step}"
    if "failed" not in found and row in KNOWN["scale"].rows:
        record("scale", row, figures)


def in_process(step: str, folder: Path, bound: float) -> dict[str, Any]:
    """Run a step in a process of its own, watch the memory of its tree, and end it at the bound."""
    command = [sys.executable, "-m", "benchmarks.scale", "step", step, str(folder)]
    # Set as on the command line: threads that wait give their core away.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    started, held, mapped, failed = time.monotonic(), 0, 0, ""
    with (
        (folder / f"{step}.log").open("w") as log,
        subprocess.Popen(  # noqa: S603 - this very file
            command, stdout=log, stderr=log, env=environment
        ) as process,
    ):
        while process.poll() is None:
            now = _memory(process.pid)
            held, mapped = max(held, now[0]), max(mapped, now[1])
            if now[0] > bound:
                failed = f"ended at {bound / GIB:g} GiB"
                _end(process.pid)
            time.sleep(_PAUSE)
    seconds = time.monotonic() - started
    if process.returncode and not failed:
        failed = (folder / f"{step}.log").read_text().strip().splitlines()[-1]
    further = folder / f"{step}.json"
    found: dict[str, Any] = {"all, s": seconds, "held, GB": held / 1e9, "mapped, GB": mapped / 1e9}
    if further.exists():
        found |= json.loads(further.read_text())
    return found | ({"failed": failed} if failed else {})


def _memory(pid: int) -> tuple[int, int]:
    """Return the bytes that a tree of processes holds alone, and all with mapped files."""
    held = mapped = 0
    for each in _tree(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        pages = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
        own = 1024 * (pages.get("Pss_Anon", 0) + pages.get("Pss_Shmem", 0))
        held, mapped = held + own, mapped + 1024 * pages["Pss"]
    return held, mapped


def _tree(pid: int) -> Iterator[int]:
    try:
        process = psutil.Process(pid)
        yield from (pid, *(child.pid for child in process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return


def _end(pid: int) -> None:
    for each in _tree(pid):
        try:
            psutil.Process(each).kill()
        except psutil.NoSuchProcess:
            continue


def generate(folder: Path, rows: int) -> None:
    """Write months of distinct rows, and the declaration of their table."""
    import numpy as np
    import pandas as pd

    for place, month in enumerate(_MONTHS):
        first, last = (place * rows // len(_MONTHS), (place + 1) * rows // len(_MONTHS))
        count, generator = last - first, np.random.default_rng(place)
        begin = pd.Timestamp(f"{month}-01")
        seconds = (begin + pd.offsets.MonthBegin(1) - begin).total_seconds()
        times = np.sort(generator.random(count)) * (seconds - 1)
        numbers = generator.normal(size=(count, len(_NUMBERS)))
        table: dict[str, Any] = {"moment": begin + pd.to_timedelta(times.astype(np.int64), "s")}
        table |= {name: numbers[:, at].round(4) for at, name in enumerate(_NUMBERS)}
        outcome = 20 + 3 * numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + np.abs(numbers[:, 3])
        for name, values in _CATEGORIES.items():
            codes = np.minimum(generator.geometric(3 / values, count), values) - 1
            table[name] = pd.Categorical.from_codes(
                codes, pd.Index([f"{name}_{it}" for it in range(values)])
            )
            outcome += np.sin(codes)
        table["is_marked"] = generator.random(count) < 0.2  # noqa: PLR2004 - a fifth
        outcome += 2 * table["is_marked"] + np.sin(times / 3600 * np.pi / 12)
        table["outcome"] = outcome + generator.normal(size=count)
        frame = pd.DataFrame(table)
        frame.loc[generator.random(count) < 0.02, "number_6"] = np.nan  # noqa: PLR2004 - some
        frame.to_parquet(folder / f"rows_{month}.parquet", index=False)
    kinds = {
        "moment": "time",
        **dict.fromkeys(_NUMBERS, "number"),
        **dict.fromkeys(_CATEGORIES, "category"),
        "is_marked": "yes_no",
        "outcome": "number",
    }
    columns = "\n".join(f'{name} = {{type = "{kind}"}}' for name, kind in kinds.items())
    text = _DECLARATION.format(folder=folder, columns=columns)
    (folder / "made.toml").write_text(text, encoding="utf-8")


class _ScaleRun:
    """Request that the steps share, and the values that are kept between them."""

    def __init__(self, folder: Path) -> None:
        from model_loop.datasets.declaration_file import read_declaration
        from model_loop.datasets.declared import dataset_of
        from model_loop.datasets.registry import use_dataset
        from model_loop.models.catalogue import get_family
        from model_loop.models.search import SearchRequest
        from model_loop.models.termination import EarlyTermination
        from model_loop.partitions.completing import complete_files
        from model_loop.partitions.source import find_files, resolved_source

        self.folder, self.storage = folder, str(folder / "storage")
        declaration = resolved_source(read_declaration(folder / "made.toml"), folder)
        completed = complete_files(declaration, find_files(declaration, "made", ()), "made")
        self.declaration, self.dataset = completed, use_dataset(dataset_of(completed))
        self.family = get_family("xgboost")
        self.search = SearchRequest(
            max_evaluations=2,
            early_termination=EarlyTermination("none"),
            threads=os.cpu_count() or 1,
        )

    @property
    def request(self) -> TableRequest:
        from model_loop.datasets.stored import text_of_declaration
        from model_loop.training_set.request import TableRequest
        from model_loop.training_set.split import split_of

        return TableRequest(
            declaration=text_of_declaration(self.declaration),
            variant="made",
            recipe=self.dataset.default_recipe,
            split=split_of(self.dataset),
            partitions=(),
            random_state=42,
            accepted_findings=tuple(f"{month} number_of_rows" for month in _MONTHS),
        )

    @property
    def training_set(self) -> TrainingSet:
        from model_loop.training_set.products import TrainingSetStore

        (product,) = TrainingSetStore(self.storage).products()
        return product.load()

    @property
    def tracked(self) -> TrackedRun:
        from model_loop.pipeline.training import TrackedRun
        from model_loop.tracking.experiments import tracker_of

        database = f"sqlite:///{self.folder / 'mlflow.db'}"
        return TrackedRun(tracker_of(self.dataset, database, _STATE), _STATE, _STATE)

    @property
    def promoter(self) -> Promoter:
        from model_loop.tracking.promotion import Promoter

        moment = self.dataset.recipe(self.dataset.default_recipe).moment
        return Promoter(self.tracked.tracker, "made", moment)

    def keep(self, name: str, value: object) -> None:
        from upath import UPath

        from model_loop.objects import write_object

        reference = write_object(value, UPath(self.folder / "kept"), name)
        (self.folder / f"kept-{name}").write_text(json.dumps(reference.to_json()))

    def kept(self, name: str) -> Any:  # noqa: ANN401 - any value that was stored
        from model_loop.objects import ObjectReference, read_object

        text = (self.folder / f"kept-{name}").read_text()
        return read_object(ObjectReference.from_json(json.loads(text)))


def _check(folder: Path) -> None:
    from model_loop.training_set.preparation import compare_partitions, require_sound

    run = _ScaleRun(folder)
    verdicts = compare_partitions(run.request, storage_root=run.storage)
    require_sound(run.dataset, verdicts)


def _encode(folder: Path) -> None:
    """Encode and publish; what was checked is found again in the store."""
    from model_loop.training_set.preparation import compare_partitions, preparation_of
    from model_loop.training_set.products import TrainingSetStore

    run = _ScaleRun(folder)
    verdicts = compare_partitions(run.request, storage_root=run.storage)
    preparation = preparation_of(run.dataset)
    training_set = preparation.encode(run.request, verdicts, storage_root=run.storage)
    TrainingSetStore(run.storage).publish(training_set, run.request)


def _tune(folder: Path) -> None:
    """Two evaluations of few rounds."""
    from model_loop.models import fitting
    from model_loop.models.journal import ForgetfulStore
    from model_loop.pipeline.training import tune_family

    cast("Any", fitting).MAXIMUM_ROUNDS = ROUNDS
    run = _ScaleRun(folder)
    training_set = run.training_set
    run_id = run.tracked.open("scale", training_set, {})
    tuned = tune_family(run.tracked, run_id, run.family, training_set, run.search, ForgetfulStore())
    run.keep("tuned", tuned)


def _train(folder: Path) -> dict[str, float]:
    """Fit the rounds on train and validation; seconds of a round are those of the later ones."""
    import dataclasses

    from sklearn.pipeline import Pipeline

    from model_loop.models.estimators import make_booster

    run = _ScaleRun(folder)
    training_set, tuned = run.training_set, run.kept("tuned")
    splits = training_set.layout_for(run.family.layout)
    settings = {**tuned.best.settings, "max_depth": DEPTH}
    booster = make_booster(run.family, settings, run.search, rounds=ROUNDS)
    grown = booster.grow(splits.train_validation, training_set.train_validation_target)
    times = [time.monotonic() for _ in grown]
    run.keep("model", Pipeline([("encode", splits.encoder), ("estimate", booster)]))
    best = dataclasses.replace(tuned.best, settings=settings, rounds=ROUNDS)
    run.keep("tuned", dataclasses.replace(tuned, best=best))
    return {"a round, s": (times[-1] - times[0]) / (len(times) - 1)}


def _evaluate(folder: Path) -> None:
    from model_loop.models.evaluation import evaluate

    run = _ScaleRun(folder)
    run.keep("evaluation", evaluate(run.kept("model"), run.training_set))


def _explain(folder: Path) -> None:
    from model_loop.models.explanation import explain

    run = _ScaleRun(folder)
    found = explain(run.kept("model"), run.training_set, random_state=42)
    run.keep("explanation", found)


def _register(folder: Path) -> None:
    from model_loop.models.training import TrainedModel
    from model_loop.pipeline.training import register_family

    run = _ScaleRun(folder)
    trained = TrainedModel(
        run.kept("tuned"), run.kept("model"), 1.0, run.kept("evaluation"), run.kept("explanation")
    )
    register_family(run.tracked, trained, run.family, run.training_set, run.search)


def _judge(folder: Path) -> None:
    from model_loop.models.gate_rules import GateRules
    from model_loop.tracking.challengers import judge_in_turn

    run = _ScaleRun(folder)
    judge_in_turn(
        run.promoter, [1], GateRules(), _STATE, storage_root=run.storage, timeout_seconds=60.0
    )


def _monitor(folder: Path) -> None:
    """Compare the last month with what the version has learned from."""
    from model_loop.monitoring.levels import thresholds_of
    from model_loop.monitoring.published import read_published, window_of_published
    from model_loop.monitoring.window_drift import DriftRules, look_for_drift
    from model_loop.monitoring.windows import Window
    from model_loop.scoring.predictor import RegisteredVersion, load_predictor
    from model_loop.settings import get_settings
    from model_loop.sources.published import PublishedSource
    from model_loop.tracking.versions import ModelVersions

    run = _ScaleRun(folder)
    versions = ModelVersions(run.tracked.tracker, "made")
    predictor = load_predictor(versions, RegisteredVersion("made", 1))
    source = PublishedSource("made", str(run.declaration.source), run.storage, 60.0)
    rows = read_published(source, _MONTHS[-1])
    window = Window.of_partition("made", _MONTHS[-1])
    rules = DriftRules(thresholds_of(get_settings()), 100, report=False)
    found = window_of_published(window, rows, predictor.columns, predictor)
    look_for_drift(versions, predictor, found, rules)


FITS: Mapping[str, Callable[[Path], Mapping[str, Any]]] = {
    "fit-memory": functools.partial(_fit, way="memory"),
    "fit-files": functools.partial(_fit, way="files"),
}
STEPS: Mapping[str, Callable[[Path], Mapping[str, Any] | None]] = {
    "check": _check,
    "encode": _encode,
    "tune": _tune,
    "train": _train,
    "evaluate": _evaluate,
    "explain": _explain,
    "register": _register,
    "judge": _judge,
    "monitor": _monitor,
}
_FEWEST = 1_000_000


def step(name: str, folder: Path) -> None:
    """Do a step in this process, and leave its further figures beside its log."""
    figures = {**STEPS, **FITS}[name](folder)
    if figures:
        (folder / f"{name}.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    if sys.argv[1:2] == ["step"]:
        step(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1:2] == ["fits"]:
        fits([int(float(it)) for it in sys.argv[2:]])
    else:
        wanted = [int(float(it)) for it in sys.argv[1:] if it not in STEPS]
        main(wanted or [_FEWEST], [it for it in sys.argv[1:] if it in STEPS])

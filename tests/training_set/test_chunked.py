"""Training sets of many rows, encoded one partition at a time."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.models.calibrating import searched_residuals
from model_loop.models.catalogue import get_family
from model_loop.models.evaluation import measure
from model_loop.models.fitting import FitData
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.partitions.completing import complete_files
from model_loop.partitions.source import find_files, resolved_source
from model_loop.training_set import chunked, declared
from model_loop.training_set.data_tests import run_data_tests
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of
from model_loop.training_set.types import TrainingSet

MONTHS, ROWS = ("2024-01", "2024-02", "2024-03", "2024-04"), 600
BY_TIME = """
name = "visits"
target = "{target}"
source = "visits_{{partition}}.csv"
partition = "month"
primary_key = ["visit"]
[time]
column = "at"
[task]
{task}
[columns.visit]
type = "category"
[columns.ward]
type = "category"
[columns.doctor]
type = "category"
"""
BY_CLASS = BY_TIME.format(target="ended", task='kind = "multiclass"')
BY_CHANCE = BY_TIME.format(target="hours", task="") + "[split]\nshuffle = true\n"
BY_GROUP = BY_TIME.format(target="hours", task="") + '[split]\ngroup_on = "doctor"\n'


def write_months(folder: Path) -> None:
    """Write months of visits: no ward is known in the first, and the last repeats a visit."""
    for place, month in enumerate(MONTHS):
        rng = np.random.default_rng(place)
        days = pd.to_timedelta(np.sort(rng.random(ROWS)) * 28, unit="D")
        age = rng.normal(50, 20, ROWS).round(1)
        table = pd.DataFrame(
            {
                "visit": [f"v{place}-{number}" for number in range(ROWS)],
                "at": (pd.Timestamp(f"{month}-01") + days).floor("s"),
                "ward": "" if place == 0 else rng.choice([f"w{it}" for it in range(40)], ROWS),
                "doctor": rng.choice([f"d{it}" for it in range(60)], ROWS),
                "age": np.where(rng.random(ROWS) < 0.1, np.nan, age),
                "hours": (age / 10 + rng.normal(0, 1, ROWS)).round(2),
                "ended": rng.choice(["home", "other", "moved"], ROWS),
            }
        )
        if place == len(MONTHS) - 1:
            table.loc[7, "visit"] = "v1-3"
        table.to_csv(folder / f"visits_{month}.csv", index=False)


@pytest.fixture
def build(tmp_path: Path) -> Callable[[str], TrainingSet]:
    """Build the training set of a declaration of the months."""
    write_months(tmp_path)

    def built(text: str) -> TrainingSet:
        stated = resolved_source(parse_declaration(text, "visits.toml"), tmp_path)
        completed = complete_files(stated, find_files(stated, "visits", ()), "visits")
        dataset = use_dataset(dataset_of(completed))
        request = TableRequest(
            declaration=text_of_declaration(completed),
            variant="visits",
            recipe=dataset.default_recipe,
            split=split_of(dataset, (0.6, 0.15, 0.1, 0.15)),
            accepted_findings=tuple(
                f"{month} {code}"
                for month in MONTHS
                for code in ("missing_values", "never_missing", "new_categories", "categories")
            ),
        )
        return build_training_set(request, storage_root=str(tmp_path / "storage"))

    return built


def as_large(patched: pytest.MonkeyPatch, learned: int = 10**9) -> None:
    """Take every table for a large one, and encode few rows at a time."""
    patched.setattr(declared, "LARGE_ROWS", 1)
    patched.setattr(chunked, "CHUNK_ROWS", 97)
    patched.setattr(chunked, "LEARNED_ROWS", learned)


def dense(training_set: TrainingSet, name: str) -> Any:
    """Return a matrix of the dense layout."""
    return getattr(training_set.layouts["dense"], name)


@pytest.mark.parametrize(
    "text",
    [BY_TIME.format(target="hours", task=""), BY_CLASS, BY_CHANCE, BY_GROUP],
    ids=["time", "class", "chance", "group"],
)
def test_parts_and_matrices_are_the_same(
    build: Callable[[str], TrainingSet], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Where encoders learn from all rows, a table that is encoded in chunks is the very same."""
    whole = build(text)
    as_large(monkeypatch)
    large = build(text)
    for layout, splits in whole.layouts.items():
        for name in ("train", "validation", "train_validation"):
            one, other = getattr(splits, name), getattr(large.layouts[layout], name)
            assert one.shape == other.shape
            assert np.array_equal(one, other) if layout == "dense" else (one != other).nnz == 0
    assert np.array_equal(whole.train_target, large.train_target)
    assert np.array_equal(whole.validation_target, large.validation_target)
    for name in ("test_rows", "calibration_rows", "reference_rows", "train_rows", "example_rows"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(large, name))
    same = ("request", "files", "cleaning", "periods", "strays", "findings", "parts", "learned")
    assert [name for name in same if getattr(whole, name) != getattr(large, name)] == []
    assert whole.train_days is not None
    assert large.train_days is not None
    assert np.array_equal(whole.train_days, large.train_days)
    assert whole.validation_times is not None
    assert large.validation_times is not None
    assert np.array_equal(whole.validation_times, large.validation_times)
    # The repetition was left out of its month.
    assert [report.rows_kept for report in large.cleaning] == [ROWS, ROWS, ROWS, ROWS - 1]


def test_encoders_of_many_rows_learn_from_a_sample(
    build: Callable[[str], TrainingSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sparse layout has the sample with its targets, the dense one all rows."""
    as_large(monkeypatch, learned=500)
    large = build(BY_TIME.format(target="hours", task=""))
    train_rows, validation_rows = large.rows["train"], large.rows["validation"]
    targets = large.targets_for("sparse")
    assert list(map(len, targets)) == [500, round(500 / train_rows * validation_rows)]
    assert large.layouts["sparse"].train.shape[0] == 500
    assert dense(large, "train").shape[0] == train_rows
    assert all(outcome.passed for outcome in run_data_tests(large))
    request = SearchRequest(max_evaluations=1, threads=1)
    few = SearchRequest(max_evaluations=2, threads=1, sample_rows=50)
    assert tune(get_family("linear_model.Lasso"), large, few).sampled is None, "nothing to see anew"
    assert large.compared is not None
    compared = large.validation_target[large.compared]
    assert np.array_equal(compared, targets[1])
    assert f"{len(compared):,} rows, drawn of {validation_rows:,}" in large.chosen_by
    for name, rows in (("linear_model.LinearRegression", 500), ("xgboost", train_rows)):
        family = get_family(name)
        assert len(FitData.of(large, family, request).train_target) == rows
        tuned = tune(family, large, request)
        # Both are ranked by the very same rows, and have intervals by their days.
        assert tuned.predicted is not None
        assert tuned.validation == measure(compared, tuned.predicted)
        residuals = searched_residuals(tuned, large, request, family)
        assert large.validation_times is not None
        assert residuals.times is not None
        assert np.array_equal(residuals.times, large.validation_times[large.compared])
        trained = train(tuned, large, request, family)
        assert trained.calibration is not None
        assert trained.explanation is not None


def test_rows_that_were_learned_from_do_not_know_their_own_target(
    build: Callable[[str], TrainingSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of a category is cross-fitted for rows of the sample, and that of it for others."""
    as_large(monkeypatch, learned=500)
    large = build(BY_TIME.format(target="hours", task=""))
    encoder: Any = large.layouts["dense"].train_encoder
    names = [*encoder.get_feature_names_out()]
    place = next(at for at, name in enumerate(names) if name.startswith("mean__"))
    values = dense(large, "train")[:, place]
    mean = encoder.named_transformers_["mean"]
    learned = np.append(np.concatenate(mean.encodings_), mean.target_mean_).astype(np.float32)
    others = float(np.isin(values, learned).mean())
    assert others == pytest.approx(1 - 500 / len(values), abs=0.01)


def test_an_interrupted_encoding_leaves_no_file(
    build: Callable[[str], TrainingSet], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Matrices lie in files without a name: whatever ends a process, nothing is left."""
    build(BY_TIME.format(target="hours", task=""))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    as_large(monkeypatch)
    seen: list[set[Path]] = []

    def interrupted(*_: object) -> None:
        seen.append({path for path in tmp_path.rglob("*") if path.is_file()})
        raise KeyboardInterrupt

    monkeypatch.setattr(chunked._Matrices, "_write", interrupted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        build(BY_TIME.format(target="hours", task=""))
    assert seen == [before]


def test_a_large_training_set_is_stored_and_read(
    build: Callable[[str], TrainingSet], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Large matrices are mapped from the product, and are what was published."""
    as_large(monkeypatch)
    monkeypatch.setattr("model_loop.objects.archives.MAPPED_BYTES", 1_000)
    large = build(BY_TIME.format(target="hours", task=""))
    loaded = TrainingSetStore(str(tmp_path)).publish(large).load()
    assert loaded.digest == large.digest
    matrix = dense(loaded, "train_validation")
    assert isinstance(matrix.base, np.memmap)
    assert not matrix.flags.writeable
    assert matrix.flags.aligned
    assert dataclasses.replace(loaded).digest == large.digest

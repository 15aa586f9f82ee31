"""Formats with names and numbers, and the paths of classes that came before them."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest

from model_loop.errors import StoredObjectError
from model_loop.models.evaluation import Evaluation
from model_loop.models.explanation import ShapValues
from model_loop.models.search import ErrorMetrics, Trial
from model_loop.objects import formats
from model_loop.objects.documents import record_of, text_of
from model_loop.objects.formats import all_formats, class_of, format_of
from model_loop.objects.tree import from_tree, to_tree
from model_loop.scoring.batch.job import ChunkResult, Job
from model_loop.scoring.batch.source import Rows
from model_loop.scoring.predictor import RegisteredVersion
from model_loop.tables.opening import FileKind
from trip_duration.months import Month

#: Paths of classes that stores of versions before 0.2 hold. Whoever moves a class leaves them here.
FORMER_PATHS = [
    "alerts.types:Alert",
    "alerts.types:Envelope",
    "alerts.types:Link",
    "alerts.types:Table",
    "findings:Finding",
    "history.sketch:Sketch",
    "models.catalogue:ModelFamily",
    "models.catalogue:Resource",
    "models.evaluation:Evaluation",
    "models.explanation:Explanation",
    "models.explanation:ShapValues",
    "models.gate:Check",
    "models.gate:Verdict",
    "models.intervals:DaySpread",
    "models.intervals:Spread",
    "models.search:FeatureSelection",
    "models.search:Metrics",
    "models.search:SearchRequest",
    "models.search:Trial",
    "models.search:TuningResult",
    "models.spaces:Choice",
    "models.spaces:Integer",
    "models.spaces:Real",
    "models.termination:EarlyTermination",
    "models.training:TrainedModel",
    "monitoring.features:Bins",
    "monitoring.levels:Finding",
    "monitoring.levels:Thresholds",
    "monitoring.profile:FeatureProfile",
    "monitoring.profile:ShapProfile",
    "monitoring.profile:VersionProfile",
    "objects.reference:ObjectReference",
    "scoring.batch.job:Chunk",
    "scoring.batch.job:Job",
    "scoring.predictor:Version",
    "tracking.lineage:Lineage",
    "training_set.products:TrainingSetProduct",
    "training_set.types:EncodedSplits",
    "training_set.types:TrainingSet",
    "training_set.types:TrainingSetRequest",
    "trips.cleaning:CleaningReport",
    "trips.cleaning:CleaningRules",
    "trips.contract.checked:CheckedMonth",
    "trips.contract.report:MonthReport",
    "trips.contract.report:RuleCount",
    "trips.history:Verdict",
    "trips.months:Month",
    "trips.months:MonthSplit",
    "trips.sample.options:Dirt",
    "trips.sample.options:Drift",
    "trips.sample.options:SampleOptions",
    "trips.source.types:RawMonth",
    "trips.split:Period",
]

TRIAL = Trial(3, {"alpha": 0.1}, None, 1.0, 2.0)


@pytest.mark.parametrize("name", all_formats())
def test_a_format_is_a_class_that_can_be_stored(name: str) -> None:
    """It is there, is a dataclass, leaves the key `format` free, and finds its own name."""
    kind, _ = class_of(name, {})
    assert dataclasses.is_dataclass(kind)
    assert "format" not in {field.name for field in dataclasses.fields(kind)}
    assert format_of(kind) == name
    title, _, number = name.partition("/")
    assert title.replace("_", "").isalpha()
    assert number.isdecimal()


def test_no_class_has_two_formats() -> None:
    """Otherwise one of them would be written by chance."""
    assert len(set(all_formats().values())) == len(all_formats())


@pytest.mark.parametrize("path", FORMER_PATHS)
def test_paths_of_former_versions_are_read(path: str) -> None:
    """A class that was stored by its path is found, wherever it is now."""
    kind, _ = class_of(formats.former_format(f"trip_duration.{path}"), {})
    assert dataclasses.is_dataclass(kind)


def test_no_path_is_written() -> None:
    """A stored value names formats alone."""
    text = text_of(TRIAL)
    assert json.loads(text)["format"] == "trial/1"
    assert "trip_duration" not in text
    assert "$dataclass" not in text
    assert record_of(Trial, json.loads(text)) == TRIAL


@pytest.mark.parametrize(("ending", "kind"), [("csv", "csv"), ("parquet", "parquet")])
def test_a_job_that_names_no_rows_reads_its_input(ending: str, kind: FileKind) -> None:
    """A batch that a former version has planned goes on."""
    source = f"file:///batches/asked.{ending}"
    version = RegisteredVersion("green", 3)
    job = Job("k", source, "out", "{}", version, "", "folder", False, Rows(kind, source))  # noqa: FBT003 - overwrite
    assert record_of(Job, json.loads(text_of(job))) == job
    stored = {**json.loads(text_of(job)), "format": "batch_job/1"}
    del stored["rows"]
    assert record_of(Job, stored) == job


def test_fields_are_read_as_far_as_they_are_known() -> None:
    """Unknown ones are passed over, new ones have their defaults, and what is missing is named."""
    stored = to_tree(TRIAL)[0]
    newer = {**stored, "further": {"format": "of_tomorrow/1"}}
    assert from_tree(newer, {}) == TRIAL
    without = {name: value for name, value in stored.items() if name != "seconds"}
    with pytest.raises(StoredObjectError, match=r"'trial/1'.* without seconds"):
        from_tree(without, {})


@pytest.mark.parametrize("name", ["trial/2", "os.system/1", "Trial", "", "trial"])
def test_a_format_that_nobody_knows_is_refused(name: str) -> None:
    """By its name, and nothing is imported."""
    with pytest.raises(StoredObjectError, match="knows no such format"):
        from_tree({"format": name, "number": 1}, {})


def test_an_older_format_becomes_the_one_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields of a former number are renewed, in as many steps as it takes."""

    def seconds(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "seconds": 60 * fields["minutes"]}

    def numbered(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "number": int(fields["name"].removeprefix("trial "))}

    today = {**formats._OURS, "trial/3": formats._OURS["trial/1"]}
    del today["trial/1"]
    monkeypatch.setattr(formats, "_OURS", MappingProxyType(today))
    former = {"trial/1": ("trial/2", seconds), "trial/2": ("trial/3", numbered)}
    monkeypatch.setattr(formats, "FORMER", MappingProxyType(former))
    _forget()
    try:
        stored: dict[str, Any] = {
            "name": "trial 3",
            "settings": {"$dict": {"alpha": 0.1}},
            "metrics": None,
        }
        stored |= {"started": 1.0, "minutes": 0.5}
        expected = dataclasses.replace(TRIAL, seconds=30.0)
        assert from_tree({"format": "trial/1", **stored}, {}) == expected
        assert to_tree(expected)[0]["format"] == "trial/3"
    finally:
        _forget()


def _forget() -> None:
    for cached in (formats.all_formats, formats._names, formats._former_names):
        cached.cache_clear()


def test_records_without_a_format_are_of_their_reader() -> None:
    """Versions before 0.2 have written some records as plain fields."""
    assert record_of(ChunkResult, {"rows": 5, "rejected": 1, "reason": "no zone"}) == ChunkResult(
        5, 1, "no zone"
    )
    with pytest.raises(StoredObjectError, match="is a Month"):
        record_of(ChunkResult, to_tree(Month(2024, 1))[0])


def test_a_class_without_a_format_is_not_stored() -> None:
    """It would be read by nobody; the message says what to do."""

    @dataclasses.dataclass(frozen=True)
    class Fresh:
        number: int

    Fresh.__module__ = "model_loop.models.search"
    with pytest.raises(StoredObjectError, match=r"it has no format.*objects/formats\.py"):
        to_tree(Fresh(1))


def test_an_evaluation_of_trips_is_read() -> None:
    """Its slices counted trips, and its errors by zone had a field of their own."""
    slices = pd.DataFrame({"slice": ["hour"], "value": ["8"], "trips": [3], "rmse": [1.0]})
    zones = pd.DataFrame({"zone": [74], "trips": [3]})
    predictions = pd.DataFrame({"actual": [1.0], "predicted": [2.0]})
    errors = ErrorMetrics(1.0, 1.0, 1.0, 0.0, 1.0, 1.0)
    evaluation = Evaluation(errors, errors, slices, predictions, {"zones": zones})
    object.__setattr__(evaluation, "slices", slices)
    tree, parts = to_tree(evaluation)
    former = {**tree, "format": "evaluation/1", "zones": tree["tables"]["$dict"]["zones"]}
    del former["tables"], former["cuts"]
    read = from_tree(former, {name: leaf.encode() for name, leaf in parts.items()})
    assert isinstance(read, Evaluation)
    assert read.slices.columns.tolist() == ["slice", "value", "rows", "rmse"]
    assert read.tables["zones"].equals(zones)
    assert (
        from_tree(
            {**former, "zones": None}, {name: leaf.encode() for name, leaf in parts.items()}
        ).tables
        == {}
    )


def test_shap_values_in_minutes_are_read() -> None:
    """Their amounts had the name of a unit."""
    table = pd.DataFrame({"hour": [1.0]})
    kind, fields = class_of("shap_values/1", {"base": 9.0, "minutes": table, "columns": table})
    read = kind(**fields)
    assert isinstance(read, ShapValues)
    assert read.added is table

"""Names and numbers under which our dataclasses are stored.

Stored values name a format, and never the path of a class: a class may move, be renamed, or gain
fields with defaults, and its files are still read. Only what stands here is stored or read: no name
of a file leads to any other class.

A format gets another number when a file of the former one cannot be read as it is: a field has
another meaning, or another type. The former name then stays here, with a function that makes the
new fields of the old ones.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from model_loop.errors import StoredObjectError

Fields = dict[str, Any]

_PACKAGE = __name__.partition(".")[0]
#: Group of entry points that name the formats of datasets in Python. Each is a module with two
#: mappings: `FORMATS`, in which classes stand with their whole path, and `FORMER_PATHS`.
ENTRY_POINTS = "model_loop.formats"
#: Name of this package in the paths that versions before 0.2 have written.
_FORMER_PACKAGE = "trip_duration"

#: Format and class: its module below `model_loop`, and its name.
_OURS: Mapping[str, str] = MappingProxyType(
    {
        "alert/1": "alerts.types:Alert",
        "alert_envelope/1": "alerts.types:Envelope",
        "alert_link/1": "alerts.types:Link",
        "alert_table/1": "alerts.types:AlertTable",
        "batch_chunk/1": "scoring.batch.job:Chunk",
        "batch_chunk_result/1": "scoring.batch.job:ChunkResult",
        "batch_job/2": "scoring.batch.job:Job",
        "batch_result/1": "scoring.batch.job:JobResult",
        "batch_rows/1": "scoring.batch.source:Rows",
        "batch_kept_result/1": "scoring.batch.results:KeptResult",
        "bins/1": "monitoring.features:Bins",
        "blend/1": "models.blend:Blend",
        "blend_judgement/1": "models.blend:BlendJudgement",
        "blend_member/1": "models.blend:BlendMember",
        "calibration/1": "models.calibrating:Calibration",
        "check/1": "models.gate:Check",
        "class_profile/1": "monitoring.profile:ClassProfile",
        "class_metrics/1": "models.class_metrics:ClassMetrics",
        "code_column/1": "runner.package:CodeColumn",
        "code_description/1": "coded.description:CodeDescription",
        "code_package/1": "runner.package:CodePackage",
        "cut/1": "models.slices:Cut",
        "dataset_record/1": "datasets.registration:DatasetRecord",
        "day_spread/2": "models.intervals:DaySpread",
        "early_termination/1": "models.termination:EarlyTermination",
        "decision/1": "models.classification.decision:Decision",
        "download/1": "sources.answers:Begun",
        "encoded_fold/1": "training_set.types:EncodedFold",
        "encoded_splits/1": "training_set.types:EncodedSplits",
        "erased_set/1": "training_set.products:ErasedSet",
        "erasure/1": "erasure.erase:ErasureRecord",
        "evaluation/2": "models.evaluation:Evaluation",
        "explanation/1": "models.explanation:Explanation",
        "feature_profile/1": "monitoring.profile:FeatureProfile",
        "feature_selection/1": "models.search:FeatureSelection",
        "file_digest/1": "sources.cache:CachedDigest",
        "finding/1": "findings:Finding",
        "interval_correction/1": "intervals.adaptive:Correction",
        "interval_scale/1": "intervals.scale:ErrorScale",
        "interval_scale_bins/1": "intervals.scale:ScaleBins",
        "interval_scale_factors/1": "intervals.scale:ScaleFactors",
        "intervals/1": "intervals.calibrated:Intervals",
        "kept_file/1": "sources.cache:CachedFile",
        "learned_column/1": "datasets.learned:ColumnRange",
        "learned_values/1": "datasets.learned:LearnedValues",
        "lineage/2": "tracking.lineage:Lineage",
        "metrics/1": "models.search:ErrorMetrics",
        "model_family/1": "models.catalogue:ModelFamily",
        "monitoring_finding/1": "monitoring.levels:WindowFinding",
        "object_reference/1": "objects.reference:ObjectReference",
        "checked_table/1": "partitions.checked:CheckedTable",
        "fetched_table/1": "partitions.checked:FetchedTable",
        "partition_report/1": "partitions.types:PartitionReport",
        "partition_verdict/1": "history.tables:PartitionVerdict",
        "period/1": "training_set.types:Period",
        "resource/1": "models.catalogue:Resource",
        "sampled_search/1": "models.search:SampledSearch",
        "search_request/2": "models.search:SearchRequest",
        "shap_values/2": "models.explanation:ShapValues",
        "shap_profile/2": "monitoring.profile:ShapProfile",
        "sketch/1": "history.sketch:Sketch",
        "source_file/1": "partitions.types:SourceFile",
        "source_version/1": "sources.cache:FileVersion",
        "space_choice/1": "models.spaces:Categorical",
        "space_integer/1": "models.spaces:Integer",
        "space_real/1": "models.spaces:Real",
        "spread/1": "models.intervals:Spread",
        "table_limits/1": "partitions.contract:TableLimits",
        "table_plan/1": "training_set.declared:TablePlan",
        "table_request/1": "training_set.request:TableRequest",
        "table_split/1": "training_set.split:TableSplit",
        "thresholds/1": "monitoring.levels:Thresholds",
        "trained_model/1": "models.training:TrainedModel",
        "training_answer/1": "training_set.products:RequestRecord",
        "training_product/2": "training_set.products:TrainingSetProduct",
        "training_set/3": "training_set.types:TrainingSet",
        "trial/1": "models.search:Trial",
        "tuning_result/1": "models.search:TuningResult",
        "verdict/1": "models.gate:GateVerdict",
        "version/1": "scoring.predictor:RegisteredVersion",
        "version_profile/2": "monitoring.profile:VersionProfile",
    }
)


def _renamed(**names: str) -> Callable[[Fields], Fields]:
    """Return a function that renames fields, each of which has had the name of the keyword."""
    return lambda fields: {names.get(name, name): value for name, value in fields.items()}


def _tables_of_errors(fields: Fields) -> Fields:
    """Put the errors by zone of an evaluation of trips among its tables."""
    zones = fields.get("zones")
    kept = {name: value for name, value in fields.items() if name != "zones"}
    return kept if zones is None else {**kept, "tables": {"$dict": {"zones": zones}}}


def _rows_at_the_source(fields: Fields) -> Fields:
    """Add where the rows of a batch are: in its input, which was Parquet or CSV."""
    source = str(fields.get("source"))
    kind = "parquet" if source.endswith(".parquet") else "csv"
    return {**fields, "rows": {"format": "batch_rows/1", "kind": kind, "address": source}}


#: Formats that are read and no longer written: the next one, and the function that makes its fields
#: of those of a file.
FORMER: Mapping[str, tuple[str, Callable[[Fields], Fields]]] = MappingProxyType(
    {
        "batch_job/1": ("batch_job/2", _rows_at_the_source),
        "day_spread/1": ("day_spread/2", _renamed(trips="rows")),
        "evaluation/1": ("evaluation/2", _tables_of_errors),
        "lineage/1": ("lineage/2", _renamed(months="files")),
        # All rows were searched.
        "search_request/1": ("search_request/2", lambda fields: {"sample_rows": 0, **fields}),
        "shap_profile/1": ("shap_profile/2", _renamed(trips="rows")),
        "shap_values/1": ("shap_values/2", _renamed(minutes="added")),
        "training_product/1": ("training_product/2", _renamed(months="files")),
        "training_set/1": (
            "training_set/2",
            _renamed(
                train_minutes="train_target",
                validation_minutes="validation_target",
                test_trips="test_rows",
                example_trips="example_rows",
                reference_trips="reference_rows",
            ),
        ),
        "training_set/2": ("training_set/3", _renamed(months="files")),
        "version_profile/1": ("version_profile/2", _renamed(service="variant")),
    }
)

#: Paths of classes that have moved since versions before 0.2, which have written paths.
_MOVED: Mapping[str, str] = MappingProxyType(
    {
        "trip_duration.alerts.types:Table": "alert_table/1",
        "trip_duration.models.evaluation:Evaluation": "evaluation/1",
        "trip_duration.models.explanation:ShapValues": "shap_values/1",
        "trip_duration.models.gate:Verdict": "verdict/1",
        "trip_duration.models.search:Metrics": "metrics/1",
        "trip_duration.models.spaces:Choice": "space_choice/1",
        "trip_duration.monitoring.levels:Finding": "monitoring_finding/1",
        "trip_duration.scoring.predictor:Version": "version/1",
        "trip_duration.training_set.types:TrainingSet": "training_set/1",
    }
)


@functools.cache
def all_formats() -> Mapping[str, str]:
    """Return every format with its class: its module, and its name."""
    formats = {name: f"{_PACKAGE}.{home}" for name, home in _OURS.items()}
    for module in _of_datasets():
        formats |= module.FORMATS
    return MappingProxyType(formats)


@functools.cache
def own_packages() -> frozenset[str]:
    """Return the packages whose dataclasses may be stored: this one, and those of datasets."""
    return frozenset(
        {_PACKAGE, *(package.__name__.partition(".")[0] for package in _of_datasets())}
    )


@functools.cache
def _of_datasets() -> tuple[Any, ...]:
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return tuple(point.load() for point in points)


def format_of(kind: type[Any]) -> str:
    """Return the format of a class.

    Raises
    ------
    StoredObjectError
        If it has none.
    """
    name = _names().get(f"{kind.__module__}:{kind.__qualname__}")
    if name is None:
        raise StoredObjectError(
            f"A value of type {kind.__module__}.{kind.__qualname__}",
            "cannot be stored: it has no format",
            "Give it one in objects/formats.py, or return plain values.",
        )
    return name


def class_of(name: str, fields: Fields) -> tuple[type[Any], Fields]:
    """Return the class of a format, and the fields of a file as that class has them.

    Raises
    ------
    StoredObjectError
        If the format is not known.
    """
    while name in FORMER:
        name, renew = FORMER[name]
        fields = renew(fields)
    if name not in all_formats():
        raise StoredObjectError(
            f"A stored object of the format {name!r}",
            "cannot be read: this version knows no such format",
            "It was written by a newer version, or by another program: make it again.",
        )
    module, _, class_name = all_formats()[name].partition(":")
    kind: type[Any] = getattr(importlib.import_module(module), class_name)
    return kind, fields


def former_format(path: str) -> str:
    """Return the format of a class by the path that versions before 0.2 have written.

    Raises
    ------
    StoredObjectError
        If they have stored no such class.
    """
    name = _former_names().get(path)
    if name is None:
        raise StoredObjectError(
            f"A stored object of class {path}",
            "cannot be read: no version of this package has stored such objects",
            "Objects that were stored by other programs are not read.",
        )
    return first_format(name)


def first_format(name: str) -> str:
    """Return the format in which a class was stored first: that of files that name none."""
    for former, (renewed, _) in FORMER.items():
        if renewed == name:
            return first_format(former)
    return name


@functools.cache
def _names() -> Mapping[str, str]:
    """Return formats by the path of their class as it is now."""
    return {home: name for name, home in all_formats().items()}


@functools.cache
def _former_names() -> Mapping[str, str]:
    """Return formats by the paths that versions before 0.2 have written."""
    names = {f"{_FORMER_PACKAGE}.{home}": name for name, home in _OURS.items()}
    for module in _of_datasets():
        names |= module.FORMER_PATHS
    return {**names, **_MOVED}

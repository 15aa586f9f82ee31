"""From a declared table to a training set: read, check, split, encode."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import PARTITION, Declaration
from model_loop.errors import ContractError, InvalidInputError
from model_loop.findings import Finding
from model_loop.partitions.completing import complete, text_of_declaration
from model_loop.partitions.contract import CheckedRows, TableLimits, check_rows
from model_loop.partitions.keys import WHOLE, bounds_of, keys_of
from model_loop.partitions.reading import Table, read_table
from model_loop.partitions.source import identify, list_source
from model_loop.partitions.types import PartitionReport, SourceFile
from model_loop.training_set.encoders.tables import as_float32, table_encoder
from model_loop.training_set.encodings import Layout
from model_loop.training_set.frames import clock_times, model_frame
from model_loop.training_set.matrices import Targets
from model_loop.training_set.table_request import TableRequest
from model_loop.training_set.table_split import (
    FEWEST_JUDGED,
    PARTS,
    PartName,
    Places,
    TableSplit,
    overlap,
    parts_of,
    places_of,
    resolved,
)
from model_loop.training_set.types import EncodedSplits, TrainingSet
from trip_duration.split import Period

EXAMPLE_ROWS = 5
#: Of so many learned rows, shares are known to a tenth of a percent.
REFERENCE_ROWS = 50_000
#: Share of the baseline's error above which half the interval of the judged error is said.
_WIDE = 0.1
_Z = 1.959964

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadTable:
    """The rows of a table, and the files that they are from.

    Parameters
    ----------
    declaration
        Completed declaration.
    tables
        Rows by partition: of each file where there is one for each, of the whole table otherwise.
    files
        The files.
    """

    declaration: Declaration
    tables: tuple[tuple[str, Table], ...]
    files: tuple[SourceFile, ...]


def read_source(
    declaration: Declaration, source: str, variant: str, partitions: Sequence[str] = ()
) -> ReadTable:
    """Read the files of a table, and complete its declaration.

    Parameters
    ----------
    source
        Address of the files.
    variant
        Key of the variant.
    partitions
        Keys of the partitions that are read; all, if empty.

    Raises
    ------
    InvalidInputError
        If the declaration is a draft, or a question is open.
    SourceError, ContractError
        If a file is not to be had, or cannot be read.
    """
    _require_ready(declaration)
    named = variant.partition(".")[2] or None
    addresses = list_source(source, declaration.partition, partitions)
    files = tuple(identify(variant, address) for address in addresses)
    by_file = PARTITION in source
    groups = [[each] for each in files] if by_file else [[*files]]
    tables = []
    for group in groups:
        table = read_table(declaration, [each.path for each in group], variant=named)
        # The types that the first file has are those of all.
        declaration = complete(declaration, table)
        tables.append((group[0].partition if by_file else WHOLE, table))
    return ReadTable(declaration, tuple(tables), files)


def _require_ready(declaration: Declaration) -> None:
    if declaration.open_questions:
        raise InvalidInputError(
            f"The dataset {declaration.name}",
            f"has open questions: {', '.join(declaration.open_questions)}",
            "Answer each in its file: a moment in the place of '?'.",
        )
    if declaration.status == "draft":
        raise InvalidInputError(
            f"The dataset {declaration.name}",
            "is a draft",
            'Read its file, then set status = "ready": nobody trains on a draft.',
        )
    if declaration.task.kind != "regression":
        raise InvalidInputError(
            f"task.kind = {declaration.task.kind!r} of {declaration.name}",
            "is not learned yet",
            "Only regression is: the target is a number.",
        )


def request_of(  # noqa: PLR0913 - one for each choice
    read: ReadTable,
    source: str,
    variant: str,
    recipe: str,
    split: TableSplit,
    *,
    random_state: int = 42,
    accepted: Sequence[str] = (),
    limits: TableLimits | None = None,
    partitions: Sequence[str] = (),
) -> TableRequest:
    """Return the request for a training set of rows that were read."""
    return TableRequest(
        declaration=text_of_declaration(read.declaration),
        source=source,
        variant=variant,
        recipe=recipe,
        split=split,
        partitions=tuple(partitions),
        random_state=random_state,
        accepted_findings=tuple(accepted),
        limits=limits or TableLimits(),
    )


def build_table(request: TableRequest, read: ReadTable | None = None) -> TrainingSet:
    """Build the training set of a declared table.

    Parameters
    ----------
    read
        Its rows, where they were read already.

    Raises
    ------
    SourceError, ContractError
        If a file is not to be had, breaks its contract, or too few rows are left.
    """
    dataset = request.dataset
    declaration = _declaration(dataset)
    if read is None:
        read = read_source(declaration, request.source, request.variant, request.partitions)
    checked = check_tables(declaration, read.tables, request.limits)
    rows = pd.concat([each.frame for each in checked], ignore_index=True)
    findings = [finding for each in checked for finding in each.findings]
    return encode_table(request, read.files, rows, [each.report for each in checked], findings)


def check_tables(
    declaration: Declaration, tables: Sequence[tuple[str, Table]], limits: TableLimits
) -> list[CheckedRows]:
    """Check each partition of a table against its contract; see `partitions.contract`."""
    checked = []
    for partition, table in tables:
        found = check_rows(
            declaration,
            table.frame,
            partition,
            unreadable=table.rows_read - len(table.frame),
            limits=limits,
        )
        logger.info("%s", found.report)
        checked.append(found)
    return checked


def encode_table(
    request: TableRequest,
    files: Sequence[SourceFile],
    rows: pd.DataFrame,
    reports: Sequence[PartitionReport],
    findings: Sequence[Finding] = (),
) -> TrainingSet:
    """Split checked rows into parts, and encode them.

    Raises
    ------
    ContractError
        If a part has too few rows, or the target does not vary.
    """
    dataset = request.dataset
    places = places_of(request.split, dataset, rows, request.random_state)
    split = resolved(request.split, places, _cuts(dataset, request.split, rows))
    request = dataclasses.replace(request, split=split)
    masks = parts_of(split, places)
    recipe, target = dataset.recipe(request.recipe), dataset.target.name
    columns = [*recipe.columns]
    keys = _partition_keys(dataset, rows)
    raw = {name: rows[mask] for name, mask in masks.items()}
    repeated = overlap(raw)
    shown = list(dict.fromkeys([*columns, *_beside(dataset), target]))
    held = model_frame(dataset.columns, rows[shown])
    parts = {name: held[mask].reset_index(drop=True) for name, mask in masks.items()}
    targets = {name: part[target].to_numpy(dtype=np.float64) for name, part in parts.items()}
    _require_rows(dataset, targets)
    encoded = _layouts(dataset, request, parts, targets)
    said = [*findings, *_doubts(dataset, targets, repeated, len(rows))]
    return TrainingSet(
        request=request,
        months=tuple(files),
        cleaning=tuple(reports),
        layouts=MappingProxyType(encoded),
        train_target=targets["train"],
        validation_target=targets["validation"],
        test_rows=parts["test"],
        example_rows=parts["validation"][columns].head(EXAMPLE_ROWS).copy(),
        periods=MappingProxyType(_periods(split, places, masks)),
        strays=int(len(rows) - sum(mask.sum() for mask in masks.values())),
        reference_rows=_reference(parts, columns, request.random_state),
        findings=tuple(said),
        calibration_rows=parts["calibration"] if len(parts["calibration"]) else None,
        parts=MappingProxyType(
            {name: tuple(dict.fromkeys(keys[mask].tolist())) for name, mask in masks.items()}
        ),
    )


def _declaration(dataset: Dataset) -> Declaration:
    if dataset.declaration is None:
        raise InvalidInputError(
            f"The dataset {dataset.name}", "has no declaration", "Name a dataset that is a file."
        )
    return dataset.declaration


def _beside(dataset: Dataset) -> list[str]:
    """Columns that judged rows are shown by, whether a model may know them or not."""
    learned = {column.name for column in dataset.columns}
    return [name for name in (dataset.time, *dataset.slices) if name in learned]


def _partition_keys(dataset: Dataset, rows: pd.DataFrame) -> np.ndarray:
    if dataset.time is None or dataset.partition == "whole":
        return np.full(len(rows), WHOLE, dtype=object)
    return keys_of(clock_times(rows[dataset.time]), dataset.partition)


def _cuts(dataset: Dataset, split: TableSplit, rows: pd.DataFrame) -> Places | None:
    """Places at which partitions begin, where rows are split by the time that cuts them."""
    if split.rule != "time" or split.on != dataset.time or dataset.partition == "whole":
        return None
    keys = sorted(set(_partition_keys(dataset, rows)))
    starts = [np.datetime64(bounds_of(key, dataset.partition)[0], "us") for key in keys]
    return np.array(starts).astype(np.int64) / 1e6


def _require_rows(dataset: Dataset, targets: dict[PartName, Targets]) -> None:
    noun = dataset.rows[0]
    for name, needed in (("train", 2), ("validation", 2), ("test", FEWEST_JUDGED)):
        there = len(targets[name])  # type: ignore[index]  # names of parts
        if there < needed:
            total = sum(map(len, targets.values()))
            share = max(there, 1) / total
            raise ContractError(
                f"The {name} part of {dataset.name}",
                f"has {there} of {total:,} {noun}, and less than {needed} say nothing",
                f"Give about {int(np.ceil(needed / share)):,} {noun} or more, or a larger share.",
            )
    if np.ptp(targets["train"]) == 0:
        raise ContractError(
            f"The target {dataset.target.name!r} of {dataset.name}",
            "is the same in every row that is learned from",
            "Choose another target: there is nothing to learn.",
        )


def _layouts(
    dataset: Dataset,
    request: TableRequest,
    parts: dict[PartName, pd.DataFrame],
    targets: dict[PartName, Targets],
) -> dict[Layout, EncodedSplits]:
    names = dataset.recipe(request.recipe).columns
    columns = [column for column in dataset.columns if column.name in names]
    learned = pd.concat([parts["train"], parts["validation"]], ignore_index=True)[[*names]]
    both = np.concatenate([targets["train"], targets["validation"]])
    found: dict[Layout, EncodedSplits] = {}
    layouts: tuple[Layout, ...] = ("sparse", "dense")
    for layout in layouts:
        train_encoder, encoder = (
            table_encoder(columns, layout, random_state=request.random_state) for _ in range(2)
        )
        train = train_encoder.fit_transform(parts["train"][[*names]], targets["train"])
        found[layout] = EncodedSplits(
            train=as_float32(train),
            validation=as_float32(train_encoder.transform(parts["validation"][[*names]])),
            train_validation=as_float32(encoder.fit_transform(learned, both)),
            train_encoder=train_encoder,
            encoder=encoder,
        )
    return found


def _doubts(
    dataset: Dataset, targets: dict[PartName, Targets], repeated: int, rows: int
) -> list[Finding]:
    found, rows_word = [], dataset.rows[0]
    mean = float(np.mean(np.concatenate([targets["train"], targets["validation"]])))
    squared = np.square(targets["test"] - mean)
    baseline = float(np.sqrt(squared.mean()))
    half = _Z * float(squared.std(ddof=1)) / np.sqrt(len(squared)) / (2 * baseline or 1.0)
    if half > _WIDE * baseline:
        needed = int(np.ceil(len(squared) * (half / (_WIDE * baseline)) ** 2))
        found.append(
            Finding(
                "too_few_rows",
                None,
                WHOLE,
                "warning",
                f"{len(squared):,} judged {rows_word} leave the RMSE open by "
                f"±{half / baseline:.0%} of that of the mean "
                f"({dataset.target.with_unit(f'{baseline:.4g}')})",
                f"Give {needed:,} {rows_word} to judge by, or read small differences as none.",
            )
        )
    if repeated:
        found.append(
            Finding(
                "overlap",
                None,
                WHOLE,
                "warning",
                f"{repeated:,} of {rows:,} {dataset.rows[0]} stand in an earlier part as well",
                "Remove repetitions, or declare the primary key or split.group_on.",
            )
        )
    return found


def _periods(
    split: TableSplit, places: Places, masks: dict[PartName, np.ndarray]
) -> dict[str, Period]:
    """First and last time of each part, where rows are split by time."""
    if split.rule != "time":
        return {}
    found: dict[str, Period] = {}
    for name in PARTS:
        inside = places[masks[name]]
        if len(inside):
            found[name] = Period(*(_moment(split, each) for each in (inside.min(), inside.max())))
    return found


def _moment(split: TableSplit, place: float) -> str:
    del split
    return str(np.datetime64(int(place * 1e6), "us").astype("datetime64[s]"))


def _reference(
    parts: dict[PartName, pd.DataFrame], columns: list[str], random_state: int
) -> pd.DataFrame:
    """Draw a sample of what is learned from, in the order of the rows."""
    learned = pd.concat([parts["train"], parts["validation"]], ignore_index=True)[columns]
    if len(learned) <= REFERENCE_ROWS:
        return learned
    generator = np.random.default_rng(random_state)
    return learned.iloc[
        np.sort(generator.choice(len(learned), REFERENCE_ROWS, replace=False))
    ].reset_index(drop=True)

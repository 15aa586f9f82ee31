"""From checked partitions of a table of many rows to a training set, one partition at a time.

No step holds the rows of more than one partition, the sample and the test rows. The encoders and
the sparse layout are learned from a sample of the rows; the dense layout, which boosting reads, has
all of them, and lies in a file without a name: nothing is left of it when the process ends.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.stored import declaration_of_text
from model_loop.findings import Finding
from model_loop.partitions.contract import find_repeated, identity_columns
from model_loop.partitions.labels import label_texts
from model_loop.partitions.types import PartitionReport, SourceFile
from model_loop.training_set.build import (
    cuts_of,
    doubts,
    encoder_of,
    example_of,
    held_rows,
    judged_rows,
    partition_keys,
    periods_of,
    reference_of,
    require_rows,
    sample_of,
    sample_places,
    shifted,
    times_of,
    train_days_of,
    unseen,
)
from model_loop.training_set.encoders.tables import as_float32
from model_loop.training_set.encodings import Layout
from model_loop.training_set.labels import with_classes
from model_loop.training_set.learned import learned_values
from model_loop.training_set.matrices import Targets
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import (
    PARTS,
    Mask,
    PartName,
    Places,
    line_of,
    overlap,
    parts_of,
    resolved,
    row_hashes,
    strata_of,
    within_strata,
)
from model_loop.training_set.types import EncodedSplits, RowEncoder, TrainingSet

logger = logging.getLogger(__name__)

#: Rows from which on a table is encoded here: those of fewer are held at once.
LARGE_ROWS = 4_000_000
#: Train rows that encoders are learned from; of the validation rows, the same share.
LEARNED_ROWS = 1_000_000
#: Rows that are encoded at once.
CHUNK_ROWS = 2**18

#: Reads the rows of a partition.
Load = Callable[[], pd.DataFrame]
_LEARNED: tuple[PartName, ...] = ("train", "validation")


@dataclass(frozen=True)
class LargeTable:
    """Checked partitions of a table, in their order.

    Parameters
    ----------
    request
        Request for the training set, with the completed declaration.
    files
        The files that went in.
    loads
        Read the rows of each partition that keep the contract.
    reports
        Numbers of rows of each partition.
    findings
        Doubtful findings of all of them.
    """

    request: TableRequest
    files: tuple[SourceFile, ...]
    loads: Sequence[Load]
    reports: tuple[PartitionReport, ...]
    findings: tuple[Finding, ...]


@dataclass
class _Seen:
    """Numbers that are kept of every row of a table, and its class."""

    line: list[Places] = field(default_factory=list)
    strata: list[pd.Series[Any]] = field(default_factory=list)
    labels: list[pd.Series[Any]] = field(default_factory=list)
    hashes: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    keys: list[npt.NDArray[np.int32]] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Drawn:
    """Train and validation rows that encoders learn from.

    Parameters
    ----------
    rows
        Rows of each part as models take them, with their target.
    places
        Their numbers among the rows of the part.
    """

    rows: dict[PartName, pd.DataFrame]
    places: dict[PartName, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class _Gathered:
    """Rows and numbers that a training set holds besides its matrices.

    Parameters
    ----------
    targets
        Targets of each part.
    drawn
        The sample.
    test, calibration
        Rows as raw columns with their target; None of no calibration rows.
    validation_times, train_days
        Times and days of rows, see `TrainingSet`; None where a row has none.
    """

    targets: dict[PartName, Targets]
    drawn: _Drawn
    test: pd.DataFrame
    calibration: pd.DataFrame | None
    validation_times: Targets | None
    train_days: npt.NDArray[np.int32] | None


def encode_partitions(table: LargeTable, folder: Path | None = None) -> TrainingSet:
    """Split checked partitions into parts, and encode them.

    Parameters
    ----------
    folder
        Folder of a file system with room for the matrices; that of temporary files by default.

    Raises
    ------
    ContractError
        See `training_set.build.encode_table`.
    OSError
        If there is no room for the matrices.
    """
    declaration = declaration_of_text(table.request.declaration)
    left_out, reports = _repeated(table)
    table = dataclasses.replace(table, reports=tuple(reports))
    seen = _look(table, left_out)
    dataset = table.request.dataset
    strata = pd.concat(seen.strata, ignore_index=True) if seen.strata else None
    places = within_strata(_line(table, seen), strata)
    split = resolved(table.request.split, places, cuts_of(dataset, table.request.split, seen.names))
    masks = parts_of(split, places)
    labels = None
    if declaration.task.kind != "regression":
        labels = pd.concat(seen.labels, ignore_index=True)[masks["train"] | masks["validation"]]
    request = with_classes(dataclasses.replace(table.request, split=split), labels)
    table, dataset = dataclasses.replace(table, request=request), request.dataset
    repeated = overlap(np.concatenate(seen.hashes), masks)
    keys, names = np.concatenate(seen.keys), [*seen.names]
    parts: dict[str, tuple[str, ...]] = {
        name: tuple(names[place] for place in pd.unique(keys[mask])) for name, mask in masks.items()
    }
    periods = periods_of(split, places, masks)
    strays = int(len(places) - sum(mask.sum() for mask in masks.values()))
    rows = len(places)
    del seen, keys, places
    gathered = _gathered(table, left_out, masks)
    targets, drawn = gathered.targets, gathered.drawn
    require_rows(dataset, targets)
    columns = [*dataset.recipe(request.recipe).columns]
    layouts = _layouts(table, left_out, masks, drawn, folder)
    said = [
        *table.findings,
        *doubts(dataset, targets, repeated, rows),
        *shifted(dataset, targets),
        *unseen(dataset, columns, drawn.rows),
    ]
    train, validation = drawn.rows["train"], drawn.rows["validation"]
    return TrainingSet(
        request=request,
        files=table.files,
        cleaning=table.reports,
        layouts=MappingProxyType(layouts),
        train_target=targets["train"],
        validation_target=targets["validation"],
        test_rows=gathered.test,
        example_rows=example_of(validation[columns]),
        periods=MappingProxyType(periods),
        strays=strays,
        reference_rows=reference_of(drawn.rows, columns, request.random_state),
        findings=tuple(said),
        calibration_rows=gathered.calibration,
        train_rows=sample_of(train, request.random_state),
        validation_rows=sample_of(validation, request.random_state),
        validation_places=sample_places(len(validation), request.random_state),
        parts=MappingProxyType(parts),
        validation_times=gathered.validation_times,
        train_days=gathered.train_days,
        compared=drawn.places["validation"]
        if len(validation) < len(targets["validation"])
        else None,
        # Values that encoders have not seen are unlike the learned ones, if rows had them or not.
        learned=learned_values(dataset.columns, columns, (train, validation)),
    )


def _repeated(table: LargeTable) -> tuple[list[Mask], list[PartitionReport]]:
    """Return the rows of each partition whose identity an earlier one has, and new reports."""
    declaration = declaration_of_text(table.request.declaration)
    sizes = [report.rows_kept for report in table.reports]
    if not identity_columns(declaration, declaration.columns):
        return [np.zeros(size, dtype=bool) for size in sizes], [*table.reports]
    narrow = []
    for load in table.loads:
        rows = load()
        narrow.append(rows[identity_columns(declaration, rows.columns)])
    left_out, reports = find_repeated(declaration, narrow, table.reports)
    return np.split(left_out, np.cumsum(sizes)[:-1]), reports


def _kept(load: Load, left_out: Mask) -> pd.DataFrame:
    rows = load()
    return rows[~left_out].reset_index(drop=True) if left_out.any() else rows


def _look(table: LargeTable, left_out: Sequence[Mask]) -> _Seen:
    """Go through all rows once."""
    request, found = table.request, _Seen()
    dataset, declaration = request.dataset, declaration_of_text(request.declaration)
    for load, dropped in zip(table.loads, left_out, strict=True):
        rows = _kept(load, dropped)
        labels = label_texts(declaration, rows) if dataset.target.is_classified else None
        if labels is not None:
            found.labels.append(labels.astype("category"))
        if request.split.rule != "shuffle":
            found.line.append(line_of(request.split, dataset, rows, request.random_state))
        strata = strata_of(request.split, dataset, rows, labels)
        if strata is not None:
            found.strata.append(strata)
        found.hashes.append(row_hashes(rows))
        codes, names = pd.factorize(partition_keys(dataset, rows))
        numbers = [found.names.setdefault(str(name), len(found.names)) for name in names]
        found.keys.append(np.array(numbers, dtype=np.int32)[codes])
    return found


def _line(table: LargeTable, seen: _Seen) -> Places:
    """Return the place of each row; by chance, the draws are those of all rows at once."""
    request, rows = table.request, sum(map(len, seen.hashes))
    if request.split.rule != "shuffle":
        return np.concatenate(seen.line)
    nothing = pd.DataFrame(index=range(rows))
    return line_of(request.split, request.dataset, nothing, request.random_state)


def _stretches(
    table: LargeTable, left_out: Sequence[Mask], masks: dict[PartName, Mask]
) -> Iterator[tuple[pd.DataFrame, dict[PartName, Mask]]]:
    """Yield the rows of each partition, and which of them are in each part."""
    first = 0
    for load, dropped in zip(table.loads, left_out, strict=True):
        rows = _kept(load, dropped)
        inside = slice(first, first + len(rows))
        yield rows, {name: mask[inside] for name, mask in masks.items()}
        first += len(rows)


def _gathered(
    table: LargeTable, left_out: Sequence[Mask], masks: dict[PartName, Mask]
) -> _Gathered:
    """Go through all rows once more."""
    request, dataset = table.request, table.request.dataset
    places = _drawn_places(request, masks)
    targets: dict[PartName, list[Targets]] = {name: [] for name in PARTS}
    drawn: dict[PartName, list[pd.DataFrame]] = {name: [] for name in PARTS}
    test, times, done = list[pd.DataFrame](), list[Targets | None](), dict.fromkeys(PARTS, 0)
    days: list[npt.NDArray[np.int32] | None] = []
    for rows, inside in _stretches(table, left_out, masks):
        held = held_rows(request, rows)
        test.append(judged_rows(request, rows[inside["test"]]))
        for name in PARTS:
            own = held[inside[name]]
            targets[name].append(own[dataset.target.name].to_numpy(dtype=np.float64))
            if name == "calibration":
                drawn[name].append(own)
            if name in places:
                wanted = places[name]
                low, high = np.searchsorted(wanted, (done[name], done[name] + len(own)))
                drawn[name].append(own.iloc[wanted[low:high] - done[name]])
            done[name] += len(own)
            if name == "validation":
                times.append(times_of(dataset, own))
            if name == "train":
                days.append(train_days_of(dataset, own))
    frames = {name: _together(found) for name, found in drawn.items() if found}
    held_back = frames.pop("calibration")
    known = [each for each in times if each is not None]
    known_days = [each for each in days if each is not None]
    return _Gathered(
        {name: np.concatenate(found) for name, found in targets.items()},
        _Drawn(frames, places),
        _together(test),
        held_back if len(held_back) else None,
        np.concatenate(known) if len(known) == len(times) else None,
        np.concatenate(known_days) if len(known_days) == len(days) else None,
    )


def _together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return frames as one, with the types of columns that they would have had as one."""
    rows = pd.concat(frames, ignore_index=True)
    # A column of which a partition has no value at all is of objects there.
    objects = [str(name) for name, kind in rows.dtypes.items() if kind == np.dtype(object)]
    return rows.assign(**{name: rows[name].to_numpy() for name in objects})


def _drawn_places(
    request: TableRequest, masks: dict[PartName, Mask]
) -> dict[PartName, npt.NDArray[np.int64]]:
    """Draw the rows that encoders learn from, of each part in the same proportion."""
    generator = np.random.default_rng(request.random_state)
    sizes = {name: int(masks[name].sum()) for name in _LEARNED}
    share = min(1.0, LEARNED_ROWS / max(sizes["train"], 1))
    return {
        name: np.sort(generator.choice(size, round(share * size), replace=False, shuffle=False))
        for name, size in sizes.items()
    }


def _layouts(
    table: LargeTable,
    left_out: Sequence[Mask],
    masks: dict[PartName, Mask],
    drawn: _Drawn,
    folder: Path | None,
) -> dict[Layout, EncodedSplits]:
    request = table.request
    names, target = [*request.dataset.recipe(request.recipe).columns], request.dataset.target.name
    train, validation = drawn.rows["train"], drawn.rows["validation"]
    both = pd.concat([train, validation], ignore_index=True)
    logger.info(
        "The encoding is learned from %s of %s rows; all of them are encoded for boosting.",
        f"{len(both):,}",
        f"{sum(int(masks[name].sum()) for name in _LEARNED):,}",
    )
    actual = {
        name: rows[target].to_numpy(dtype=np.float64)
        for name, rows in (("train", train), ("validation", validation), ("both", both))
    }
    found: dict[Layout, EncodedSplits] = {}
    layouts: tuple[Layout, ...] = ("sparse", "dense")
    for layout in layouts:
        train_encoder = encoder_of(request, layout, len(train))
        encoder = encoder_of(request, layout, len(both))
        # Encodings by the target are cross-fitted for the very rows that they are learned from.
        own = as_float32(train_encoder.fit_transform(train[names], actual["train"]))
        all_own = as_float32(encoder.fit_transform(both[names], actual["both"]))
        if layout == "sparse":
            found[layout] = EncodedSplits(
                train=own,
                validation=as_float32(train_encoder.transform(validation[names])),
                train_validation=all_own,
                train_encoder=train_encoder,
                encoder=encoder,
                targets=(actual["train"], actual["validation"]),
            )
            continue
        sizes = {name: int(masks[name].sum()) for name in _LEARNED}
        matrices = _Matrices.of(sizes, own.shape[1], all_own.shape[1], folder)
        matrices.fill(table, left_out, masks, names, (train_encoder, encoder))
        matrices.train[drawn.places["train"]] = own
        first = len(train)
        matrices.both[drawn.places["train"]] = all_own[:first]
        matrices.both[sizes["train"] + drawn.places["validation"]] = all_own[first:]
        found[layout] = EncodedSplits(
            train=matrices.train,
            validation=matrices.validation,
            train_validation=matrices.both,
            train_encoder=train_encoder,
            encoder=encoder,
        )
    return found


@dataclass(frozen=True)
class _Matrices:
    """Dense matrices in files, to be filled part by part."""

    train: npt.NDArray[np.float32]
    validation: npt.NDArray[np.float32]
    both: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls, sizes: dict[PartName, int], columns: int, all_columns: int, folder: Path | None
    ) -> _Matrices:
        train, validation = sizes["train"], sizes["validation"]
        return cls(
            _in_file((train, columns), folder),
            _in_file((validation, columns), folder),
            _in_file((train + validation, all_columns), folder),
        )

    def fill(
        self,
        table: LargeTable,
        left_out: Sequence[Mask],
        masks: dict[PartName, Mask],
        names: list[str],
        encoders: tuple[RowEncoder, RowEncoder],
    ) -> None:
        """Encode the rows of each partition, some at a time."""
        done = dict.fromkeys(_LEARNED, 0)
        for rows, inside in _stretches(table, left_out, masks):
            held = held_rows(table.request, rows)[names]
            for name in _LEARNED:
                own = held[inside[name]]
                for first in range(0, len(own), CHUNK_ROWS):
                    self._write(name, done[name], own.iloc[first : first + CHUNK_ROWS], encoders)
                    done[name] += len(own.iloc[first : first + CHUNK_ROWS])

    def _write(
        self,
        part: PartName,
        first: int,
        rows: pd.DataFrame,
        encoders: tuple[RowEncoder, RowEncoder],
    ) -> None:
        by_train, by_both = (as_float32(encoder.transform(rows)) for encoder in encoders)
        own, begin = (self.train, 0) if part == "train" else (self.validation, len(self.train))
        own[first : first + len(rows)] = by_train
        self.both[begin + first : begin + first + len(rows)] = by_both


def _in_file(shape: tuple[int, int], folder: Path | None) -> npt.NDArray[np.float32]:
    """Return an array in a file that has no name, and whose room on the disk is reserved."""
    with tempfile.TemporaryFile(dir=folder) as file:
        size = shape[0] * shape[1] * np.dtype(np.float32).itemsize
        # A write to a page that the disk has no room for would end the process.
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
        if not size:
            return np.empty(shape, dtype=np.float32)
        return np.memmap(file, np.float32, "r+", 0, shape)

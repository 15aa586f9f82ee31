"""Partitions of a declared table against those before them, and the verdicts on them.

A verdict is stored, so that a partition that was refused never serves as history for a later one.
Partitions of different sources never do either.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.stored import declaration_of_text
from model_loop.errors import StoredObjectError
from model_loop.findings import Acceptance, Finding, settle
from model_loop.history.calendar import LATEST
from model_loop.history.comparison import LEAST_ROWS
from model_loop.history.declared import compared_table, sketch_of
from model_loop.history.detectors.scales import other_scales
from model_loop.history.judging import judge_partition
from model_loop.history.sketch import Sketch
from model_loop.history.table import ComparedTable
from model_loop.history.variation import told, without_calendar
from model_loop.history.verdicts import SUFFIX, verdicts_before
from model_loop.objects import ObjectReference, read_object, write_object
from model_loop.objects.documents import text_of
from model_loop.objects.store import write_bytes
from model_loop.partitions.checked import FOLDER, CheckedTable
from model_loop.partitions.keys import WHOLE, bounds_of, keys_of

logger = logging.getLogger(__name__)

#: Reads rows in storage.
Read = Callable[[ObjectReference], pd.DataFrame]
#: Partitions of few rows that one of few rows is held against.
_MOST_SMALL = 60


@dataclass(frozen=True)
class PartitionVerdict:
    """Outcome of the comparison of a partition with those before it.

    Parameters
    ----------
    table
        Checked files that hold the partition.
    partition
        Key of the partition.
    rows
        Rows of the partition that were read.
    quarantined
        Rows of it that were set aside.
    findings
        The gravest first; those that somebody has accepted are warnings.
    compared_with
        Partitions of the history, as ``2024-01 sha256``.
    sketch
        Sketch that later partitions are compared with; None of a table without time.
    """

    table: CheckedTable
    partition: str
    rows: int
    quarantined: int
    findings: tuple[Finding, ...] = ()
    compared_with: tuple[str, ...] = ()
    sketch: ObjectReference | None = None

    @property
    def variant(self) -> str:
        """Key of the variant."""
        return self.table.variant

    @property
    def digest(self) -> str:
        """Digest of the files."""
        return self.table.fetched.digest

    @property
    def refused(self) -> bool:
        """True if nobody may learn from the partition."""
        return any(finding.level == "refused" for finding in self.findings)

    def load_rows(self, read: Read = read_object) -> pd.DataFrame:
        """Read the rows of the partition that are kept.

        Parameters
        ----------
        read
            Reads the rows of the whole table; for many partitions, one that caches them.
        """
        rows, dataset = read(self.table.rows), self.table.fetched.dataset
        if not _is_cut(dataset):
            return rows
        first, end = bounds_of(self.partition, dataset.partition)
        times = rows[dataset.time]
        mine: pd.DataFrame = rows[(times >= first) & (times < end)].reset_index(drop=True)
        return mine

    def load_quarantine(self, read: Read = read_object) -> pd.DataFrame:
        """Read the rows of the partition that were set aside, as `quarantined` counts them."""
        aside, dataset = read(self.table.quarantine), self.table.fetched.dataset
        if aside.empty or not _is_cut(dataset):
            return aside
        rows = read(self.table.rows)
        keys = partition_keys(dataset, aside, self.table.partition)
        mine = keys == self.partition
        if rows[dataset.time].min() >= bounds_of(self.partition, dataset.partition)[0]:
            # The first partition has those of no other.
            mine |= ~np.isin(keys, partition_keys(dataset, rows, self.table.partition))
        own: pd.DataFrame = aside[mine].reset_index(drop=True)
        return own


@dataclass(frozen=True)
class _Partition:
    """A partition that is to be compared."""

    table: CheckedTable
    key: str
    rows: int
    quarantined: int
    sketch: Sketch
    findings: tuple[Finding, ...]


class TableHistory:
    """Verdicts on declared tables under a storage root.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address.
    """

    def __init__(self, storage_root: str) -> None:
        self.folder = UPath(storage_root) / FOLDER

    def compare(
        self, tables: Sequence[CheckedTable], accepted: Sequence[Acceptance] = ()
    ) -> list[PartitionVerdict]:
        """Compare the partitions of tables with those before them, and keep the verdicts.

        Parameters
        ----------
        tables
            Of one variant; each partition is compared with the earlier ones among them, and of the
            store, that are not refused.
        accepted
            Findings that an operator has accepted: they warn, and refuse nothing.

        Returns
        -------
        list of PartitionVerdict
            In the order of time; one for each table, if it has no time or is not cut by it. Of a
            table in one file, findings warn and refuse nothing.
        """
        dataset = tables[0].fetched.dataset
        if not _is_cut(dataset):
            return [self._uncompared(table, accepted) for table in tables]
        compared, verdicts = compared_table(dataset), list[PartitionVerdict]()
        partitions = [each for table in tables for each in _partitions(dataset, compared, table)]
        sketches: dict[str, Sketch] = {}
        for partition in sorted(partitions, key=lambda each: each.key):
            verdict = self._compare(partition, compared, verdicts, sketches, accepted)
            sketches[partition.key] = partition.sketch
            verdicts.append(verdict)
        return verdicts

    def _uncompared(self, table: CheckedTable, accepted: Sequence[Acceptance]) -> PartitionVerdict:
        report = table.report
        findings = settle(table.findings, accepted)
        verdict = PartitionVerdict(
            table, table.partition, report.rows_read, report.rows_set_aside, findings
        )
        self._keep(verdict)
        return verdict

    def _compare(
        self,
        partition: _Partition,
        compared: ComparedTable,
        before: Sequence[PartitionVerdict],
        sketches: Mapping[str, Sketch],
        accepted: Sequence[Acceptance],
    ) -> PartitionVerdict:
        stored = verdicts_before(
            self.folder / partition.table.variant,
            partition.key,
            PartitionVerdict,
            lambda each: _place(each.table) == _place(partition.table),
        )
        by_partition = {each.partition: each for each in (*stored, *before)}
        sound = [by_partition[key] for key in sorted(by_partition) if not by_partition[key].refused]
        history, past = sound[-LATEST:], _sketches(sound[-LATEST:], sketches)
        table = compared.limited_to(frozenset(partition.sketch.sample))
        table = without_calendar(table, [*past, partition.sketch])
        findings = judge_partition(table, partition.sketch, past)
        findings = told(findings, past, functools.partial(judge_partition, table))
        if partition.sketch.sampled < LEAST_ROWS:
            longer = _sketches(sound[-_MOST_SMALL:], sketches)
            findings = (*findings, *other_scales(table, partition.sketch, longer))
        if partition.table.partition == WHOLE:
            # All of it came at once, and there is no other file of that time.
            findings = tuple(dataclasses.replace(each, level="warning") for each in findings)
        folder = self.folder / partition.table.variant / partition.key
        verdict = PartitionVerdict(
            partition.table,
            partition.key,
            partition.rows,
            partition.quarantined,
            settle((*findings, *partition.findings), accepted),
            tuple(f"{each.partition} {each.digest}" for each in history),
            write_object(partition.sketch, folder, f"{partition.table.fetched.key}-sketch"),
        )
        self._keep(verdict)
        return verdict

    def _keep(self, verdict: PartitionVerdict) -> None:
        folder = self.folder / verdict.variant / verdict.partition
        path = folder / f"{verdict.table.fetched.key}{SUFFIX}"
        write_bytes(path, text_of(verdict).encode())


def _is_cut(dataset: Dataset) -> bool:
    """Return whether the time of rows says of which partition they are."""
    return dataset.time is not None and dataset.partition != "whole"


def partition_keys(dataset: Dataset, rows: pd.DataFrame, partition: str) -> np.ndarray:
    """Return the key of the partition of each row, shape (rows,).

    Parameters
    ----------
    partition
        Key of rows that are cut by no time.
    """
    if not _is_cut(dataset):
        return np.full(len(rows), partition, dtype=object)
    times = rows[dataset.time].to_numpy()
    keys = np.full(len(rows), "", dtype=object)
    dated = ~np.isnat(times)
    keys[dated] = keys_of(times[dated], dataset.partition)
    return keys


def _partitions(
    dataset: Dataset, compared: ComparedTable, table: CheckedTable
) -> Iterator[_Partition]:
    """Cut a table by its time; what nobody can date counts to its first partition."""
    rows, aside, report = table.load_rows(), table.load_quarantine(), table.report
    keys = partition_keys(dataset, rows, table.partition)
    names = sorted({str(key) for key in keys})
    times = rows[dataset.time]
    first, last = times.min().floor("D"), times.max().floor("D") + pd.Timedelta(days=1)
    reach = first.to_pydatetime(), last.to_pydatetime()
    aside_keys = partition_keys(dataset, aside, table.partition) if len(aside) else np.empty(0)
    dated = {name: int((aside_keys == name).sum()) for name in names}
    undated = report.rows_set_aside - sum(dated.values())
    for place, name in enumerate(names):
        inside = keys == name
        set_aside = dated[name] + (undated if place == 0 else 0)
        number = int(inside.sum()) + set_aside
        broken = {rule: count / report.rows_read for rule, count in report.set_aside.items()}
        bounds = bounds_of(name, dataset.partition)
        if table.partition == WHOLE:
            # A table begins and ends on any day: it lacks none of the days around it.
            bounds = max(bounds[0], reach[0]), min(bounds[1], reach[1])
        sketch = sketch_of(compared, name, bounds, rows[inside], broken if len(names) == 1 else {})
        findings = table.findings if place == 0 else ()
        yield _Partition(table, name, number, set_aside, sketch, findings)


def _place(table: CheckedTable) -> str:
    """Return where a partition comes from, without what tells it from others of that source."""
    fetched = table.fetched
    if len(fetched.files) > 1:
        # The files of a partition may have any names of their own.
        return f"{fetched.data_source} {declaration_of_text(fetched.declaration).source}"
    return f"{fetched.data_source} {fetched.url.replace(fetched.partition, '')}"


def _sketches(verdicts: Sequence[PartitionVerdict], made: Mapping[str, Sketch]) -> list[Sketch]:
    """Return the sketches of partitions: those that were just made, or of the store."""
    found = [made.get(each.partition) or _sketch(each) for each in verdicts]
    return [each for each in found if each is not None]


def _sketch(verdict: PartitionVerdict) -> Sketch | None:
    if verdict.sketch is None:
        return None
    try:
        sketch: Sketch = read_object(verdict.sketch)
    except StoredObjectError as error:
        logger.warning("%s is left out of the history: %s", verdict.partition, error)
        return None
    return sketch

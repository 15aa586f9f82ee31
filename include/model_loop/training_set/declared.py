"""Preparation of declared tables; see `training_set.preparation`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.stored import declaration_of_text, text_of_declaration
from model_loop.findings import Acceptance
from model_loop.history.tables import PartitionVerdict, TableHistory
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.files import LOCAL_PROTOCOLS
from model_loop.objects.store import write_bytes
from model_loop.options import build
from model_loop.partitions.checked import (
    FOLDER,
    CheckedTable,
    CheckedTableStore,
    FetchedTable,
    keys_of_files,
)
from model_loop.partitions.completing import complete_files
from model_loop.partitions.contract import TableLimits, drop_repeated
from model_loop.partitions.keys import check_partition
from model_loop.partitions.source import find_files
from model_loop.partitions.types import SourceFile
from model_loop.sources.copies import copies_in
from model_loop.sources.published import declaration_at
from model_loop.training_set.build import encode_table, require_ready
from model_loop.training_set.chunked import LARGE_ROWS, LargeTable, encode_partitions
from model_loop.training_set.options import TableOptions
from model_loop.training_set.products import TrainingSetProduct
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of
from model_loop.training_set.types import TrainingSet


@dataclass(frozen=True)
class TablePlan:
    """Files of a request when it was planned.

    Parameters
    ----------
    declaration
        Completed declaration, see `partitions.completing`.
    files
        The files, in the order of their partitions or names.
    """

    declaration: str
    files: tuple[SourceFile, ...]


class TablePreparation:
    """Preparation of a declared table.

    Parameters
    ----------
    dataset
        The dataset.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        # Read once, and not for each of a thousand partitions.
        self._plans: dict[str, TablePlan] = {}

    def request(self, params: Mapping[str, Any], source: str) -> TableRequest:
        """Return the training set that a form asks for."""
        options = build(TableOptions, params)
        return TableRequest(
            declaration=text_of_declaration(self._declaration(source)),
            variant=params["service"],
            recipe=params.get("recipe") or self.dataset.default_recipe,
            split=split_of(self.dataset, options.shares.of_parts),
            partitions=tuple(check_partition(key, self.dataset) for key in options.partitions),
            random_state=options.random_state,
            accepted_findings=options.accepted_findings,
        )

    def plan(
        self,
        request: TableRequest,
        *,
        storage_root: str,
        timeout_seconds: float,
    ) -> tuple[str, ...]:
        """Find the files, and complete the declaration by them; return the keys of partitions."""
        declaration = declaration_of_text(request.declaration)
        require_ready(declaration)
        files = _files(request, storage_root, timeout_seconds)
        completed = complete_files(declaration, files, request.variant)
        plan = TablePlan(text_of_declaration(completed), files)
        write_bytes(_entry(request, storage_root), text_of(plan).encode())
        self._plans[request.key] = plan
        return keys_of_files(completed, files)

    def is_current(
        self, product: TrainingSetProduct, *, storage_root: str, timeout_seconds: float
    ) -> bool:
        """Return whether the source still has the very files of a training set."""
        files = _files(product.request, storage_root, timeout_seconds)
        return [file.digest for file in files] == [file.digest for file in product.files]

    def fetch(
        self, request: TableRequest, partition: str, *, storage_root: str, timeout_seconds: float
    ) -> FetchedTable:
        """Return the files of a partition, as the plan has found or fetched them."""
        plan = self._plan(request, storage_root, timeout_seconds)
        files = plan.files
        if declaration_of_text(plan.declaration).comes_in_partitions:
            files = tuple(file for file in files if file.partition == partition)
        return FetchedTable(
            request.variant,
            partition,
            plan.declaration,
            files,
            request.partitions,
            request.limits,
        )

    def fetch_named(
        self,
        variant: str,
        source: str,
        partition: str,
        *,
        storage_root: str,
        timeout_seconds: float,
    ) -> FetchedTable:
        """Fetch a partition that no training set was asked for with."""
        request = TableRequest(
            declaration=text_of_declaration(self._declaration(source)),
            variant=variant,
            recipe=self.dataset.default_recipe,
            split=split_of(self.dataset),
            partitions=(check_partition(partition, self.dataset),),
        )
        key, *_ = self.plan(request, storage_root=storage_root, timeout_seconds=timeout_seconds)
        return self.fetch(request, key, storage_root=storage_root, timeout_seconds=timeout_seconds)

    def check(
        self, fetched: FetchedTable, *, storage_root: str, limits: TableLimits | None = None
    ) -> CheckedTable:
        """Check rows against the columns and rules of their declaration."""
        if limits is not None:
            fetched = dataclasses.replace(fetched, limits=limits)
        return CheckedTableStore(storage_root).check(fetched)

    def compare(
        self, checked: Sequence[CheckedTable], *, storage_root: str, accepted: Iterable[str] = ()
    ) -> list[PartitionVerdict]:
        """Compare partitions with those before them."""
        return TableHistory(storage_root).compare(checked, [*map(Acceptance.parse, accepted)])

    def encode(
        self,
        request: TableRequest,
        verdicts: Sequence[PartitionVerdict],
        *,
        storage_root: str,
    ) -> TrainingSet:
        """Split and encode the rows of sound partitions."""
        tables = list({verdict.table.partition: verdict.table for verdict in verdicts}.values())
        declaration = tables[0].fetched.declaration
        request = dataclasses.replace(request, declaration=declaration)
        files = [file for each in tables for file in each.fetched.files]
        reports = [table.report for table in tables]
        findings = [finding for verdict in verdicts for finding in verdict.findings]
        loads = [table.load_rows for table in tables]
        if sum(report.rows_kept for report in reports) >= LARGE_ROWS:
            root = UPath(storage_root)
            large = LargeTable(request, tuple(files), loads, tuple(reports), tuple(findings))
            # There is room for one in the place of training sets.
            return encode_partitions(
                large, Path(root.path) if root.protocol in LOCAL_PROTOCOLS else None
            )
        frames = [load() for load in loads]
        kept = drop_repeated(declaration_of_text(declaration), frames, reports, findings)
        del frames
        return encode_table(request, files, kept)

    def _declaration(self, source: str) -> Declaration:
        declaration = declaration_at(self.dataset, source)
        if declaration is None:
            raise AssertionError(self.dataset.name)
        return declaration

    def _plan(self, request: TableRequest, storage_root: str, timeout_seconds: float) -> TablePlan:
        if request.key not in self._plans:
            entry = _entry(request, storage_root)
            plan = read_document(entry, lambda stored: record_of(TablePlan, stored))
            if plan is None:
                self.plan(request, storage_root=storage_root, timeout_seconds=timeout_seconds)
            else:
                self._plans[request.key] = plan
        return self._plans[request.key]


def _files(
    request: TableRequest, storage_root: str, timeout_seconds: float
) -> tuple[SourceFile, ...]:
    return find_files(
        declaration_of_text(request.declaration),
        request.variant,
        request.partitions,
        copies=copies_in(UPath(storage_root), timeout_seconds),
    )


def _entry(request: TableRequest, storage_root: str) -> UPath:
    return UPath(storage_root) / FOLDER / "plans" / f"{request.key}.json"

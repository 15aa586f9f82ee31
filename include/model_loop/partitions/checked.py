"""Checked files of declared tables, kept so that the same content is not checked again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from upath import UPath

from model_loop.datasets.addresses import PARTITION
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.stored import dataset_of_text, declaration_of_text
from model_loop.errors import ContractError
from model_loop.findings import Finding
from model_loop.objects import ObjectReference, read_object, write_object
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.files import held
from model_loop.objects.store import write_bytes
from model_loop.partitions.contract import KeptRows, TableLimits, check_rows
from model_loop.partitions.keys import WHOLE, bounds_of, keys_of
from model_loop.partitions.source import identify
from model_loop.partitions.types import PartitionReport, SourceFile
from model_loop.tables.table import Bounds, Table, read_table

#: Below the storage root.
FOLDER = "products/tables"
#: Copies of remote files, below the storage root.
COPIES = f"{FOLDER}/files"
#: Raised whenever the same file would be read or checked differently.
_VERSION = 1


@dataclass(frozen=True)
class FetchedTable:
    """Files that are read together: those of one partition, or all files of a table.

    Parameters
    ----------
    variant
        Key of the variant.
    partition
        Key of the partition; ``whole`` where the files are one table.
    declaration
        Completed declaration, see `partitions.completing`.
    files
        The files, by their content.
    wanted
        Partitions whose rows are read of a table that is cut by its time; all, if empty.
    limits
        Shares of rows above which the partition is refused.
    """

    variant: str
    partition: str
    declaration: str
    files: tuple[SourceFile, ...]
    wanted: tuple[str, ...] = ()
    limits: TableLimits = field(default_factory=TableLimits)

    @property
    def dataset(self) -> Dataset:
        """Dataset, as the completed declaration has it."""
        return dataset_of_text(self.declaration)

    @property
    def digest(self) -> str:
        """Digest (sha256, hex) of the content: of the file, or of several together."""
        if len(self.files) == 1:
            return self.files[0].digest
        return hashlib.sha256(" ".join(file.digest for file in self.files).encode()).hexdigest()

    @property
    def url(self) -> str:
        """Address of the first file."""
        return self.files[0].url

    @property
    def data_source(self) -> str:
        """Kind of the source."""
        return self.files[0].data_source

    @property
    def path(self) -> str:
        """Path of the first file."""
        return self.files[0].path

    @property
    def key(self) -> str:
        """Digest (16 hex digits) of everything that the outcome of the check depends on."""
        declared = {**json.loads(self.declaration), "source": None, "variants": None}
        content = [
            _VERSION,
            self.variant,
            self.partition,
            self.digest,
            declared,
            self.wanted,
            asdict(self.limits),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class CheckedTable:
    """Files whose rows keep the contract.

    Parameters
    ----------
    fetched
        The files.
    report
        Numbers of rows that were kept and set aside.
    rows
        Rows that are kept.
    quarantine
        Rows that were set aside, with the rule that each breaks in a column of its own.
    findings
        Doubtful findings of the contract.
    """

    fetched: FetchedTable
    report: PartitionReport
    rows: ObjectReference
    quarantine: ObjectReference
    findings: tuple[Finding, ...] = ()

    @property
    def variant(self) -> str:
        """Key of the variant."""
        return self.fetched.variant

    @property
    def partition(self) -> str:
        """Key of the partition."""
        return self.fetched.partition

    def load_rows(self) -> pd.DataFrame:
        """Read the rows that are kept.

        Raises
        ------
        StoredObjectError
            If the object is missing or was altered.
        """
        rows: pd.DataFrame = read_object(self.rows)
        return rows

    def load_quarantine(self) -> pd.DataFrame:
        """Read the rows that were set aside."""
        rows: pd.DataFrame = read_object(self.quarantine)
        return rows


class CheckedTableStore:
    """The checked tables under a storage root.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address.
    """

    def __init__(self, storage_root: str) -> None:
        self.folder = UPath(storage_root) / FOLDER

    def check(self, fetched: FetchedTable) -> CheckedTable:
        """Check files against the contract of their table, unless the same content was before.

        Raises
        ------
        RefusedPartitionError
            If a rule refuses them, or too many rows are set aside.
        ContractError
            If a file cannot be read, or has changed since it was fetched.
        """
        entry = self._folder(fetched) / f"{fetched.key}.json"
        known = read_document(entry, lambda stored: record_of(CheckedTable, stored))
        if known is not None and all(
            UPath(each.uri).exists() for each in (known.rows, known.quarantine)
        ):
            # This content may have been found elsewhere since.
            return dataclasses.replace(known, fetched=fetched)
        declaration = declaration_of_text(fetched.declaration)
        kept = _checked(declaration, _read(declaration, fetched), fetched)
        checked = CheckedTable(
            fetched,
            kept.reports[0],
            write_object(kept.frame, entry.parent, f"{fetched.key}-rows"),
            write_object(kept.quarantine, entry.parent, f"{fetched.key}-quarantine"),
            kept.findings,
        )
        write_bytes(entry, text_of(checked).encode())
        return checked

    def files_by_key(self) -> Iterator[tuple[str, set[str]]]:
        """Yield the key of each checked table, and the digests of its files."""
        entries = self.folder.glob("*/*/*.json") if self.folder.exists() else ()
        # Objects of an entry, such as a verdict, have its key and more.
        for path in (entry for entry in entries if "-" not in entry.name):
            known = read_document(path, lambda stored: record_of(CheckedTable, stored))
            if known is not None:
                yield known.fetched.key, {file.digest for file in known.fetched.files}

    def _folder(self, fetched: FetchedTable) -> UPath:
        return self.folder / fetched.variant / fetched.partition


def _read(declaration: Declaration, fetched: FetchedTable) -> Table:
    """Read files, and make sure that they are still what was fetched."""
    named = fetched.variant.partition(".")[2] or None
    with contextlib.ExitStack() as stack:
        for file in fetched.files:
            if file.path != file.url:
                # A copy is not removed from the cache while it is read.
                with contextlib.suppress(FileNotFoundError):
                    stack.enter_context(held(UPath(file.path)))
        paths = [file.path for file in fetched.files]
        span = _span(declaration, fetched)
        table = read_table(declaration, paths, variant=named, within=span)
        if span is not None and not _has_all(declaration, table.frame, fetched.wanted):
            # Missing rows are computed from those that are there.
            table = read_table(declaration, paths, variant=named)
    for file in fetched.files:
        read = identify(file.variant, file.partition, file.path).digest
        if read != (file.copy_digest or file.digest):
            raise ContractError(
                f"The file {file.url}",
                "has changed since the run has begun",
                "Start the run again: it reads the file as it is now.",
            )
    return table


def _span(declaration: Declaration, fetched: FetchedTable) -> Bounds | None:
    """Return the time of the rows that are wanted of a table that is cut; None if all are."""
    cut = declaration.partition != "whole" and not declaration.comes_in_partitions
    if not cut or set(fetched.wanted) <= {WHOLE}:
        return None
    bounds = [bounds_of(key, declaration.partition) for key in fetched.wanted]
    return min(bounds)[0], max(bounds)[1]


def _checked(declaration: Declaration, table: Table, fetched: FetchedTable) -> KeptRows:
    frame, unreadable = table.frame, len(table.rejected)
    if fetched.wanted and not declaration.comes_in_partitions:
        inside = rows_of_partitions(declaration, frame, fetched.wanted)
        # The partition of a row that cannot be read is unknown.
        frame, unreadable = frame[inside].reset_index(drop=True), 0
    return check_rows(
        declaration,
        frame,
        np.full(len(frame), fetched.partition, dtype=object),
        unreadable={fetched.partition: unreadable},
        limits=fetched.limits,
    )


def _has_all(declaration: Declaration, frame: pd.DataFrame, partitions: Sequence[str]) -> bool:
    """Return whether a table has rows of each of some partitions."""
    time = declaration.time.column if declaration.time else ""
    times = frame[time].dropna().to_numpy() if time in frame else np.empty(0, dtype="M8[us]")
    return {*partitions} <= {*keys_of(times, declaration.partition)}


def rows_of_partitions(
    declaration: Declaration, frame: pd.DataFrame, partitions: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Return which rows of a table that is cut by its time are of some partitions, shape (rows,).

    Rows without a time are of none. All are wanted where none is named, or the whole table is.

    Raises
    ------
    ContractError
        If the table is not cut, or has no rows of a partition.
    """
    if set(partitions) <= {WHOLE}:
        return np.ones(len(frame), dtype=bool)
    if declaration.time is None or declaration.partition == "whole":
        raise ContractError(
            f"The table of {declaration.name}",
            f"is not cut, so that {', '.join(partitions)} is no partition of it",
            f"Leave partitions out, declare `partition` and [time], or put {PARTITION} into its "
            "source.",
        )
    times = frame[declaration.time.column]
    dated = times.notna().to_numpy(dtype=bool)
    keys = np.full(len(frame), "", dtype=object)
    keys[dated] = keys_of(times[dated].to_numpy(), declaration.partition)
    if missing := sorted({*partitions} - {*keys}):
        there = sorted({*keys[dated]})
        raise ContractError(
            f"The table of {declaration.name}",
            f"has no row of {', '.join(missing)}",
            f"It reaches from {there[0]} to {there[-1]}." if there else "It has no times.",
        )
    return np.isin(keys.astype(str), partitions)


def keys_of_files(declaration: Declaration, files: Sequence[SourceFile]) -> tuple[str, ...]:
    """Return the keys of what is read together: of each partition, or of all files as one table."""
    if not declaration.comes_in_partitions:
        return (WHOLE,)
    return tuple(dict.fromkeys(file.partition for file in files))

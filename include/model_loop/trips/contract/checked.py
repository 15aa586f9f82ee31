"""Months that were checked, kept so that the same file is not checked again."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
from upath import UPath

from model_loop.errors import ContractError
from model_loop.findings import Finding, RefusedPartitionError
from model_loop.history.sketch import Sketch
from model_loop.objects import ObjectReference, read_object, write_object
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.store import write_bytes
from model_loop.trips.contract.checking import (
    MonthFindings,
    MonthReading,
    Observer,
    check_month,
    require_within_limits,
)
from model_loop.trips.contract.report import MonthReport
from model_loop.trips.contract.rules import CONTRACT_VERSION, Limits
from model_loop.trips.services import Service, get_service
from model_loop.trips.source.naming import Naming
from model_loop.trips.source.types import MonthFile, RawMonth

_FOLDER = "products/months"


@dataclass(frozen=True)
class CheckedMonth:
    """A month that keeps its contract.

    Parameters
    ----------
    raw
        The file, as it was published.
    report
        What was found in it.
    quarantine
        Where the rows are that break a rule: a Parquet file, see `quarantine`.
    sketch
        Where the sketch is that later months are compared with; None of a month that was checked
        by an earlier version of this package.
    """

    raw: RawMonth
    report: MonthReport
    quarantine: ObjectReference
    sketch: ObjectReference | None = None

    @property
    def partition(self) -> str:
        """The month as an asset partition: ``green|2024-01``."""
        return f"{self.raw.service}|{self.raw.month}"

    def load_quarantine(self) -> pd.DataFrame:
        """Read the rows that break a rule.

        Raises
        ------
        StoredObjectError
            If the object is missing or was altered.
        """
        rows: pd.DataFrame = read_object(self.quarantine)
        return rows

    def load_sketch(self) -> Sketch:
        """Read the sketch, or make it where there is none yet.

        Raises
        ------
        StoredObjectError
            If the object is missing or was altered.
        """
        if self.sketch is None:
            service = get_service(self.raw.service)
            everything = Limits(quarantine_share=1.0, missing_share=1.0)
            return MonthReading(self.raw, service, everything).findings().sketch
        found: Sketch = read_object(self.sketch)
        return found


@dataclass(frozen=True)
class JudgedMonth:
    """A month that keeps its contract, whose digest may still be on its way.

    Parameters
    ----------
    report
        What was found in it.
    keep
        Waits for the digest, and keeps what was found under it, once.
    """

    report: MonthReport
    keep: Callable[[], CheckedMonth]


class CheckedMonthStore:
    """The checked months under a storage root.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address.
    """

    def __init__(self, storage_root: str) -> None:
        self.folder = UPath(storage_root) / _FOLDER

    def check(self, raw: RawMonth, service: Service, limits: Limits) -> CheckedMonth:
        """Check a month, unless the same file was checked before.

        Raises
        ------
        ContractError
            If the month breaks its contract; nothing is kept of it then.
        """
        with told_as_finding(raw):
            known = self._known(raw, limits)
            return known or self._keep(raw, check_month(raw, service, limits))

    def check_unnamed(
        self, naming: Naming, service: Service, limits: Limits, observer: Observer
    ) -> JudgedMonth:
        """The same of a file whose digest is not known yet, and without waiting for it.

        Parameters
        ----------
        naming
            Begins when the month has been read, which takes all cores. Where a file of the month
            was checked before, it is waited for first: it may have been this one.
        observer
            Sees the rows if the month is checked now; see `checking.MonthReading`.

        Raises
        ------
        ContractError
            As `check`.
        """
        file = naming.file
        with told_as_finding(file):
            known = self._known(naming.result(), limits) if self._folder(file).exists() else None
            if known is not None:
                return JudgedMonth(known.report, lambda: known)
            reading = MonthReading(file, service, limits, observer)
            naming.begin()
            findings = reading.findings()
        return JudgedMonth(
            findings.report, functools.cache(lambda: self._keep(naming.result(), findings))
        )

    def find(self, raw: RawMonth) -> CheckedMonth | None:
        """Return the outcome of the check of a file, if it was checked and can be read."""
        known = read_document(self.entry(raw), lambda stored: record_of(CheckedMonth, stored))
        if known is None or not UPath(known.quarantine.uri).exists():
            return None
        # The same content may have been found elsewhere since.
        return dataclasses.replace(known, raw=raw)

    def _known(self, raw: RawMonth, limits: Limits) -> CheckedMonth | None:
        known = self.find(raw)
        if known is not None:
            require_within_limits(raw, known.report, limits)
        return known

    def _keep(self, raw: RawMonth, findings: MonthFindings) -> CheckedMonth:
        folder = self._folder(raw)
        quarantine = write_object(findings.quarantine, folder, f"{self._key(raw)}-quarantine")
        sketch = write_object(findings.sketch, folder, f"{self._key(raw)}-sketch")
        checked = CheckedMonth(raw, findings.report, quarantine, sketch)
        write_bytes(self.entry(raw), text_of(checked).encode())
        return checked

    def _folder(self, raw: MonthFile) -> UPath:
        return self.folder / raw.service / raw.month

    def entry(self, raw: RawMonth) -> UPath:
        """Return where the check of a file is kept."""
        return self._folder(raw) / f"{self._key(raw)}.json"

    def _key(self, raw: RawMonth) -> str:
        what = f"{raw.service} {raw.month} {raw.digest} {CONTRACT_VERSION}"
        return hashlib.sha256(what.encode()).hexdigest()[:16]


@contextlib.contextmanager
def told_as_finding(file: MonthFile) -> Iterator[None]:
    """Give a breach of the contract the form that findings have everywhere."""
    try:
        yield
    except RefusedPartitionError:
        raise
    except ContractError as error:
        finding = Finding(
            "contract", None, file.month, "refused", f"The month {error.rule}.", error.remedy
        )
        raise RefusedPartitionError(error.given, error.rule, error.remedy, [finding]) from error

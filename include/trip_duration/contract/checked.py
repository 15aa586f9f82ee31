"""Months that were checked, kept so that the same file is not checked again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from upath import UPath

from model_loop.errors import ContractError
from model_loop.findings import Finding, RefusedPartitionError
from model_loop.history.sketch import Sketch
from model_loop.objects import ObjectReference, read_object, write_object
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.store import write_bytes
from trip_duration.contract.breaches import CONTRACT_VERSION
from trip_duration.contract.checking import (
    MonthFindings,
    check_month,
    require_within_limits,
)
from trip_duration.contract.report import MonthReport
from trip_duration.contract.rules import ContractLimits
from trip_duration.profile import MonthProfile
from trip_duration.services import Service, get_service
from trip_duration.source.types import MonthFile, RawMonth

_FOLDER = "products/months"


@dataclass(frozen=True)
class CheckedMonth:
    """A month that keeps its contract.

    Parameters
    ----------
    raw
        The file, as it was published.
    report
        Findings of the check.
    quarantine
        Where the rows are that break a rule: a Parquet file, see `quarantine`.
    sketch
        Where the sketch is that later months are compared with; None of a month that was checked
        by an earlier version of this package.
    profile
        Where its profile is; None of a month that was checked by an earlier version.
    """

    raw: RawMonth
    report: MonthReport
    quarantine: ObjectReference
    sketch: ObjectReference | None = None
    profile: ObjectReference | None = None

    @property
    def variant(self) -> str:
        """Key of the variant."""
        return self.raw.service

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
            return self._check_again().sketch
        sketch: Sketch = read_object(self.sketch)
        return sketch

    def load_profile(self) -> MonthProfile:
        """Read the profile of the sound trips, or make it where there is none yet.

        Raises
        ------
        StoredObjectError
            If the object is missing or was altered.
        """
        if self.profile is None:
            return self._check_again().profile
        profile: MonthProfile = read_object(self.profile)
        return profile

    def _check_again(self) -> MonthFindings:
        everything = ContractLimits(quarantine_share=1.0, missing_share=1.0)
        return check_month(self.raw, get_service(self.raw.service), everything)


class CheckedMonthStore:
    """The checked months under a storage root.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address.
    """

    def __init__(self, storage_root: str) -> None:
        self.folder = UPath(storage_root) / _FOLDER

    def check(self, raw: RawMonth, service: Service, limits: ContractLimits) -> CheckedMonth:
        """Check a month, unless the same file was checked before.

        Raises
        ------
        ContractError
            If the month breaks its contract; nothing is kept of it then.
        """
        with told_as_finding(raw):
            known = self._known(raw, limits)
            return known or self._keep(raw, check_month(raw, service, limits))

    def find(self, raw: RawMonth) -> CheckedMonth | None:
        """Return the outcome of the check of a file, if it was checked and can be read."""
        known = read_document(self.entry(raw), lambda stored: record_of(CheckedMonth, stored))
        if known is None or not UPath(known.quarantine.uri).exists():
            return None
        # This content may have been found elsewhere since.
        return dataclasses.replace(known, raw=raw)

    def _known(self, raw: RawMonth, limits: ContractLimits) -> CheckedMonth | None:
        known = self.find(raw)
        if known is not None:
            require_within_limits(raw, known.report, limits)
        return known

    def _keep(self, raw: RawMonth, findings: MonthFindings) -> CheckedMonth:
        folder = self._folder(raw)
        quarantine = write_object(findings.quarantine, folder, f"{self._key(raw)}-quarantine")
        sketch = write_object(findings.sketch, folder, f"{self._key(raw)}-sketch")
        profile = write_object(findings.profile, folder, f"{self._key(raw)}-profile")
        checked = CheckedMonth(raw, findings.report, quarantine, sketch, profile)
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

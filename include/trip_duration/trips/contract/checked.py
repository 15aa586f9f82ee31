"""Months that were checked, kept so that the same file is not checked again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from upath import UPath

from trip_duration.objects import ObjectReference, read_object, write_object
from trip_duration.objects.store import write_bytes
from trip_duration.objects.tree import flatten, rebuild
from trip_duration.trips.contract.checking import Observer, check_month, require_within_limits
from trip_duration.trips.contract.report import MonthReport
from trip_duration.trips.contract.rules import CONTRACT_VERSION, Limits
from trip_duration.trips.services import Service
from trip_duration.trips.source import MonthFile, RawMonth

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
    """

    raw: RawMonth
    report: MonthReport
    quarantine: ObjectReference

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


class CheckedMonthStore:
    """The checked months under a storage root.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address.
    """

    def __init__(self, storage_root: str) -> None:
        self.folder = UPath(storage_root) / _FOLDER

    def check(
        self, raw: RawMonth, service: Service, limits: Limits, observer: Observer | None = None
    ) -> CheckedMonth:
        """Check a month, unless the same file was checked before.

        Parameters
        ----------
        observer
            Sees the rows if the month is checked now; see `checking.check_month`.

        Raises
        ------
        ContractError
            If the month breaks its contract; nothing is kept of it then.
        """
        return self.check_file(raw, lambda: raw, service, limits, observer)

    def check_file(
        self,
        file: MonthFile,
        named: Callable[[], RawMonth],
        service: Service,
        limits: Limits,
        observer: Observer | None = None,
    ) -> CheckedMonth:
        """The same, of a file whose digest may still be on its way.

        Parameters
        ----------
        named
            Waits for the digest. A month of which no file was checked before is read meanwhile.

        Raises
        ------
        ContractError
            As `check`.
        """
        known = self.find(named()) if self._folder(file).exists() else None
        if known is not None:
            require_within_limits(file, known.report, limits)
            return known
        findings = check_month(file, service, limits, observer)
        raw = named()
        folder = self._folder(raw)
        quarantine = write_object(findings.quarantine, folder, f"{self._key(raw)}-quarantine")
        checked = CheckedMonth(raw, findings.report, quarantine)
        write_bytes(self._entry(raw), json.dumps(flatten(checked)[0], indent=1).encode())
        return checked

    def find(self, raw: RawMonth) -> CheckedMonth | None:
        """What the check of a file came to, if it was checked."""
        entry = self._entry(raw)
        if not entry.exists():
            return None
        known: CheckedMonth = rebuild(json.loads(entry.read_bytes()), {})
        if not UPath(known.quarantine.uri).exists():
            return None
        # The same content may have been found elsewhere since.
        return CheckedMonth(raw, known.report, known.quarantine)

    def _folder(self, raw: MonthFile) -> UPath:
        return self.folder / raw.service / raw.month

    def _entry(self, raw: RawMonth) -> UPath:
        return self._folder(raw) / f"{self._key(raw)}.json"

    def _key(self, raw: RawMonth) -> str:
        what = f"{raw.service} {raw.month} {raw.digest} {CONTRACT_VERSION}"
        return hashlib.sha256(what.encode()).hexdigest()[:16]

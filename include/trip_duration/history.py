"""Months against the months before them: which of them serve as history, and what is found.

A verdict is kept beside what the contract's check has found, so that a month that was refused never
serves as history for a later one. Months of different places never do either: a month of generated
trips is no history of a published one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model_loop.errors import StoredObjectError
from model_loop.findings import Acceptance, Finding, settle
from model_loop.history.calendar import LATEST
from model_loop.history.judging import judge_partition
from model_loop.history.sketch import Sketch
from model_loop.history.verdicts import SUFFIX, verdicts_before
from model_loop.objects.documents import text_of
from model_loop.objects.store import write_bytes
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.source.types import RawMonth
from trip_duration.table import trip_table

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HistoryVerdict:
    """Outcome of the comparison of a month with those before it.

    Parameters
    ----------
    month
        The month that was compared.
    findings
        The gravest first; those that somebody has accepted are warnings.
    compared_with
        The months of history, as ``2024-01 sha256``.
    """

    month: CheckedMonth
    findings: tuple[Finding, ...]
    compared_with: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        """Key of the variant."""
        return self.month.raw.service

    @property
    def partition(self) -> str:
        """Key of the month."""
        return self.month.raw.month

    @property
    def rows(self) -> int:
        """Number of rows of the file."""
        return self.month.report.rows

    @property
    def quarantined(self) -> int:
        """Number of rows that break a rule."""
        return self.month.report.quarantined

    @property
    def digest(self) -> str:
        """Digest of the file."""
        return self.month.raw.digest

    @property
    def refused(self) -> bool:
        """True if nobody may learn from the month."""
        return any(finding.level == "refused" for finding in self.findings)


class MonthHistory:
    """The verdicts under a storage root.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address.
    """

    def __init__(self, storage_root: str) -> None:
        self._store = CheckedMonthStore(storage_root)

    def compare(
        self, months: Sequence[CheckedMonth], accepted: Iterable[Acceptance] = ()
    ) -> list[HistoryVerdict]:
        """Compare months with those before them, of the same run and of the store.

        Parameters
        ----------
        months
            Of one service; each is compared with the earlier ones among them that are not refused.
        accepted
            Findings that an operator has accepted: they warn, and refuse nothing.

        Returns
        -------
        list of Verdict
            In the order of the months' time.
        """
        allowed = tuple(accepted)
        verdicts: list[HistoryVerdict] = []
        for month in sorted(months, key=lambda one: one.raw.month):
            verdicts.append(self._compare_one(month, verdicts, allowed))
            self._keep(verdicts[-1])
        return verdicts

    def _compare_one(
        self, month: CheckedMonth, before: Sequence[HistoryVerdict], accepted: Sequence[Acceptance]
    ) -> HistoryVerdict:
        stored = verdicts_before(
            self._store.folder / month.raw.service,
            month.raw.month,
            HistoryVerdict,
            lambda one: place_of(one.month.raw) == place_of(month.raw),
        )
        known = {one.month.raw.month: one for one in (*stored, *before)}
        history = [known[name].month for name in sorted(known) if not known[name].refused]
        history = history[-LATEST:]
        table = trip_table(month.raw.service)
        sketches = [sketch for one in history if (sketch := _sketch(one)) is not None]
        findings = judge_partition(table, month.load_sketch(), sketches)
        return HistoryVerdict(
            month,
            settle(findings, accepted),
            tuple(f"{one.raw.month} {one.raw.digest}" for one in history),
        )

    def _keep(self, verdict: HistoryVerdict) -> None:
        entry = self._store.entry(verdict.month.raw)
        path = entry.parent / f"{entry.stem}{SUFFIX}"
        write_bytes(path, text_of(verdict).encode())


def place_of(raw: RawMonth) -> str:
    """Return where a month comes from, without what tells it from other months of that place."""
    return f"{raw.data_source} {raw.url.replace(raw.month, '')}"


def _sketch(month: CheckedMonth) -> Sketch | None:
    try:
        return month.load_sketch()
    except StoredObjectError as error:
        logger.warning("%s is left out of the history: %s", month.partition, error)
        return None

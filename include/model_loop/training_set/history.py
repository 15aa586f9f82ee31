"""The months of a training set against the months before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from model_loop.findings import Acceptance, Finding, require_none_refused
from trip_duration.contract.checked import CheckedMonth
from trip_duration.history import HistoryVerdict, MonthHistory


def compare(
    months: Sequence[CheckedMonth], *, storage_root: str, accepted: Iterable[str] = ()
) -> list[HistoryVerdict]:
    """Compare checked months of one service with the months before them, and keep the verdicts.

    Parameters
    ----------
    accepted
        Findings that an operator has accepted; see `Acceptance.parse`.

    Raises
    ------
    InvalidInputError
        If one of the accepted findings cannot be read.
    """
    return MonthHistory(storage_root).compare(months, [*map(Acceptance.parse, accepted)])


def require_sound(verdicts: Iterable[HistoryVerdict]) -> tuple[Finding, ...]:
    """Refuse to learn from months of which one is refused; return the findings otherwise.

    Raises
    ------
    RefusedPartitionError
        With all findings.
    """
    known = list(verdicts)
    refused = [verdict.month.raw.month for verdict in known if verdict.refused]
    findings = tuple(finding for verdict in known for finding in verdict.findings)
    service = known[0].month.raw.service if known else ""
    words = "Month" if len(refused) == 1 else "Months"
    require_none_refused(f"{words} {', '.join(refused)} of {service}", findings)
    return findings

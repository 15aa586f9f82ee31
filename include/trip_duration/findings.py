"""Findings: one form for everything that a check has to tell about data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trip_duration.errors import ContractError

FindingLevel = Literal["warning", "refused"]
"""`refused`: nobody may learn from the partition. `warning`: a person should look; work goes on."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found in a partition.

    Parameters
    ----------
    code
        Name of the kind of finding: stable, for machines and for accepting it.
    column
        Name of the column, or None where the finding is about the partition as a whole.
    partition
        For example ``2024-01``.
    level
        How grave it is.
    message
        What was found and its likely cause, for people.
    remedy
        What to do about it, as a sentence.
    """

    code: str
    column: str | None
    partition: str
    level: FindingLevel
    message: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.partition}: {self.level} {self.code}: {self.message}"


class RefusedPartitionError(ContractError):
    """A partition cannot be learned from, and the findings say why.

    Parameters
    ----------
    given, rule, remedy
        See `TripDurationError`.
    findings
        All findings of the check, the refusing ones and the others.
    """

    def __init__(
        self, given: str, rule: str, remedy: str, findings: Iterable[Finding] = ()
    ) -> None:
        super().__init__(given, rule, remedy)
        self.findings = tuple(findings)


def require_none_refused(what: str, findings: Iterable[Finding]) -> None:
    """Raise an error if one of the findings refuses its partition.

    Raises
    ------
    RefusedPartitionError
        With the messages of the refusing findings; its `findings` holds all of them.
    """
    known = tuple(findings)
    refused = [finding for finding in known if finding.level == "refused"]
    if refused:
        raise RefusedPartitionError(
            what,
            "is refused: " + "; ".join(finding.message.rstrip(".") for finding in refused),
            refused[0].remedy,
            known,
        )

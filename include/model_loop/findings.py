"""Findings: one form for everything that a check has to tell about data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from model_loop.errors import ContractError, InvalidInputError

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
        Severity of the finding.
    message
        Finding and its likely cause, for people.
    remedy
        Remedy, as a sentence.
    """

    code: str
    column: str | None
    partition: str
    level: FindingLevel
    message: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.partition}: {self.level} {self.code}: {self.message}"


class DoubtfulDataWarning(UserWarning):
    """A partition has a finding that a person should look at; work goes on."""


class RefusedPartitionError(ContractError):
    """A partition cannot be learned from, and the findings say why.

    Parameters
    ----------
    given, rule, remedy
        See `ModelLoopError`.
    findings
        All findings of the check, the refusing ones and the others.
    """

    def __init__(
        self, given: str, rule: str, remedy: str, findings: Iterable[Finding] = ()
    ) -> None:
        super().__init__(given, rule, remedy)
        self.findings = tuple(findings)


def require_none_refused(subject: str, findings: Iterable[Finding]) -> None:
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
            subject,
            "cannot be learned from: "
            + "; ".join(f"{one.message.rstrip('.')} ({one.code})" for one in refused),
            f"{refused[0].remedy} If it is right as it is, accept the finding: "
            f"{refused[0].partition} {refused[0].code}.",
            known,
        )


@dataclass(frozen=True)
class Acceptance:
    """A finding that an operator has accepted, so that it no longer refuses its partition.

    Parameters
    ----------
    partition
        For example ``2024-01``.
    code
        Code of the finding.
    column
        Column of the finding; None accepts the code for every column.
    """

    partition: str
    code: str
    column: str | None = None

    @classmethod
    def parse(cls, text: str) -> Acceptance:
        """Read ``2024-01 another_unit``, or ``2024-01 another_unit price``.

        Raises
        ------
        InvalidInputError
            If it names no partition and code.
        """
        parts = text.split(maxsplit=2)
        if len(parts) < 2:  # noqa: PLR2004 - a partition and a code
            raise InvalidInputError(
                f"The accepted finding {text!r}",
                "names no partition and code",
                "Give the partition, the code and, if wanted, the column of a finding, with spaces "
                "between them: 2024-01 another_unit price.",
            )
        return cls(*parts)

    def covers(self, finding: Finding) -> bool:
        """Return whether it accepts a finding."""
        same = (self.partition, self.code) == (finding.partition, finding.code)
        return same and self.column in (None, finding.column)


def settle(findings: Iterable[Finding], accepted: Sequence[Acceptance]) -> tuple[Finding, ...]:
    """Return findings in which those that were accepted are warnings."""
    return tuple(
        dataclasses.replace(
            finding, level="warning", message=f"{finding.message} An operator has accepted it."
        )
        if finding.level == "refused" and any(one.covers(finding) for one in accepted)
        else finding
        for finding in findings
    )

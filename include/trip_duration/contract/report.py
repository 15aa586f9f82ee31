"""Report on a month: for the log, for people, and for the tracking server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trip_duration.contract.rules import ALL_RULES


@dataclass(frozen=True)
class RuleCount:
    """Number of rows of a month that break a rule.

    Parameters
    ----------
    rule
        Name of the rule.
    rows
        Number of rows that break it.
    first_row
        Number of the first of them in the file; None where there is none.
    """

    rule: str
    rows: int
    first_row: int | None


@dataclass(frozen=True)
class MonthReport:
    """Report on a month.

    Parameters
    ----------
    service, month
        Service and month.
    rows
        Rows of the file.
    rules
        Rows that break each rule; a row may break several.
    dropped, set_aside
        Rows in quarantine that nobody learns from, and those whose clock alone is wrong.
    missing_shares
        Share of missing values, of each column that is not required.
    typical_speed
        Median speed in miles per hour, of a sample of the trips.
    moving_share
        Share of the same sample that takes a minute and covers a distance.
    pickup_zones, dropoff_zones
        Number of zones where a trip of the sample begins, and where one ends.
    further_columns
        Columns that the contract does not know.
    """

    service: str
    month: str
    rows: int
    rules: tuple[RuleCount, ...]
    dropped: int
    set_aside: int
    missing_shares: Mapping[str, float]
    typical_speed: float
    moving_share: float
    pickup_zones: int
    dropoff_zones: int
    further_columns: tuple[str, ...]

    @property
    def quarantined(self) -> int:
        """Rows in quarantine."""
        return self.dropped + self.set_aside

    @property
    def quarantine_share(self) -> float:
        """Share of the rows that is in quarantine."""
        return self.quarantined / self.rows

    def rows_of(self, rule: str) -> int:
        """Number of rows that break a rule."""
        return next(count.rows for count in self.rules if count.rule == rule)

    def broken(self) -> tuple[RuleCount, ...]:
        """The rules that some row breaks, the most broken first."""
        broken = [count for count in self.rules if count.rows]
        return tuple(sorted(broken, key=lambda count: -count.rows))

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON."""
        return asdict(self) | {"quarantine_share": self.quarantine_share}

    def __str__(self) -> str:
        """Format as a table, for logs."""
        what = {rule.name: rule for rule in ALL_RULES}
        title = f"{self.service} {self.month}: {self.rows:,} rows"
        lines = [
            f"{title}, {self.quarantined:,} in quarantine ({self.quarantine_share:.3%})",
            f"  {'rule':<22} {'rows':>10}  {'action':<9}  what it means",
        ]
        lines += [
            f"  {count.rule:<22} {count.rows:>10,}  {ACTIONS[what[count.rule].action]:<9}  "
            f"{what[count.rule].broken_when}"
            for count in self.rules
        ]
        missing = ", ".join(f"{name} {share:.1%}" for name, share in self.missing_shares.items())
        lines.append(
            f"  missing: {missing or 'nothing'}; typical speed {self.typical_speed:.1f} miles per "
            f"hour; pick-ups in {self.pickup_zones} zones; "
            f"{len(self.further_columns)} further columns"
        )
        return "\n".join(lines)


ACTIONS = {"drop": "dropped", "set_aside": "set aside", "keep": "kept"}

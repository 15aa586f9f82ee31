"""The page that a campaign writes."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.production.faults.campaign import Campaign, Row, seconds
from tests.production.faults.loop import DAGS

_HEADINGS = (
    *("", "At", "Part", "Fault"),
    *("Well after", "Answers after", "Runs of that moment", "Unanswered", "Violations"),
)
_PAGE = Path(__file__).with_name("page.md")


def page(campaign: Campaign) -> str:
    """The page, as Markdown."""
    rows = campaign.rows
    violations = list(campaign.violations())
    kinds = Counter(row.fault.kind for row in rows)
    parts = len({row.fault.part for row in rows})
    runs = Counter((run["dag_id"], run["state"]) for run in campaign.loop.runs())
    minutes = (dt.datetime.now(tz=dt.UTC) - campaign.began).total_seconds() / 60
    recoveries = sorted(row.recovery_seconds for row in rows if row.recovery_seconds is not None)
    facts = [
        f"**{len(rows)} faults of {len(kinds)} kinds** at {parts} parts",
        f"{campaign.began:%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes, seed {campaign.seed}",
        f"**{len(violations)} violations** of an invariant",
        f"{len(campaign.loop.answers):,} predictions acknowledged",
        f"{campaign.loop.refused_in_all():,} requests for predictions not answered",
        f"versions registered: {len(campaign.invariants.known_versions)}",
        f"a part was well again after {seconds(_median(recoveries))} (median)",
        f"and after {seconds(max(recoveries, default=None))} at most",
        f"{len(campaign.missed)} more faults met nobody, and are not counted",
    ]
    said = "\n".join(f"- {fact}" for fact in facts)
    if violations:
        said += "\n\n## Violations\n\n" + "\n".join(f"- {one}" for one in violations)
    filled = {
        "facts": said,
        "kinds": _table(("Kind", "Faults"), sorted(kinds.items())),
        "runs": _table(
            ("DAG", "Ended well", "Failed"),
            ((dag, runs[dag, "success"], runs[dag, "failed"]) for dag in DAGS),
        ),
        "rows": _table(_HEADINGS, (_cells(*one) for one in enumerate(rows, start=1))),
    }
    text = _PAGE.read_text()
    for name, value in filled.items():
        text = text.replace(f"<!-- {name} -->", value)
    return text


def data(campaign: Campaign) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "seed": campaign.seed,
        "began": campaign.began.isoformat(),
        "violations": list(campaign.violations()),
        "acknowledged": len(campaign.loop.answers),
        "faults": [
            {
                "at": row.at.isoformat(),
                "kind": row.fault.kind,
                "part": row.fault.part,
                "seconds": row.fault.seconds,
                "amount": row.fault.amount,
                "recovery_seconds": row.recovery_seconds,
                "answer_seconds": row.answer_seconds,
                "runs": row.runs,
                "outcome": row.outcome,
                "unanswered": row.refused,
                "violations": row.violations,
            }
            for row in campaign.rows
        ],
    }


def write(campaign: Campaign, target: Path) -> None:
    """Write the page, and the same as JSON beside it."""
    target.write_text(page(campaign))
    target.with_suffix(".json").write_text(json.dumps(data(campaign), indent=1) + "\n")


def _median(values: Sequence[float]) -> float | None:
    return values[len(values) // 2] if values else None


def _cells(number: int, row: Row) -> Sequence[object]:
    return (
        number,
        f"{row.at:%H:%M:%S}",
        row.fault.part,
        row.fault,
        seconds(row.recovery_seconds),
        seconds(row.answer_seconds),
        row.outcome,
        row.refused,
        len(row.violations),
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)

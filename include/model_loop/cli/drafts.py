"""Output of the draft of a dataset, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from model_loop.cli.console import console

if TYPE_CHECKING:
    from model_loop.drafting.draft import Draft
    from model_loop.findings import Finding

#: Columns that the list of scores shows, the length of a bar, and the score below which one is
#: shown only among few.
_SHOWN, _BAR, _LOW = 20, 24, 0.01
#: Names that a line of columns of one type has.
_NAMES = 12
#: Code of the question about all columns, which the list of scores shows.
_QUESTION = "leak_suspected"


def print_draft(drafted: Draft, path: Path, target: str) -> None:
    """Print what was drafted: types, findings, the question about moments, and the next step."""
    out = console()
    out.print(
        Text.assemble(
            (str(path), "bold"),
            f"  {drafted.rows:,} rows, {drafted.columns:,} columns, target ",
            (target, "bold"),
        )
    )
    out.print()
    out.print(_types(drafted))
    print_findings([each for each in drafted.findings if each.column or each.code != _QUESTION])
    _print_scores(drafted, target)
    out.print()
    if drafted.open_columns:
        out.print(
            Text.assemble(
                ("Open: ", "bold yellow"),
                f"{', '.join(drafted.open_columns)}. Answer in the file (known), or draft it again "
                "with --known-later COLUMN or --known-at-request COLUMN.",
            )
        )
    else:
        out.print(Text.assemble(("No question is open.", "bold green")))
    out.print(f"Next: model-loop datasets check {path}")


def _types(drafted: Draft) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    by_kind: dict[str, list[str]] = {}
    for name, each in drafted.kinds.items():
        by_kind.setdefault(each, []).append(name)
    for kind, names in by_kind.items():
        more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
        table.add_row(kind, Text(", ".join(names[:_NAMES]) + more))
    return table


def print_findings(findings: Sequence[Finding]) -> None:
    """Print findings, each with its remedy."""
    if not findings:
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    table.add_column("finding", no_wrap=True)
    table.add_column("column", no_wrap=True, max_width=24)
    table.add_column("what it means, and what to do")
    for finding in findings:
        style = "bold red" if finding.level == "refused" else "yellow"
        text = Text.assemble(finding.message, "\n", (finding.remedy, "dim"))
        table.add_row(Text(finding.code, style), Text(finding.column or ""), text)
    out = console()
    out.print()
    out.print(table)


def _print_scores(drafted: Draft, target: str) -> None:
    """Print the columns in the order of what they say about the target."""
    out = console()
    out.print()
    out.print(Text(f"Which columns are known only after {target} is to be predicted?", "bold"))
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, max_width=32)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="bold yellow", no_wrap=True)
    shown = [
        name
        for place, name in enumerate(drafted.ranked[:_SHOWN])
        if place < _SHOWN / 2 or drafted.scores[name] >= _LOW
    ]
    for name in shown:
        score = drafted.scores[name]
        bar = Text("━" * max(round(score * _BAR), 1), "cyan")
        mark = "?" if name in drafted.open_columns else ""
        table.add_row(Text(name), bar, f"{score:.2f}", mark)
    out.print(table)
    left = len(drafted.ranked) - len(shown)
    if left:
        highest = drafted.scores[drafted.ranked[len(shown)]]
        out.print(Text(f"and {left:,} more, of at most {highest:.2f}; all in the file", "dim"))

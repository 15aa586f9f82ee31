"""Output of the draft of a dataset, for people."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from model_loop.cli.console import console

if TYPE_CHECKING:
    from rich.console import Console

    from model_loop.drafting.draft import Draft
    from model_loop.drafting.questions import Question
    from model_loop.findings import Finding

#: Columns that the list of scores shows, the length of a bar, and the score below which one is
#: shown only among few.
_SHOWN, _BAR, _LOW = 20, 24, 0.01
#: Names that a line of columns of one type has.
_NAMES = 12
#: Code of the question about all columns, which the list of scores shows.
_QUESTION = "leak_suspected"


def print_draft(drafted: Draft, path: Path, target: str, command: Sequence[str]) -> None:
    """Print what was drafted: types, findings, the question about moments, and the next step.

    Parameters
    ----------
    command
        Words of the command that makes this draft.
    """
    out = console()
    out.print(
        Text.assemble(
            (str(path), "bold"),
            f"  {drafted.rows:,} rows, {drafted.columns:,} columns, target ",
            (target, "bold"),
            _task_of(drafted),
        )
    )
    out.print()
    out.print(_types(drafted))
    print_findings([each for each in drafted.findings if each.column or each.code != _QUESTION])
    out.print()
    out.print(Text(f"Which columns are known only after {target} is to be predicted?", "bold"))
    _print_scores(out, drafted.ranked, drafted.scores, drafted.open_columns)
    out.print()
    if drafted.ambiguous:
        out.print(Text.assemble(("Open: ", "bold yellow"), _reading_of(drafted, path)))
    if drafted.open_columns:
        _print_open(drafted, path, command)
        return
    if not drafted.ambiguous:
        out.print(Text("No column is an open question.", "bold green"))
    if drafted.ranked and not drafted.is_asked:
        out.print(
            "The draft takes all columns for known at the request. Draft it again with "
            "--known-later COLUMN for each that is not: no statistic tells them apart."
        )
    out.print(Text(f"Next: model-loop datasets check {shlex.quote(str(path))}"))


def _reading_of(drafted: Draft, path: Path) -> str:
    """Return the question about columns whose values can be read in several ways."""
    return (
        f"how the values of {', '.join(drafted.ambiguous)} are read. See the findings; correct "
        f"{path} or confirm it (status), or, for dates, draft it again with --date-order."
    )


def _task_of(drafted: Draft) -> str:
    """Return what is predicted, in words."""
    if drafted.positive is not None:
        return f", yes or no: {drafted.positive.label} in {drafted.positive.share:.2%} of the rows"
    return f", one of {len(drafted.classes)} classes" if drafted.classes else ""


def _print_open(drafted: Draft, path: Path, command: Sequence[str]) -> None:
    """Print which columns are open, and the command that answers for them."""
    out = console()
    names = drafted.open_columns
    asked = Table.grid()
    asked.add_row(
        Text.assemble(
            ("Open: ", "bold yellow"),
            f"from which moment {', '.join(names)} {'are' if len(names) > 1 else 'is'} known. "
            f"Answer in {path} (known, then status), or draft it again. If all of them are known "
            "only later:",
        )
    )
    out.print(asked)
    later = [word for name in names for word in ("--known-later", name)]
    out.print(Text(f"Next: {shlex.join([*command, *later, '--force'])}"), soft_wrap=True)


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
    out = console()
    for finding in findings:
        style = "bold red" if finding.level == "refused" else "yellow"
        out.print()
        out.print(Text.assemble((finding.code, style), "  ", (finding.column or "", "bold")))
        # A table wraps its cells at words; text of its own is left to the terminal.
        texts = Table.grid(padding=(0, 1))
        texts.add_row(" ", Text(finding.message))
        texts.add_row(" ", Text(finding.remedy, "dim"))
        out.print(texts)


def print_question(question: Question) -> None:
    """Print a question, with what the rows say of it."""
    out = console(stderr=True)
    out.print()
    out.print(Text.assemble((question.text, "bold"), "  ", (question.option, "dim")))
    _print_scores(out, list(question.scores), question.scores, ())
    if question.evidence:
        out.print(Text(question.evidence, "dim"))


def _print_scores(
    out: Console, ranked: Sequence[str], scores: Mapping[str, float], marked: Collection[str]
) -> None:
    """Print columns in the order of what they say about the target; some have a mark."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, max_width=32)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="bold yellow", no_wrap=True)
    shown = [
        name
        for place, name in enumerate(ranked[:_SHOWN])
        if place < _SHOWN / 2 or scores[name] >= _LOW
    ]
    for name in shown:
        bar = Text("━" * max(round(scores[name] * _BAR), 1), "cyan")
        table.add_row(Text(name), bar, f"{scores[name]:.2f}", "?" if name in marked else "")
    if shown:
        out.print(table)
    left = len(ranked) - len(shown)
    if left:
        highest = scores[ranked[len(shown)]]
        out.print(Text(f"and {left:,} more, of at most {highest:.2f}; all in the file", "dim"))

"""The commands ``model-loop datasets``: draft a dataset from files, check it, add and remove it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich import box
from rich.table import Table
from rich.text import Text

from model_loop.cli.console import console
from model_loop.drafting.answers import DraftAnswers
from model_loop.errors import InvalidInputError

if TYPE_CHECKING:
    from model_loop.drafting.analysis import Analysis, RefusedTableError
    from model_loop.drafting.draft import Draft
    from model_loop.findings import Finding
    from model_loop.tables.refused import TableFileError

datasets = App(
    name="datasets",
    help="Datasets: draft one from files, check, add and remove it.",
    default_parameter=Parameter(negative=(), show_default=False),
)

AsJson = Annotated[bool, Parameter(name="--json")]

_ANSWERS = DraftAnswers()


@datasets.command
def init(
    *files: str,
    target: str,
    output: Path = Path(),
    answers: Annotated[DraftAnswers, Parameter(name="*", group="Answers")] = _ANSWERS,
    force: bool = False,
    no_input: bool = False,
    as_json: AsJson = False,
) -> None:
    """Draft the declaration of a dataset from its files, and say what is doubtful about them.

    Reads the files whole, and writes `<name>.toml` with the evidence as comments. On a terminal, it
    asks what the rows leave open; each question has a default, and an option that answers it.

    Parameters
    ----------
    files
        Files of the table, with the same columns: CSV (also in gzip or zip), Parquet, Arrow or JSON
        lines.
    target
        Column to predict.
    output
        Folder of the declaration.
    force
        Overwrite the declaration.
    no_input
        Ask nothing: take the defaults.
    as_json
        Print one JSON object, for machines.
    """
    if not files:
        raise InvalidInputError("The list of files", "is empty", "Name at least one file.")
    from model_loop.drafting.analysis import RefusedTableError, analyse
    from model_loop.drafting.draft import draft
    from model_loop.tables.refused import TableFileError

    try:
        with _busy("Reading the files whole, and looking at each column"):
            analysis = analyse(files, target, folder=output, date_order=answers.date_order)
        if sys.stdin.isatty() and not no_input and not as_json:
            answers = _ask(analysis, answers)
        drafted = draft(analysis, answers)
    except (RefusedTableError, TableFileError) as error:
        if as_json:
            _print_json({"rows": 0, "columns": 0, "file": None, "findings": [_refusal(error)]})
        raise
    path = output / f"{drafted.name}.toml"
    _write(path, drafted.text, force=force)
    if as_json:
        _print_json(
            {
                "rows": drafted.rows,
                "columns": drafted.columns,
                "file": str(path),
                "findings": [finding.to_json() for finding in drafted.findings],
            }
        )
        return
    _print_draft(drafted, path, target)


def _ask(analysis: Analysis, answers: DraftAnswers) -> DraftAnswers:
    """Ask the open questions on the terminal."""
    from model_loop.drafting.questions import MOST_QUESTIONS, questions

    out = console(stderr=True)
    asked: set[str] = set()
    while len(asked) < MOST_QUESTIONS:
        # An answer may leave nothing to ask, or something new.
        question = next((q for q in questions(analysis, answers) if q.field not in asked), None)
        if question is None:
            break
        asked.add(question.field)
        default = f" [{question.default}]" if question.default else ""
        text = Text.assemble("\n", question.text, " ", (question.option, "dim"))
        out.print(text)
        answers = question.answered(answers, out.input(f"{default} > "))
    return answers


@contextlib.contextmanager
def _busy(text: str) -> Iterator[None]:
    """Show on a terminal that work goes on."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield
        return
    with out.status(text):
        yield


def _refusal(error: RefusedTableError | TableFileError) -> dict[str, Any]:
    """Return the finding of an error that ends the draft."""
    return {
        "code": error.code,
        "column": getattr(error, "column", None),
        "partition": "whole",
        "level": "refused",
        "message": f"{error.given} {error.rule}.",
        "remedy": error.remedy,
    }


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write a declaration, whole or not at all, once it reads back."""
    from model_loop.datasets.declaration import parse_declaration

    parse_declaration(text, str(path))
    if path.exists() and not force:
        raise InvalidInputError(
            f"The file {path}", "exists", "Give --force to overwrite it, or another --name."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _print_draft(drafted: Draft, path: Path, target: str) -> None:
    out = console()
    out.print(f"{path}: {drafted.rows:,} rows, {drafted.columns:,} columns, target {target}")
    print_findings(drafted.findings)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print findings, each with its remedy."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    for heading in ("finding", "column"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it means, and what to do")
    for finding in findings:
        text = Text.assemble(finding.message, "\n", (finding.remedy, "dim"))
        table.add_row(finding.code, finding.column or "", text)
    console().print(table)


def _print_json(value: object) -> None:
    print(json.dumps(value))  # noqa: T201 - the command's answer, unwrapped

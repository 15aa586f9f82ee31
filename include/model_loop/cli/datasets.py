"""The commands ``model-loop datasets``: draft a dataset from files, check it, add and remove it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich import box
from rich.table import Table
from rich.text import Text
from upath import UPath

from model_loop.cli.codes import ExitCode
from model_loop.cli.console import console, print_error
from model_loop.cli.drafts import print_draft, print_findings, print_question
from model_loop.cli.options import AsJson
from model_loop.drafting.answers import DraftAnswers
from model_loop.errors import InvalidInputError, ModelLoopError, require_within
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from model_loop.drafting.analysis import Analysis, DraftedFiles, RefusedTableError
    from model_loop.drafting.kinds import Report
    from model_loop.tables.refused import TableFileError

datasets = App(
    name="datasets",
    help="Datasets: draft one from files, check, add and remove it.",
    default_parameter=Parameter(negative=(), show_default=False),
)

Storage = Annotated[str, Parameter(show_default=False)]

_ANSWERS = DraftAnswers()
#: Rows of a database that a draft looks at.
_SAMPLE = 200_000
#: JSON of files that were refused while they were read.
_NOTHING_READ = {"rows": 0, "columns": 0, "file": None}
_STORAGE = get_settings().storage_root


@datasets.command
def init(  # noqa: PLR0913 - one for each option
    *files: str,
    target: str,
    output: Path = Path(),
    answers: Annotated[DraftAnswers, Parameter(name="*", group="Answers")] = _ANSWERS,
    force: bool = False,
    no_input: bool = False,
    as_json: AsJson = False,
    connection: str | None = None,
    table: str | None = None,
    query: str | None = None,
    sample: int = _SAMPLE,
) -> None:
    """Draft the declaration of a dataset from its files, and say what is doubtful about them.

    Reads the files whole, or a sample of the rows of a database, and writes `<name>.toml` with the
    evidence as comments. On a terminal, it asks what the rows leave open; each question has a
    default, and an option that answers it.

    Parameters
    ----------
    files
        Files of the table, with the same columns: CSV (also in gzip or zip), Parquet, Arrow or JSON
        lines; a folder, a pattern with `*`, or `package://name/path` of an installed package.
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
    connection
        Id of a connection of Airflow to a database, such as `warehouse` of the variable
        AIRFLOW_CONN_WAREHOUSE, in place of files.
    table
        Table of the database, with its schema.
    query
        A SELECT in place of a table.
    sample
        Rows of the database that are drawn and looked at.
    """
    given = {"connection": connection, "table": table, "query": query}
    source = {name: value for name, value in given.items() if value is not None}
    if bool(files) == bool(source):
        raise InvalidInputError(
            "The command",
            "names files and a database, or neither",
            "Name at least one file, or --connection with --table or --query.",
        )
    from model_loop.drafting.analysis import RefusedTableError, analyse
    from model_loop.drafting.draft import draft
    from model_loop.tables.refused import TableFileError

    def looked_at(answers: DraftAnswers) -> tuple[DraftedFiles, Analysis]:
        with _busy("Reading the files whole") as report:
            if source:
                return _analyse_sample(source, target, sample, answers, report)
            order = answers.date_order
            return analyse(files, target, folder=output, date_order=order, report=report)

    try:
        read, analysis = looked_at(answers)
        if sys.stdin.isatty() and not no_input and not as_json:
            read, analysis, answers = _ask(read, analysis, answers, looked_at)
        drafted = draft(read, analysis, answers)
    except (RefusedTableError, TableFileError) as error:
        if as_json:
            _print_json({**_NOTHING_READ, "findings": [_refusal(error)]})
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
    if read.pattern.sampled:
        console().print(f"Looked at {read.pattern.sampled}.", soft_wrap=True)
    named = [*files, *(word for name in source for word in (f"--{name}", source[name]))]
    named += ["--sample", str(sample)] * (bool(source) and sample != _SAMPLE)
    print_draft(drafted, path, target, _command(named, target, output, answers))


def _analyse_sample(
    given: dict[str, str], target: str, rows: int, answers: DraftAnswers, report: Report
) -> tuple[DraftedFiles, Analysis]:
    """Analyse a sample of the rows of a database."""
    from pydantic import ValidationError

    from model_loop.datasets.declaration import DatabaseSource
    from model_loop.datasets.declaration_file import refusal_of
    from model_loop.drafting.analysis import analyse
    from model_loop.drafting.sources import FilePattern
    from model_loop.partitions.database import write_sample

    require_within("--sample", rows, least=1)
    try:
        source = DatabaseSource.model_validate(given)
    except ValidationError as error:
        raise refusal_of(error, "source") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.parquet"
        report(f"Drawing {rows:,} rows of {source}")
        there = write_sample(source, target, rows, path, get_settings().request_timeout_seconds)
        read, analysis = analyse(
            [str(path)], target, folder=Path(folder), date_order=answers.date_order, report=report
        )
    drawn = f"{read.raw.rows:,} of {there:,} rows of {source}, drawn by their hashes"
    stem = source.relation.rpartition(".")[2]
    pattern = FilePattern(source, None, stem, drawn)
    return dataclasses.replace(read, pattern=pattern), analysis


def _command(files: Sequence[str], target: str, output: Path, answers: DraftAnswers) -> list[str]:
    """Return the words of the command that makes a draft with these answers."""
    words = ["model-loop", "datasets", "init", *files, "--target", target]
    if output != Path():
        words += ["--output", str(output)]
    for field in dataclasses.fields(answers):
        value, option = getattr(answers, field.name), f"--{field.name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [option] * value
        else:
            values = (value,) if isinstance(value, str) else value or ()
            words += [word for each in values for word in (option, each)]
    return words


@datasets.command(name="check")
def check_dataset(dataset: str, *, storage: Storage = _STORAGE, as_json: AsJson = False) -> None:
    """Check a declaration and its files, and say what a change of it invalidates.

    Ends with exit code 1 while a question is open, or a finding refuses the dataset.

    Parameters
    ----------
    dataset
        File of the declaration, or name of a dataset.
    storage
        Root of the storage, which holds the record of each name.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.datasets.changes import effect_of
    from model_loop.datasets.declaration_file import read_declaration
    from model_loop.datasets.holidays import holidays_of
    from model_loop.datasets.registration import changes_since_added
    from model_loop.drafting.analysis import RefusedTableError
    from model_loop.drafting.checking import check_dataset
    from model_loop.partitions.source import find_files, resolved_source
    from model_loop.sources.copies import copies_in
    from model_loop.tables.refused import TableFileError
    from model_loop.tables.table import source_files

    path = _path_of(dataset)
    declaration = read_declaration(path)
    holidays_of(declaration.time)
    located = resolved_source(declaration, path.parent)
    with _busy("Reading the files whole"):
        if isinstance(located.source, str):
            files = source_files(located)
        else:
            copies = copies_in(UPath(storage), get_settings().request_timeout_seconds)
            variant = ".".join([located.name, *[*located.variants][:1]])
            files = [file.path for file in find_files(located, variant, copies=copies)]
        try:
            checked = check_dataset(declaration, files)
        except (RefusedTableError, TableFileError) as error:
            if as_json:
                refused = {**_NOTHING_READ, "file": str(path), "findings": [_refusal(error)]}
                _print_json({**refused, "status": declaration.status})
            raise
    changes = changes_since_added(declaration, storage)
    effect = effect_of(changes or ())
    if as_json:
        _print_json(
            {
                "rows": checked.rows,
                "columns": checked.columns,
                "file": str(path),
                "status": declaration.status,
                "open_questions": list(declaration.open_questions),
                "findings": [finding.to_json() for finding in checked.findings],
                "changes": [change.to_json() for change in changes or ()],
                "invalidates": effect.text,
            }
        )
    else:
        out = console()
        out.print(f"{path}: {checked.rows:,} rows, {checked.columns:,} columns")
        print_findings(checked.findings)
        if checked.accepted:
            out.print(f"{checked.accepted} findings were accepted.")
        for change in changes or ():
            out.print(f"{change.key}: {change.before} is now {change.after}; {change.effect.text}")
        if changes:
            out.print(f"In all, these changes invalidate {effect.text}.")
        out.print()
        if checked.is_refused:
            out.print(Text("It cannot be trained on yet: see the findings above.", "bold red"))
        else:
            added = "" if changes is not None else f", or: model-loop datasets add {dataset}"
            out.print(Text(f"Next: model-loop run {dataset}{added}"), soft_wrap=True)
    if checked.is_refused:
        sys.exit(ExitCode.NEGATIVE)


@datasets.command(name="list")
def list_datasets(*, as_json: AsJson = False) -> None:
    """List the datasets, broken files among them.

    Parameters
    ----------
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.datasets.registry import dataset_names, datasets_folder

    rows = [_listed(name) for name in dataset_names()]
    if as_json:
        _print_json({"datasets": rows})
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    headings = ("name", "status", "target", "title")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "title")
    for row in rows:
        table.add_row(*(row[key] for key in headings))
    console().print(table)
    console().print(Text(f"Files are in {datasets_folder()}.", "dim"))


@datasets.command
def show(dataset: str, *, as_json: AsJson = False) -> None:
    """Show what is declared of a dataset.

    Parameters
    ----------
    dataset
        File of the declaration, or name of a dataset.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.datasets.changes import digest_of
    from model_loop.datasets.declaration_file import read_declaration

    path = _path_of(dataset)
    declaration = read_declaration(path)
    if as_json:
        content = declaration.model_dump(mode="json", exclude_defaults=True)
        _print_json({"file": str(path), "digest": digest_of(declaration), "declaration": content})
        return
    out = console()
    out.print(Text.assemble((str(path), "bold"), f"  digest {digest_of(declaration)[:16]}\n"))
    out.print(path.read_text(encoding="utf-8-sig").rstrip())


@datasets.command
def add(
    file: Path, *, force: bool = False, storage: Storage = _STORAGE, as_json: AsJson = False
) -> None:
    """Add a dataset: put its declaration into the folder of datasets.

    Parameters
    ----------
    file
        File of the declaration.
    force
        Replace the declaration of the same name.
    storage
        Root of the storage, which holds the record of each name.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.datasets.registration import add_dataset

    path = add_dataset(file, storage, force=force)
    if as_json:
        _print_json({"name": path.stem, "file": str(path)})
        return
    console().print(f"Added {path.stem}: {path}", soft_wrap=True)
    ran = (UPath(storage) / "runs" / path.stem).exists()
    step = f"predict {path.stem} COLUMN=VALUE …" if ran else f"run {path.stem}"
    console().print(f"Next: model-loop {step}")


@datasets.command
def remove(name: str, *, storage: Storage = _STORAGE, as_json: AsJson = False) -> None:
    """Remove a dataset from the folder of datasets, and say what stays.

    Parameters
    ----------
    name
        Name of the dataset.
    storage
        Root of the storage, which holds the record of each name.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.datasets.registration import remove_dataset

    path = remove_dataset(name, storage)
    stays = (
        f"Training sets, runs and models of {name} stay, and so does the record of its name: "
        "no other table gets it."
    )
    if as_json:
        _print_json({"name": name, "file": str(path), "stays": stays})
        return
    console().print(f"Removed {path}.\n{stays}", soft_wrap=True)


@datasets.command(name="export")
def export_dataset(dataset: str, *, output: Path | None = None) -> None:
    """Write a declaration as a data package of Frictionless.

    Parameters
    ----------
    dataset
        File of the declaration, or name of a dataset.
    output
        File to write; standard output by default.
    """
    from model_loop.datasets.datapackage import to_datapackage
    from model_loop.datasets.declaration_file import read_declaration

    package = to_datapackage(read_declaration(_path_of(dataset)))
    text = json.dumps(package, indent=2, ensure_ascii=False)
    if output is None:
        print(text)  # noqa: T201 - the command's answer, unwrapped
        return
    output.write_text(f"{text}\n", encoding="utf-8")


@datasets.command(name="import")
def import_dataset(
    file: Path, *, target: str | None = None, output: Path = Path(), force: bool = False
) -> None:
    """Write the declaration that a data package of Frictionless describes.

    Parameters
    ----------
    file
        A `datapackage.json` with one resource.
    target
        Column to predict, where the package does not say.
    output
        Folder of the declaration.
    force
        Overwrite the declaration.
    """
    from model_loop.datasets.datapackage import from_datapackage
    from model_loop.drafting.text import toml_of

    declaration = from_datapackage(file.read_text(encoding="utf-8-sig"), str(file), target)
    path = output / f"{declaration.name}.toml"
    _write(path, toml_of(declaration.model_dump(mode="json", exclude_defaults=True)), force=force)
    console().print(f"Wrote {path}. Next: model-loop datasets check {path}")


def _path_of(dataset: str) -> Path:
    """Return the file of a dataset, by the file itself or its name."""
    from model_loop.datasets.registry import dataset_names, datasets_folder

    path = Path(dataset)
    if path.suffix == ".toml" or path.is_file():
        return path
    named = datasets_folder() / f"{dataset}.toml"
    if dataset in dataset_names() and named.is_file():
        return named
    rule = "is written in Python, and no file" if dataset in dataset_names() else "is unknown"
    remedy = "Give a file, or a name of: model-loop datasets list."
    raise InvalidInputError(f"The dataset {dataset!r}", rule, remedy)


def _listed(name: str) -> dict[str, str]:
    from model_loop.datasets.declaration_file import read_declaration
    from model_loop.datasets.registry import datasets_folder, get_dataset

    path, status = datasets_folder() / f"{name}.toml", "ready"
    try:
        if path.is_file():
            declaration = read_declaration(path)
            title, target = declaration.title or name, declaration.target
            status, home = str(declaration.status), str(path)
        else:
            dataset = get_dataset(name)
            title, target, home = dataset.title, dataset.target.name, "Python"
    except ModelLoopError as error:
        title, target, status, home = str(error), "", "broken", str(path)
    return {"name": name, "title": title, "target": target, "status": status, "home": home}


def _ask(
    files: DraftedFiles,
    analysis: Analysis,
    answers: DraftAnswers,
    look: Callable[[DraftAnswers], tuple[DraftedFiles, Analysis]],
) -> tuple[DraftedFiles, Analysis, DraftAnswers]:
    """Ask the open questions on the terminal; a question whose answer does not fit comes again.

    Parameters
    ----------
    look
        Reads and analyses the files by the order of day and month that was answered.
    """
    from model_loop.drafting.analysis import with_answers
    from model_loop.drafting.draft import require_fitting
    from model_loop.drafting.questions import MOST_QUESTIONS, questions

    out = console(stderr=True)
    asked: set[str] = set()
    while len(asked) < MOST_QUESTIONS:
        # An answer may leave nothing to ask, or something new.
        question = next(
            (q for q in questions(files, analysis, answers) if q.field not in asked), None
        )
        if question is None:
            break
        print_question(question)
        prompt = f"[{question.default}] > " if question.default else "> "
        # Print it as it is: brackets are no markup here.
        given = question.answered(answers, out.input(Text(prompt, "cyan")))
        try:
            require_fitting(analysis, given)
        except InvalidInputError as error:
            print_error(error)
            continue
        asked.add(question.field)
        if given.date_order != answers.date_order:
            files, analysis = look(given)
        answers, analysis = given, with_answers(analysis, given)
    return files, analysis, answers


@contextlib.contextmanager
def _busy(text: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal that work goes on, and return what shows its steps."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda _: None
        return
    with out.status(Text(text)) as status:
        yield lambda step: status.update(Text(step))


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
    from model_loop.datasets.declaration_file import parse_declaration

    parse_declaration(text, str(path))
    if path.exists() and not force:
        raise InvalidInputError(
            f"The file {path}", "exists", "Give --force to overwrite it, or another --name."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _print_json(value: object) -> None:
    print(json.dumps(value))  # noqa: T201 - the command's answer, unwrapped

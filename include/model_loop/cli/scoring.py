"""The commands ``model-loop score`` and ``predict``: files and rows through a registered model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model_loop.cli.codes import ExitCode
from model_loop.cli.console import console, print_error
from model_loop.cli.options import AsJson, Variant, answering_uri, trained_variant
from model_loop.datasets.reading import RefusedRowsError
from model_loop.errors import InvalidInputError
from model_loop.intervals.grid import DEFAULT_LEVEL, check_level
from model_loop.objects.strict_json import decode
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from model_loop.datasets.dataset import Dataset
    from model_loop.datasets.reading import Row
    from model_loop.scoring.batch.job import Chunk, JobResult
    from model_loop.scoring.batch.planning import BatchRequest
    from model_loop.scoring.predictor import Predictor, RegisteredVersion

_settings = get_settings()


@Parameter(name="*", group="Scoring")
@dataclass(frozen=True)
class ScoreOptions:
    """Options of scoring.

    Parameters
    ----------
    model
        Number of a version, or models:/flights/3, or by alias, as models:/flights@champion; the
        champion, if left out.
    variant
        Variant of the model, such as flights or flights.domestic; a dataset, if it has one alone.
    moment
        Champion to use, where no model is named: a moment of the dataset; the earliest whose
        columns the files have, if left out.
    tracking_uri
        Address of the MLflow server.
    chunk_rows
        Rows that are scored, and kept, in one piece.
    overwrite
        Replace predictions that are there already.
    level
        Percentage of true values that the intervals are to hold, from 50 to 99.
    explain
        Give the reasons of each prediction, as JSON in the column reasons; of large forests, a row
        may take seconds.
    storage
        Folder of the scored chunks, until they are joined.
    """

    model: str | None = None
    variant: Variant = _settings.variant
    moment: str | None = None
    tracking_uri: Annotated[str, Parameter(show_default=False)] = _settings.tracking_uri
    chunk_rows: int = _settings.scoring_chunk_rows
    overwrite: Annotated[bool, Parameter(negative=())] = False
    level: float = DEFAULT_LEVEL
    explain: Annotated[bool, Parameter(negative=())] = False
    storage: Annotated[str, Parameter(show_default=False)] = _settings.storage_root

    def predictor(self, given: Callable[[Dataset], Collection[str]]) -> Predictor:
        """The version that is to answer rows; see `find_predictor`.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        from model_loop.coded.versions import load_any
        from model_loop.scoring.choosing import choose_predictor

        key = trained_variant(self.variant, self.tracking_uri)[1].key
        return choose_predictor(key, given, self.tracking_uri, self.model, self.moment, load_any)[0]


_OPTIONS = ScoreOptions()


def score(
    input_: Annotated[str, Parameter(name="INPUT")],
    /,
    *,
    output: str | None = None,
    options: ScoreOptions = _OPTIONS,
    as_json: AsJson = False,
) -> None:
    """Predict the rows of a file (CSV, JSON lines, Parquet, Arrow), or of a folder of such files.

    An interrupted job is resumed by giving the same command again. Ends with exit code 0 when rows
    were predicted, however many were rejected, and with 2 when the input was refused or no row of a
    file could be predicted.

    Parameters
    ----------
    input_
        The file or folder: a path or an s3:// address.
    output
        A file of the same kind, or a folder; beside the input, if left out: rows.csv becomes
        rows.predictions.csv.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.scoring.batch.planning import BatchRequest, columns_in, plan_chunks
    from model_loop.scoring.batch.results import require_predictions
    from model_loop.scoring.opening import open_input, without_links
    from model_loop.scoring.paths import choose_outputs, find_inputs, to_path

    check_level(options.level)
    named = find_inputs(to_path(input_))
    outputs = choose_outputs(named, None if output is None else to_path(output))
    inputs = [without_links(one) for one in named]
    for one in inputs:
        # Report a file that cannot be read before asking a server.
        with open_input(one):
            pass
    predictor = options.predictor(
        lambda dataset: columns_in(dataset, inputs, _settings.scoring_preprocessing)
    )
    request = BatchRequest(
        files=list(zip(inputs, outputs, strict=True)),
        version=predictor.version,
        columns=predictor.columns,
        chunk_rows=options.chunk_rows,
        overwrite=options.overwrite,
        preprocessing=_settings.scoring_preprocessing,
        level=options.level,
        explain=options.explain,
    )
    results = _score(request, plan_chunks(request, options.storage), predictor)
    print_results(results, as_json=as_json)
    require_predictions(results)


def _score(request: BatchRequest, chunks: Sequence[Chunk], predictor: Predictor) -> list[JobResult]:
    from model_loop.scoring.batch.planning import by_job
    from model_loop.scoring.batch.scoring import join_chunks, score_chunks
    from model_loop.serving.compiled.compiler import explainer_for

    explain = explainer_for(predictor) if request.explain else None
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True)) as progress:
        rows = progress.add_task(
            f"Rows, by version {request.version.number}", total=sum(chunk.rows for chunk in chunks)
        )
        score_chunks(chunks, predictor, lambda done: progress.advance(rows, done), explain)
        files = progress.add_task("Files", total=len(request.files))
        results = []
        for job, parts in by_job(chunks):
            results.append(join_chunks(job, parts))
            progress.advance(files)
    return results


def print_results(results: Sequence[JobResult], *, as_json: bool) -> None:
    """Print where the predictions are, and how many rows have none."""
    if as_json:
        print(json.dumps({"files": [asdict(result) for result in results]}))  # noqa: T201 - for machines
        return
    out = console()
    for result in results:
        out.print(
            f"{result.output}: {result.predicted_rows:,} of {result.rows:,} rows, "
            f"by version {result.model_version}"
        )
        if result.rejected is not None:
            out.print(
                f"{result.rejected}: {result.rejected_rows:,} rows that could not be predicted, "
                f"with the reason; the first: {result.reason}"
            )
        if result.notices:
            out.print(f"Unlike what the version has learned from: {result.noticed}")


def predict(
    dataset: Annotated[str, Parameter(name="DATASET")],
    /,
    *values: Annotated[str, Parameter(name="COLUMN=VALUE")],
    model: str | None = None,
    moment: str | None = None,
    level: float = DEFAULT_LEVEL,
    explain: Annotated[bool, Parameter(negative=())] = False,
    tracking_uri: Annotated[str, Parameter(show_default=False)] = _settings.tracking_uri,
    as_json: AsJson = False,
) -> None:
    """Predict a row of a dataset by its champion, without a server.

    Without values, rows are read from standard input: JSON objects, one on each line. The answers
    are not in the request log. Rows that are refused are named by their lines, and the others are
    answered; then the exit code is 2.

    Parameters
    ----------
    dataset
        Dataset, or key of a variant, such as flights or flights.domestic.
    values
        Values of the row by names of columns, such as distance=700 carrier=EV.
    model
        Number of a version, or models:/flights/3, or by alias, as models:/flights@champion; the
        champion, if left out.
    moment
        Champion to use, where no model is named: a moment of the dataset; the earliest that has all
        the values it needs, if left out.
    level
        Percentage of true values that the interval is to hold, from 50 to 99.
    explain
        Tell the reasons: what the columns add to the prediction, the strongest first.
    tracking_uri
        Address of the MLflow server.
    as_json
        Print one JSON object, for machines.
    """
    check_level(level)
    tracking_uri = answering_uri(tracking_uri)
    table, variant = trained_variant(dataset, tracking_uri)
    texts = {1: json.dumps(_record(table, values))} if values else _lines(table)
    from model_loop.coded.versions import load_any
    from model_loop.scoring.choosing import choose_predictor
    from model_loop.scoring.row_requests import given_columns, in_words, predict_rows
    from model_loop.serving.compiled.compiler import explainer_for

    predictor, at = choose_predictor(
        variant.key,
        lambda dataset: given_columns(dataset, list(_read(dataset, texts, as_json)[0].values())),
        tracking_uri,
        model,
        moment,
        load_any,
    )
    trained = _require_dataset(predictor.version, table)
    numbered, refused = _read(trained, texts, as_json)
    reasons = explainer_for(predictor) if explain else None
    rows, answers = predict_rows(predictor, list(numbered.values()), at, level, reasons)
    if as_json:
        result = {"model": predictor.version.name, "model_version": predictor.version.number}
        lines = {"lines": list(numbered), "refused": _fields(refused)} if refused else {}
        print(json.dumps({**result, "moment": at, "predictions": answers, **lines}))  # noqa: T201 - for machines
    else:
        for row, one in zip(rows, answers, strict=True):
            console().print(in_words(trained, row, one))
    if refused:
        _print_refused(refused, len(texts))
        sys.exit(ExitCode.REFUSED)


def _require_dataset(version: RegisteredVersion, table: Dataset) -> Dataset:
    """Return the dataset as a version was trained on it.

    Raises
    ------
    InvalidInputError
        If it is another one than the named.
    """
    if version.dataset.name != table.name:
        raise InvalidInputError(
            f"Version {version.number} of {version.name}",
            f"is of the dataset {version.dataset.name}, not of {table.name}",
            f"Name the dataset: model-loop predict {version.service} …",
        )
    return version.dataset


Refusal = RefusedRowsError | InvalidInputError


def _read(
    table: Dataset,
    texts: Mapping[int, str],
    as_json: bool,  # noqa: FBT001 - private
) -> tuple[dict[int, Row], dict[int, Refusal]]:
    """Read rows by their lines; those that are refused stand by themselves, with the reason.

    Ends the command where all of them are.
    """
    rows: dict[int, Row] = {}
    refused: dict[int, Refusal] = {}
    for line, text in texts.items():
        try:
            rows[line] = table.reader.read_row(_parsed(text), table.now)
        except (RefusedRowsError, InvalidInputError) as error:
            refused[line] = error
    if not rows:
        if as_json:
            print(json.dumps({"error": next(iter(refused.values())).fields()}))  # noqa: T201 - for machines
        _print_refused(refused, len(texts))
        sys.exit(ExitCode.REFUSED)
    return rows, refused


def _parsed(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return decode(text.encode())
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("The row", f"is not JSON ({error})", "Give one object.") from error


def _print_refused(refused: Mapping[int, Refusal], lines: int) -> None:
    """Print the problems of rows, with their lines of standard input where there are several."""
    for line, error in refused.items():
        where = f"Line {line}: " if lines > 1 else ""
        if isinstance(error, RefusedRowsError):
            for each in error.problems:
                print_error(InvalidInputError(f"{where}{each.subject}", each.rule, each.advice()))
        else:
            print_error(InvalidInputError(f"{where}{error.given}", error.rule, error.remedy))
    if lines > 1:
        console(stderr=True).print(
            f"{len(refused):,} of {lines:,} lines were refused; any others are answered."
        )


def _fields(refused: Mapping[int, Refusal]) -> list[dict[str, Any]]:
    return [{"line": line, "error": error.fields()} for line, error in refused.items()]


def _record(table: Dataset, values: Sequence[str]) -> dict[str, str]:
    """Return the row that is given as ``column=value``.

    Raises
    ------
    InvalidInputError
        If a value has no name, or a name is given twice.
    """
    record: dict[str, str] = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals or name in record:
            raise InvalidInputError(
                each,
                "is given twice" if equals else "names no column",
                f"Give values as COLUMN=VALUE, such as {table.columns.fields[0]}=…",
            )
        record[name] = value
    return record


def _lines(table: Dataset) -> dict[int, str]:
    """Return the lines of standard input that hold a row, by their numbers.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    lines = enumerate([] if sys.stdin.isatty() else sys.stdin, 1)
    texts = {number: line for number, line in lines if line.strip()}
    if not texts:
        raise InvalidInputError(
            f"The {table.rows[1]}",
            "has no value",
            f"Give values as COLUMN=VALUE of {', '.join(table.columns.fields)}, or JSON objects on "
            "standard input.",
        )
    return texts

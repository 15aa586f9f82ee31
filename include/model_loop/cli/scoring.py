"""The command ``model-loop score``: files through a registered model."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model_loop.cli.console import console
from model_loop.cli.options import Variant
from model_loop.datasets.registry import choose_variant
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from model_loop.scoring.batch.job import Chunk, JobResult
    from model_loop.scoring.batch.planning import BatchRequest
    from model_loop.scoring.predictor import Predictor

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
    storage
        Folder of the scored chunks, until they are joined.
    """

    model: str | None = None
    variant: Variant = _settings.variant
    moment: str | None = None
    tracking_uri: Annotated[str, Parameter(show_default=False)] = _settings.tracking_uri
    chunk_rows: int = _settings.scoring_chunk_rows
    overwrite: Annotated[bool, Parameter(negative=())] = False
    storage: Annotated[str, Parameter(show_default=False)] = _settings.storage_root

    def predictor(self, given: Collection[str]) -> Predictor:
        """The version that is to answer rows with these columns.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        from model_loop.scoring.predictor import find_predictor, parse_model
        from model_loop.tracking.runs import Tracker
        from model_loop.tracking.versions import ModelVersions

        dataset, variant = choose_variant(self.variant)
        moment = None if self.moment is None else dataset.check_moment(self.moment)
        named = None if self.model is None else parse_model(self.model, variant.key)
        tracker = Tracker(self.tracking_uri, f"{_settings.experiment}-promotion")
        versions = ModelVersions(tracker, named.service if named else variant.key)
        number = named.number(versions) if named else None
        return find_predictor(versions, given, number=number, moment=moment)


_OPTIONS = ScoreOptions()


def score(
    input_: Annotated[str, Parameter(name="INPUT")],
    /,
    *,
    output: str | None = None,
    options: ScoreOptions = _OPTIONS,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Predict the rows of a Parquet or CSV file, or of a folder of such files.

    What was interrupted goes on where it was when the same command is given again. Ends with exit
    code 0 when rows were predicted, however many were rejected, and with 2 when the input was
    refused or no row of a file could be predicted.

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
    from model_loop.scoring.batch.planning import BatchRequest, columns_in, plan
    from model_loop.scoring.batch.results import require_predictions
    from model_loop.scoring.opening import without_links
    from model_loop.scoring.places import choose_outputs, find_inputs, place

    named = find_inputs(place(input_))
    outputs = choose_outputs(named, None if output is None else place(output))
    inputs = [without_links(one) for one in named]
    given = columns_in(choose_variant(options.variant)[0], inputs, _settings.scoring_preprocessing)
    predictor = options.predictor(given)
    request = BatchRequest(
        files=list(zip(inputs, outputs, strict=True)),
        version=predictor.version,
        columns=predictor.columns,
        chunk_rows=options.chunk_rows,
        overwrite=options.overwrite,
        preprocessing=_settings.scoring_preprocessing,
    )
    results = _score(request, plan(request, options.storage), predictor)
    print_results(results, as_json=as_json)
    require_predictions(results)


def _score(request: BatchRequest, chunks: Sequence[Chunk], predictor: Predictor) -> list[JobResult]:
    from model_loop.scoring.batch.planning import by_job
    from model_loop.scoring.batch.scoring import is_scored, join, score_chunk

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True)) as progress:
        rows = progress.add_task(
            f"Rows, by version {request.version.number}", total=sum(one.rows for one in chunks)
        )
        for chunk in chunks:
            if is_scored(chunk):
                progress.advance(rows, chunk.rows)
            else:
                score_chunk(chunk, predictor, lambda done: progress.advance(rows, done))
        files = progress.add_task("Files", total=len(request.files))
        results = []
        for job, parts in by_job(chunks):
            results.append(join(job, parts))
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

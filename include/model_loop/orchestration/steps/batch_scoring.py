"""The steps of the DAG `batch_scoring`: whole files, chunk by chunk."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from upath import UPath

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError, ReportedError
from model_loop.orchestration.forms.prediction import EXPLAIN
from model_loop.orchestration.forms.sources import listed_sources
from model_loop.orchestration.loading import load
from model_loop.orchestration.registry import moment_of_form, versions_of
from model_loop.orchestration.steps.requests import fetch_named
from model_loop.partitions.source import find_files
from model_loop.scoring.batch.abandoned import find_abandoned, remove_abandoned
from model_loop.scoring.batch.planning import BatchRequest, by_job, columns_in
from model_loop.scoring.batch.planning import plan_chunks as cut
from model_loop.scoring.batch.results import require_predictions
from model_loop.scoring.batch.scoring import is_scored
from model_loop.scoring.batch.scoring import join_chunks as put_together
from model_loop.scoring.batch.scoring import score_chunk as score
from model_loop.scoring.limits import read_level
from model_loop.scoring.paths import choose_outputs, find_inputs, require_allowed, to_path
from model_loop.scoring.predictor import find_predictor, load_predictor
from model_loop.serving.compiled.compiler import explainer_for
from model_loop.settings import get_settings, split_list
from model_loop.sources.allowed import ANY, named_sources, require_allowed_source
from model_loop.sources.copies import copies_in
from model_loop.sources.published import PublishedSource, declaration_at

if TYPE_CHECKING:
    from model_loop.scoring.batch.job import Chunk

_PREDICTIONS = "predictions"

logger = logging.getLogger(__name__)


def plan_chunks(params: Mapping[str, Any]) -> list[Chunk]:
    """Check the form and the files, and cut them into chunks."""
    _require_one(params)
    level = read_level(params["level"])
    versions, settings, chosen = versions_of(params["service"]), get_settings(), _files(params)
    sources, step = [source for source, _ in chosen], settings.scoring_preprocessing
    # Loaded once before the work is shared: a version that cannot be loaded ends the run here.
    predictor = find_predictor(
        versions,
        lambda dataset: columns_in(dataset, sources, step),
        number=params["version"],
        moment=moment_of_form(params),
        load=load,
    )
    request = BatchRequest(
        files=chosen,
        version=predictor.version,
        columns=predictor.columns,
        chunk_rows=params["chunk_rows"],
        overwrite=params["overwrite"],
        preprocessing=step,
        level=level,
        explain=params[EXPLAIN],
    )
    if request.explain:
        # A family that gives none ends the run here.
        explainer_for(predictor)
    chunks = cut(request, settings.storage_root)
    files = len(request.files)
    version = predictor.version
    logger.info("%d files in %d chunks, by version %d", files, len(chunks), version.number)
    return chunks


def score_chunk(chunk: Chunk) -> int:
    """Score one chunk, unless that was done before; the number of its rows."""
    if is_scored(chunk):
        logger.info("%s was scored before", chunk.title)
        return chunk.rows
    predictor = load_predictor(versions_of(chunk.job.version.service), chunk.job.version, load)
    done = 0

    def report(rows: int) -> None:
        nonlocal done
        done += rows
        logger.info("%s: %s of %s rows", chunk.title, f"{done:,}", f"{chunk.rows:,}")

    explain = explainer_for(predictor) if chunk.job.explain else None
    result = score(chunk, predictor, report, explain)
    logger.info("%s: %s rows could not be predicted", chunk.title, f"{result.rejected:,}")
    return result.rows


def join_outputs(chunks: Sequence[Chunk] | Mapping[str, Any] | None) -> dict[str, Any]:
    """Make the outputs appear, and return what is in them.

    Raises
    ------
    InvalidInputError
        If no row of a file could be predicted: that is no success. If `plan` has refused the form
        or a file, with its reason: a caller waits for this result.
    ReportedError
        If an earlier step has failed otherwise, and has told it.
    """
    if isinstance(chunks, Mapping):
        raise InvalidInputError(**chunks["error"])
    missing = [chunk for chunk in chunks or () if not is_scored(chunk)]
    if missing or chunks is None:
        raise ReportedError(
            "The plan" if chunks is None else f"{len(missing)} of {len(chunks)} chunks",
            "is not there" if chunks is None else "were not scored",
            "The log of the task that has failed says why; clear it after mending the cause.",
        )
    results = []
    for job, parts in by_job(chunks):
        result = put_together(job, parts)
        logger.info(
            "%s: %s rows predicted, %s could not be",
            result.output,
            f"{result.predicted_rows:,}",
            f"{result.rejected_rows:,}",
        )
        if result.notices:
            noticed = result.noticed
            logger.warning("%s: unlike what the version has learned from: %s", job.source, noticed)
        results.append(result)
    # The results of the other files are kept: only the run has failed.
    require_predictions(results)
    files = [asdict(result) for result in results]
    totals = ("rows", "predicted_rows", "rejected_rows")
    return {
        "model": files[0]["model"],
        "model_version": files[0]["model_version"],
        **{name: sum(file[name] for file in files) for name in totals},
        "files": files,
    }


def remove_abandoned_scores(params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove what is left of batches that were begun and not gone on with; say how much."""
    found, size = find_abandoned(get_settings().storage_root, params["days"]), 0
    for folder in found:
        logger.info("Nobody came back for %s", folder)
        if not params["only_look"]:
            size += remove_abandoned(folder)
    return {"jobs": len(found), "bytes": size, "removed": not params["only_look"]}


def _require_one(params: Mapping[str, Any]) -> None:
    dataset = dataset_of_variant(params["service"])
    if bool(params["input"]) == bool(params.get(dataset.names.partitions)):
        many, one = dataset.partitions
        raise InvalidInputError(
            "The form",
            f"names both a file and {many}" if params["input"] else f"names no file and no {one}",
            "Give one of the two.",
        )


def _files(params: Mapping[str, Any]) -> list[tuple[UPath, UPath]]:
    """Each file with where its predictions go."""
    roots = readable_roots()
    output = None if params["output"] is None else require_allowed(to_path(params["output"]), roots)
    if named := params.get(dataset_of_variant(params["service"]).names.partitions):
        # Each once, however often it is named.
        inputs = [file for key in dict.fromkeys(named) for file in _partition(key, params)]
        output = output or to_path(get_settings().storage_root) / _PREDICTIONS
    else:
        files = find_inputs(require_allowed(to_path(params["input"]), roots))
        # A file of a folder may be a link that leads elsewhere.
        inputs = [require_allowed(one, roots) for one in files]
    return list(zip(inputs, choose_outputs(inputs, output), strict=True))


def readable_roots() -> list[str]:
    """Under which files may be read and written for a caller."""
    settings = get_settings()
    batches = str(settings.batches_folder)
    return [settings.storage_root, batches, *split_list(settings.scoring_folders)]


def _partition(key: str, params: Mapping[str, Any]) -> list[UPath]:
    """The files of a published partition.

    Raises
    ------
    InvalidInputError
        If the source may not be read for a caller, or its partitions have no files of their own.
    """
    # The rows are handed out: even where any source may be named, only from listed places.
    listed = [source for source in listed_sources() if source not in {ANY, *named_sources()}]
    roots = [*listed, *readable_roots()]
    variant, source = params["service"], params["source"]
    declared = declaration_at(dataset_of_variant(variant), source)
    if declared is None:
        require_allowed_source(source, roots)
        files = [fetch_named(variant, key, params).path]
    elif PublishedSource(variant, source, "", 0.0).is_one_table:
        raise InvalidInputError(
            f"The source {source}",
            f"is one table, so that {key} has no file of its own",
            "Give a file with the rows as the input.",
        )
    else:
        copies = None
        if not isinstance(declared.source, str):
            # Its copies lie in the storage, which says nothing of who may read the table.
            require_allowed_source(source, roots)
            settings = get_settings()
            copies = copies_in(UPath(settings.storage_root), settings.request_timeout_seconds)
        files = [file.path for file in find_files(declared, variant, [key], copies=copies)]
    # A file of a folder may be a link that leads elsewhere.
    return [require_allowed(to_path(one), roots) for one in files]

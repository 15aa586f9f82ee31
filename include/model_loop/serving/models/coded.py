"""Versions that are code of their own, answered by the runner."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from model_loop.coded.answers import NO_REASONS
from model_loop.coded.stored import start_version, stored_code
from model_loop.datasets.dataset import Dataset
from model_loop.runner.errors import CodeFailedError, RunnerUnavailableError
from model_loop.scoring.outcomes import deciding_of
from model_loop.scoring.rows import Rows
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.models.predictor import ServedVersion, places_of

Answer = TypeVar("Answer")

_UNAVAILABLE = 503


def start_served(
    version: int,
    what: str,
    folder: Path,
    name: str,
    sealed: str,
    dataset: Dataset,
    declaration: str,
) -> ServedVersion:
    """Start a version that is code of its own, ready to answer.

    Parameters
    ----------
    what
        Its name in errors.
    folder
        Folder of its files.
    name
        Name of the registered model.
    sealed
        Its sealed admission.
    dataset, declaration
        Dataset by which rows for it are read, and its stored declaration.

    Raises
    ------
    ModelLoopError
        See `start_version`; the version is tried again later.
    """
    model = start_version(stored_code(folder, what), name, dataset, sealed)
    explains = model.ask_reasons is not None
    return ServedVersion(
        version,
        model.columns,
        places_of(dataset.columns, model.columns),
        _refusing(model.predict_rows),
        "it is code of its own, which the runner runs" if explains else NO_REASONS,
        declaration=declaration,
        deciding=deciding_of(dataset.target, model.threshold, None),
        own_reasons=_refusing(model.explain) if explains else None,
    )


def _refusing(ask: Callable[[Rows], Answer]) -> Callable[[Rows], Answer]:
    """Return a function whose failures are answers of the server: try again, or another version."""

    @functools.wraps(ask)
    def asked(rows: Rows) -> Answer:
        try:
            return ask(rows)
        except (CodeFailedError, RunnerUnavailableError) as error:
            raise RequestRefusedError(
                _UNAVAILABLE, error.given, error.rule, error.remedy
            ) from error

    return asked

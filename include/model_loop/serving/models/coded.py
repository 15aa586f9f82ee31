"""Versions that are code of their own, answered by the runner."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from model_loop.coded.answers import NO_REASONS
from model_loop.coded.stored import start_version, stored_code
from model_loop.datasets.dataset import Dataset
from model_loop.runner.errors import CodeFailedError, RunnerAwayError, RunnerUnavailableError
from model_loop.scoring.outcomes import deciding_of
from model_loop.scoring.rows import Rows
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.models.micro_batching import MicroBatcher
from model_loop.serving.models.predictor import ServedVersion, required_positions

Answer = TypeVar("Answer")

_UNAVAILABLE = 503
#: Requests that wait for answers, and for reasons, of one version at once; seconds that a further
#: one waits for its turn; rows of several requests that are handed over together at most.
_ANSWERS_AT_ONCE, _REASONS_AT_ONCE, _TURN_SECONDS, _BATCH_ROWS = 16, 4, 0.5, 50

logger = logging.getLogger(__name__)


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
        required_positions(dataset.columns, model.columns),
        _refusing(MicroBatcher(model.predict_rows, _BATCH_ROWS), version, _ANSWERS_AT_ONCE),
        "it is code of its own, which the runner runs" if explains else NO_REASONS,
        declaration=declaration,
        remote=True,
        deciding=deciding_of(dataset.target, model.threshold, None),
        own_reasons=_refusing(model.explain, version, _REASONS_AT_ONCE) if explains else None,
    )


def _refusing(
    ask: Callable[[Rows], Answer], version: int, at_once: int
) -> Callable[[Rows], Answer]:
    """Return a function whose failures are answers of the server: try again, or another version.

    A few requests at once wait for the runner. Others are refused soon, so that a version that
    hangs takes few of the threads that answer for the others.
    """
    turns = threading.BoundedSemaphore(at_once)

    def asked(rows: Rows) -> Answer:
        if not turns.acquire(timeout=_TURN_SECONDS):
            raise RequestRefusedError(
                _UNAVAILABLE,
                f"Version {version}",
                f"is code of its own, and {at_once} requests wait for it already",
                "Try again later.",
            )
        try:
            return ask(rows)
        except RunnerAwayError as error:
            logger.warning("Version %d: %s", version, error)
            raise RequestRefusedError(
                _UNAVAILABLE,
                f"Version {version}",
                "is code of its own, and the runner does not answer now",
                "Try again later; the log of the server says why.",
            ) from error
        except (CodeFailedError, RunnerUnavailableError) as error:
            raise RequestRefusedError(
                _UNAVAILABLE, error.given, error.rule, error.remedy
            ) from error
        finally:
            turns.release()

    return asked

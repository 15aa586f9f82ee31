"""The step of the DAG `labels`: true values from files, as feedback on predictions."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from model_loop.errors import InvalidInputError
from model_loop.monitoring.labels import add_labels, read_labels
from model_loop.orchestration.forms.sources import listed_sources
from model_loop.orchestration.steps.batch_scoring import readable_roots
from model_loop.orchestration.steps.requests import who_asked
from model_loop.scoring.paths import require_allowed, to_path
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings
from model_loop.sources.allowed import require_allowed_source

if TYPE_CHECKING:
    import pandas as pd
    from airflow.sdk.types import DagRunProtocol

    from model_loop.datasets.dataset import Dataset

_WEB = ("http://", "https://")

logger = logging.getLogger(__name__)


def add(params: Mapping[str, Any], dag_run: DagRunProtocol) -> dict[str, Any]:
    """Match the labels of a form's files with logged predictions, and note them.

    Returns
    -------
    dict
        Files, number of labels, and the fields of a `LabelReport`.

    Raises
    ------
    InvalidInputError
        If a file may not be read, or cannot be; see `monitoring.labels`.
    """
    settings, variant = get_settings(), params["service"]
    files = _files(params["input"])
    labels: list[pd.DataFrame] = []

    def read(dataset: Dataset) -> pd.DataFrame:
        labels.append(read_labels(files, dataset))
        return labels[-1]

    engine = open_log(settings.request_log_url, settings.serving_folder)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=params["days"])
    report = add_labels(engine, variant, read, since, who_asked(dag_run))
    logger.info("%s", report)
    return {"variant": variant, "files": files, "labels": max(map(len, labels)), **asdict(report)}


def _files(address: str | None) -> list[str]:
    """Return the files below an address that callers may have read.

    Raises
    ------
    InvalidInputError
        If they may not, or there is none.
    """
    if not address:
        raise InvalidInputError("The form", "names no file", "Give the address of one.")
    if address.lower().startswith(_WEB):
        return [require_allowed_source(address, listed_sources())]
    path = require_allowed(to_path(address), readable_roots())
    if not path.is_dir():
        return [str(path)]
    inner = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    # A file of a folder may be a link that leads elsewhere.
    files = [str(require_allowed(each, readable_roots())) for each in inner]
    if not files:
        raise InvalidInputError(
            f"Folder {path}", "holds no file", "Give another folder, or a file."
        )
    return files

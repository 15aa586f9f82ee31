"""The command ``model-loop labels add``: true values that arrive after the predictions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
from pathlib import Path

from cyclopts import App

from model_loop.cli.console import console
from model_loop.cli.options import AsJson, Variant
from model_loop.errors import require_within
from model_loop.settings import get_settings

labels = App(name="labels", help="Labels: true values of what was predicted.")

_settings = get_settings()
#: Days that are looked back; a hundred years at most.
_DAYS, _MOST_DAYS = 90.0, 36_500.0


@labels.command
def add(
    *files: Path,
    variant: Variant = _settings.variant,
    days: float = _DAYS,
    as_json: AsJson = False,
) -> None:
    """Match files of true values with logged predictions, and note them as feedback.

    Parameters
    ----------
    files
        CSV, Parquet, Arrow or JSON lines with the target, and either `prediction_id` or the
        declared keys.
    variant
        Variant that was predicted; a dataset, if it has one variant alone.
    days
        Days of the request log to look through.
    as_json
        Print one JSON object, for machines.
    """
    require_within("days", days, above=0.0, most=_MOST_DAYS)
    from model_loop.datasets.registry import choose_variant
    from model_loop.monitoring.labels import add_labels, read_labels
    from model_loop.serving.request_log.tables import open_log

    settings, (_, chosen) = get_settings(), choose_variant(variant)
    engine = open_log(settings.request_log_url, settings.serving_folder)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    told = {}
    for file in files:
        read = functools.partial(read_labels, [str(file)])
        told[str(file)] = add_labels(engine, chosen.key, read, since, "labels add")
    if as_json:
        content = {file: dataclasses.asdict(report) for file, report in told.items()}
        print(json.dumps(content))  # noqa: T201 - the command's answer
        return
    for name, report in told.items():
        console().print(f"{name}: {report}")

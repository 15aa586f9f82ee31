"""The request log as Parquet files, one folder for each day: what monitoring and notebooks read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Engine, func, select
from upath import UPath

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import dataset_of_variant
from model_loop.datasets.stored import dataset_of_text
from model_loop.objects.files import atomic_write
from model_loop.scoring.answers import ACTUAL, PREDICTION, actual_name, answered
from model_loop.scoring.limits import LABEL, free_name, limit_names
from model_loop.serving.request_log.inputs import columns_of_their_own, read_inputs
from model_loop.serving.request_log.queries import PROBABILITY, STORED, logged_rows
from model_loop.serving.request_log.tables import ACTUAL_LABEL, LIMITS, OF_CLASSES, predictions
from model_loop.settings import get_settings

_DAY = dt.timedelta(days=1)


def export_log(
    engine: Engine, folder: Path, since: dt.date | None = None, dataset: Dataset | None = None
) -> list[Path]:
    """Write ``day=2024-03-01/predictions.parquet`` for each day (UTC) that has predictions.

    A file that exists is replaced as a whole: feedback may have come since.

    Parameters
    ----------
    since
        First day; the first of the log where it is left out.
    dataset
        The dataset whose predictions are written; that of the setting `service` by default.

    Returns
    -------
    list of Path
        The files.
    """
    dataset = dataset or dataset_of_variant(get_settings().variant)
    written = []
    for day in _days(engine, since):
        path = folder / f"day={day}" / "predictions.parquet"
        rows = read_day(engine, day, dataset)
        if rows.empty:
            continue
        with atomic_write(UPath(path)) as file:
            rows.to_parquet(file.path, index=False)
        written.append(path)
    return written


def read_day(engine: Engine, day: dt.date, dataset: Dataset | None = None) -> pd.DataFrame:
    """Return the predictions of a day (UTC), with true values where they are known.

    `prediction` with its `unit`, and `model_version`; `version`, and the older name of the
    prediction where it has one, are those of before 0.2.

    Parameters
    ----------
    dataset
        See `export_log`.
    """
    present = dataset or dataset_of_variant(get_settings().variant)
    start = dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()
    end = dt.datetime.combine(day + _DAY, dt.time(), dt.UTC).timestamp()
    query = (
        logged_rows()
        .where(
            predictions.c.at >= start,
            predictions.c.at < end,
            predictions.c.service.in_(present.variants),
        )
        .order_by(predictions.c.at)
    )
    with engine.connect() as connection:
        logged = pd.read_sql(query, connection)
    texts = logged["text"].fillna("").to_numpy()
    parts = [
        _named(dataset_of_text(text) if text else present, logged[texts == text])
        for text in dict.fromkeys(texts)
    ]
    if len(parts) < 2:  # noqa: PLR2004 - one declaration has read all of them
        return parts[0] if parts else _named(present, logged)
    joined = pd.concat(parts).sort_index()
    # A column may have another type in each declaration: as text, it is what was asked.
    kinds = {name: {str(part[name].dtype) for part in parts if name in part} for name in joined}
    mixed = [name for name, kind in kinds.items() if len(kind) > 1]
    return joined.astype(dict.fromkeys(mixed, "string"))


def _named(dataset: Dataset, logged: pd.DataFrame) -> pd.DataFrame:
    """Return logged predictions by the names and types of the dataset that has read them."""
    target = dataset.target
    own = [column.field for column in columns_of_their_own()]
    further = () if dataset.declaration else ("declaration",)
    plain = logged.drop(columns=[*own, *STORED, *LIMITS, *further])
    limits = zip(limit_names(dataset.columns.fields), LIMITS, strict=True)
    shadow = f"shadow_{target.former or PREDICTION}"
    named = {
        **_inputs(dataset, logged),
        **answered(target, logged["minutes"], logged["version"]),
        "at": pd.to_datetime(logged["at"], unit="s", utc=True),
        "shadow_version": logged["shadow_version"].astype("Int64"),
        # A whole column may be unknown, which leaves it without a type.
        shadow: logged["shadow_minutes"].astype("float64"),
        actual_name(target): logged["actual_minutes"].astype("float64"),
        **{name: logged[stored].astype("float64") for name, stored in limits},
    }
    if target.is_classified:
        named |= _of_classes(dataset, logged)
    return plain.assign(**named)


def _of_classes(dataset: Dataset, logged: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Return what is logged of classes: `prediction` and `actual` are labels, whole or texts."""
    taken, classes = dataset.columns.fields, dataset.target.classes
    labels = classes.labels if classes else ()
    whole = bool(labels) and all(isinstance(label, int) for label in labels)

    def typed(name: str) -> pd.Series[Any]:
        texts = logged[name].astype("string")
        return pd.to_numeric(texts).astype("Int64") if whole else texts

    return {
        PREDICTION: typed(LABEL),
        free_name(PROBABILITY, taken): logged["minutes"].astype("float64"),
        **{free_name(name, taken): logged[name].astype("string") for name in OF_CLASSES[1:]},
        ACTUAL: typed(ACTUAL_LABEL),
    }


def _inputs(dataset: Dataset, logged: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Return the inputs, each field in the type of its column."""
    if dataset.logged_in_columns:
        given = logged
    else:
        records = [read_inputs(dataset, {"inputs": text}) for text in logged["inputs"]]
        given = pd.DataFrame(records, columns=list(dataset.columns.fields), index=logged.index)
    return {
        column.field: _typed(column, given[column.field].infer_objects())
        for column in dataset.columns
    }


def _typed(column: Column, values: pd.Series[Any]) -> pd.Series[Any]:
    if column.text:
        return values.astype("string")
    numbers = values.astype("float64")
    if column.kind == "time":
        return pd.to_datetime(numbers, unit="s")
    if column.kind == "yes_no":
        return numbers.astype("boolean")
    return numbers.astype("Int64") if column.kind == "category" else numbers


def _days(engine: Engine, since: dt.date | None) -> Iterator[dt.date]:
    with engine.connect() as connection:
        first, last = connection.execute(
            select(func.min(predictions.c.at), func.max(predictions.c.at))
        ).one()
    if first is None:
        return
    day, end = (dt.datetime.fromtimestamp(at, dt.UTC).date() for at in (first, last))
    day = max(day, since or day)
    while day <= end:
        yield day
        day += _DAY

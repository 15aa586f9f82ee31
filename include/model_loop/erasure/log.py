"""Rows of an identity in the request log, and in the files of what is not written yet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sqlalchemy import Engine, Row, delete, select, text, update

from model_loop.datasets.dataset import Dataset
from model_loop.erasure.identity import Identity
from model_loop.erasure.trace import Trace
from model_loop.errors import ModelLoopError
from model_loop.scoring.answers import IDENTIFIER
from model_loop.serving.http.server import make_log
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.inputs import (
    columns_of_their_own,
    dataset_of_logged,
    read_inputs,
)
from model_loop.serving.request_log.queries import find_declaration, logged_rows
from model_loop.serving.request_log.spool import RECORD_BYTES, Spool
from model_loop.serving.request_log.spool_format import HEAD, SUFFIX, read_contents
from model_loop.serving.request_log.tables import feedback, predictions
from model_loop.settings import Settings

LOG, SPOOL = "request log", "waiting for the request log"
_PAGE = 10_000
#: Ids that one statement names, at most.
_IDS = 500
#: Room of a spool by which those of killed servers are taken over.
_ROOM = 100 * RECORD_BYTES

logger = logging.getLogger(__name__)


class LoggedRows:
    """The request log of the settings.

    Parameters
    ----------
    engine
        Its database.
    settings
        Settings of the server.
    mask
        Whether predictions stay, without their inputs.
    """

    def __init__(self, engine: Engine, settings: Settings, *, mask: bool) -> None:
        self._engine, self._settings, self._mask = engine, settings, mask

    def find(self, identity: Identity) -> list[str]:
        """Return the ids of the predictions of an identity, in the order of their ids."""
        found: list[str] = []
        for rows in self._pages(identity.dataset):
            by_text: dict[str, list[Row[Any]]] = {}
            for row in rows:
                by_text.setdefault(row.text or "", []).append(row)
            for declared, some in by_text.items():
                frame = _frame_of(some, identity.dataset, declared)
                ids = np.array([row.prediction_id for row in some], dtype=object)
                found += ids[identity.mask(frame)].tolist()
        return sorted(found)

    def erase(self, ids: list[str]) -> int:
        """Remove predictions with their feedback, or their inputs; return how many there were."""
        changed, given = 0, predictions.c.prediction_id
        own = {column.field: None for column in columns_of_their_own()}
        with self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                # Removed rows are overwritten, and do not stay on free pages.
                connection.execute(text("PRAGMA secure_delete = ON"))
            for first in range(0, len(ids), _IDS):
                some = ids[first : first + _IDS]
                if self._mask:
                    values = {"inputs": None, "key": None, **own}
                    statement: Any = update(predictions).where(given.in_(some)).values(values)
                else:
                    connection.execute(delete(feedback).where(feedback.c.prediction_id.in_(some)))
                    statement = delete(predictions).where(given.in_(some))
                changed += connection.execute(statement).rowcount
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as connection:
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        return changed

    def take_over(self) -> None:
        """Write into the log what killed servers have left in files, as the next server would."""
        if any(self._spools()):
            log = make_log(self._settings)
            log.spool = Spool(self._spool_folder, Entry, _ROOM)
            log.start()
            log.stop()

    def waiting(self, identity: Identity) -> list[Trace]:
        """Return what waits to be written, in files of servers that run or were killed."""
        decode, found = msgspec.msgpack.Decoder(Entry).decode, []
        for path in self._spools():
            other = path.with_stem(f"{path.stem[:-1]}{1 - int(path.stem.endswith('1'))}")
            head = other.read_bytes()[:HEAD] if other.exists() else b""
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            records = read_contents(data, head, int(path.stem.endswith("1")), decode).records
            entries = [one for one in records if one.service in identity.dataset.variants]
            rows = sum(self._is_its_own(identity, entry) for entry in entries)
            if rows:
                found.append(
                    Trace(SPOOL, str(path), rows, "removed", "It is written into the log first.")
                )
        return found

    @property
    def has_servers(self) -> bool:
        """True if files are there that a running server writes."""
        return any(self._spools())

    @property
    def _spool_folder(self) -> Path:
        return self._settings.serving_folder / "spool"

    def _spools(self) -> Iterator[Path]:
        return self._spool_folder.glob(f"*{SUFFIX}")

    def _is_its_own(self, identity: Identity, entry: Entry) -> bool:
        declared = find_declaration(self._engine, entry.declaration) if entry.declaration else ""
        dataset = _dataset(entry.service, declared, identity.dataset)
        if len(dataset.columns) != len(entry.row):
            return entry.prediction_id in identity.predictions
        record = dict(zip(dataset.columns.fields, entry.row, strict=True))
        frame = pd.DataFrame([{**record, IDENTIFIER: entry.prediction_id}])
        return bool(identity.mask(frame)[0])

    def _pages(self, dataset: Dataset) -> Iterator[list[Row[Any]]]:
        """Yield the predictions of a dataset, some at a time."""
        last, column = "", predictions.c.prediction_id
        query = logged_rows().where(predictions.c.service.in_(dataset.variants)).order_by(column)
        if self._mask:
            own = [predictions.c[one.field].is_not(None) for one in columns_of_their_own()]
            kept = predictions.c.inputs.is_not(None) | predictions.c.key.is_not(None)
            for condition in own:
                kept |= condition
            query = query.where(kept)
        while True:
            with self._engine.connect() as connection:
                page = query.where(column > last).limit(_PAGE)
                rows = [*connection.execute(page)]
            if not rows:
                return
            yield rows
            last = rows[-1].prediction_id


def count_logged(engine: Engine, ids: list[str]) -> int:
    """Return how many of these predictions are in the log: a second way of counting."""
    found = 0
    with engine.connect() as connection:
        for first in range(0, len(ids), _IDS):
            some = predictions.c.prediction_id.in_(ids[first : first + _IDS])
            found += len(connection.execute(select(predictions.c.prediction_id).where(some)).all())
    return found


def _frame_of(rows: list[Row[Any]], present: Dataset, declared: str) -> pd.DataFrame:
    dataset = _dataset(rows[0].service, declared, present)
    mappings = [{str(name): value for name, value in row._mapping.items()} for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it
    records = [{**read_inputs(dataset, one), IDENTIFIER: one["prediction_id"]} for one in mappings]
    return pd.DataFrame(records)


def _dataset(service: str, declared: str, present: Dataset) -> Dataset:
    try:
        return dataset_of_logged(service, declared)
    except ModelLoopError as error:
        logger.warning(
            "A declaration of %s cannot be read, the present one counts: %s", service, error
        )
        return present

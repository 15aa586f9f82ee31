"""Writing predictions into the database of the request log."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from model_loop.serving.request_log.entries import PART, PAUSE_SECONDS, Batch, Entry, WriteResult
from model_loop.serving.request_log.inputs import NO_INPUTS, logged_inputs
from model_loop.serving.request_log.queries import (
    find_declaration,
    find_known,
    note_declarations,
    note_losses,
)
from model_loop.serving.request_log.tables import insert_predictions, make_tables

if TYPE_CHECKING:
    from model_loop.serving.models.predictor import ServedVersion

#: Errors that are the entries' own, and not of a database that is away.
_UNFIT = (IntegrityError, DataError)

#: Place of the row in an entry; what is before it has a column each.
_ROW = Entry._fields.index("row")

logger = logging.getLogger(__name__)


class LogWriter:
    """Writes batches in this process.

    Parameters
    ----------
    engine
        Database of the log; see `open_log`.
    inputs
        Whether inputs are stored.
    """

    def __init__(self, engine: Engine, *, inputs: bool = True) -> None:
        self._engine = engine
        self._inputs = inputs
        self._shadows: Mapping[str, ServedVersion] = {}
        self._unsure = False
        self._declarations: dict[str, str] = {}

    def start(self) -> None:
        """Nothing has to be made ready."""

    def close(self) -> None:
        """Nothing is held."""

    def follow(self, shadows: Mapping[str, ServedVersion]) -> None:
        """From now on, ask these versions of each variant too what they say of what is written."""
        self._shadows = shadows

    def write(self, batch: Batch) -> WriteResult:
        """Write a batch; entries that are written already are not doubled.

        Entries are committed in one transaction, unless there are some among them that no database
        takes.
        """
        if self._shadows and batch.entries:
            from model_loop.serving.models.shadow import (  # noqa: PLC0415 - only a shadow needs NumPy
                ask_shadows,
            )

            said = ask_shadows(self._shadows, batch.entries)
            # Those of models without a compiled form were asked where they are.
            batch = msgspec.structs.replace(batch, shadow={**batch.shadow, **said})
        written = WriteResult(left=[*range(len(batch.entries))], noted=not batch.lost)
        try:
            if self._unsure:
                # The database may have been away since before the tables were made.
                make_tables(self._engine)
                self._unsure = False
            if batch.declarations:
                note_declarations(self._engine, batch.declarations)
                self._declarations |= batch.declarations
            self._write(batch, written.left, written)
            if batch.lost:
                self._note(batch.lost)
                written.noted = True
        except SQLAlchemyError as error:
            self._unsure = True
            written.problem = str(error)
        return written

    def _write(self, batch: Batch, places: list[int], written: WriteResult) -> None:
        if not places:
            return
        try:
            self._insert(batch, places)
        except Exception as error:
            if isinstance(error, SQLAlchemyError) and not self._is_unfit(error):
                raise
            self._sort_out(batch, places, written, error)
        else:
            written.left = _without(written.left, places)
            # Not earlier: the shadow is asked again for entries that a database refuses.
            for place in batch.shadow.keys() & {*places}:
                written.shadowed += 1
                predicted = batch.shadow[place][1]
                written.shadow_difference += abs(predicted - batch.entries[place].prediction)

    def _note(self, lost: dict[str, int]) -> None:
        """Note losses; those that no database takes would stand in the way of all that follows."""
        try:
            note_losses(self._engine, lost)
        except (*_UNFIT, OverflowError):
            if len(lost) > 1:
                for name, count in lost.items():
                    self._note({name: count})
            else:
                logger.exception("Lost predictions cannot be noted: %s", lost)

    def _insert(self, batch: Batch, places: Sequence[int]) -> None:
        with self._engine.begin() as connection:
            for first in range(0, len(places), PART):
                if first:
                    time.sleep(PAUSE_SECONDS)
                values = [self._values(batch, place) for place in places[first : first + PART]]
                insert_predictions(connection, values)

    def _values(self, batch: Batch, place: int) -> list[object]:
        """Return the values of an entry, in the order of the table's columns."""
        entry: Entry = batch.entries[place]
        inputs: Sequence[object] = NO_INPUTS
        if self._inputs:
            declaration = self._declaration(entry.declaration)
            inputs = logged_inputs(entry.service, entry.row, declaration)
        version, predicted, probabilities = batch.shadow.get(place, (None, None, None))
        own = (*entry[:_ROW], version, predicted)
        limits = (entry.lower, entry.upper, entry.level)
        label = None if entry.label is None else str(entry.label)
        classes = (label, _text(entry.probabilities), _text(probabilities))
        return [*own, *inputs, entry.declaration or None, *limits, *classes]

    def _declaration(self, digest: str) -> str:
        """Return a stored declaration; a server that was killed may have noted it before."""
        if digest and digest not in self._declarations:
            self._declarations[digest] = find_declaration(self._engine, digest)
        return self._declarations.get(digest, "")

    def _is_unfit(self, error: SQLAlchemyError) -> bool:
        # SQLite's driver says so of values that it does not know, Postgres of a missing table.
        strange = self._engine.dialect.name == "sqlite" and isinstance(error, ProgrammingError)
        return strange or isinstance(error, _UNFIT)

    def _sort_out(
        self, batch: Batch, places: list[int], written: WriteResult, error: Exception
    ) -> None:
        """Find the entry that no database takes, by halves.

        It would stand in the way of all that comes after it.
        """
        known = find_known(self._engine, [batch.entries[place].prediction_id for place in places])
        there = [place for place in places if batch.entries[place].prediction_id in known]
        if there:
            # A commit succeeded, but its response was lost.
            written.left = _without(written.left, there)
            self._write(batch, _without(places, there), written)
        elif len(places) == 1:
            logger.error("A prediction cannot be logged: %s", error)
            written.left = _without(written.left, places)
            written.unfit += places
        else:
            half = len(places) // 2
            self._write(batch, places[:half], written)
            self._write(batch, places[half:], written)


def _text(probabilities: Mapping[str, float] | None) -> str | None:
    return None if probabilities is None else msgspec.json.encode(probabilities).decode()


def _without(places: Sequence[int], gone: Sequence[int]) -> list[int]:
    away = {*gone}
    return [place for place in places if place not in away]

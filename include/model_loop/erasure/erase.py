"""Erasure: search, change, search again, and an entry of the history without the values."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine
from upath import UPath

from model_loop.erasure.identity import Identity
from model_loop.erasure.log import LOG, LoggedRows, count_logged
from model_loop.erasure.stored import StoredRows
from model_loop.erasure.trace import Trace
from model_loop.errors import StoredObjectError
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.files import create_file
from model_loop.objects.store import write_bytes
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import Settings
from model_loop.tracking.experiments import tracker_of

#: Below the storage root: what was erased, without the values.
FOLDER = "erasures"
_SECRET = "erasure.key"  # noqa: S105 - the name of a file
_SECRET_BYTES = 32
#: Seconds in which a running server writes what waits.
_WRITTEN_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ErasureRecord:
    """Entry of the history: what was erased, without the values.

    Parameters
    ----------
    at
        Seconds since 1970.
    dataset, user
        Dataset, and the user of the machine who has done it.
    identity
        Keyed hash of the values.
    rows
        Number of rows by the kind of their place.
    left
        Number of places that could not be changed.
    predictions
        Ids of predictions, of an erasure that is not done: it is begun again with them.
    done
        Whether all of it was done.
    """

    at: float
    dataset: str
    user: str
    identity: str
    rows: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    predictions: tuple[str, ...] = ()
    done: bool = False


@dataclass(frozen=True)
class ErasureReport:
    """The outcome of a search, or of an erasure.

    Parameters
    ----------
    identity
        Keyed hash of the values.
    traces
        Where rows were found, and what has become of them.
    erased
        Whether it was done, and not only looked.
    before
        Times at which the same identity was erased before.
    """

    identity: str
    traces: tuple[Trace, ...]
    erased: bool
    before: tuple[float, ...] = ()


class Erasure:
    """Finds the rows of one identity, and erases them.

    Parameters
    ----------
    settings
        Settings with all places.
    folders
        Further folders of files.
    mask
        Whether predictions stay in the log, without their inputs.
    """

    def __init__(
        self, settings: Settings, folders: Sequence[Path] = (), *, mask: bool = False
    ) -> None:
        self._settings, self._mask = settings, mask
        self._stored = StoredRows(settings, tuple(folders))
        self._engine: Engine = open_log(settings.request_log_url, settings.serving_folder)
        self._log = LoggedRows(self._engine, settings, mask=mask)

    def look(self, identity: Identity) -> ErasureReport:
        """Return where rows of an identity are; nothing is changed."""
        identity, known = self._remembered(identity)
        logged = self._log.find(identity)
        whole = identity.with_predictions(logged)
        changes = self._stored.find(whole)
        traces = [
            *self._in_log(logged),
            *self._log.waiting(identity),
            *(one.trace for one in changes),
        ]
        return ErasureReport(
            known,
            (*traces, *self._elsewhere(identity, traces)),
            erased=False,
            before=self._before(known),
        )

    def erase(self, identity: Identity) -> ErasureReport:
        """Erase the rows of an identity, and search again.

        An interrupted erasure continues when it is called again with the same values.

        Raises
        ------
        StoredObjectError
            If rows are left, or two ways of counting them differ.
        """
        identity, known = self._remembered(identity)
        before = self._before(known)
        self._log.take_over()
        logged = self._log.find(identity)
        whole = identity.with_predictions(logged)
        record = ErasureRecord(
            time.time(),
            identity.dataset.name,
            _user(),
            known,
            predictions=tuple(sorted(whole.predictions)),
        )
        # The log leads from values to predictions: without it, files that hold ids alone are lost.
        self._keep(record)
        changes = self._stored.find(whole)
        traces = [*self._in_log(logged), *(one.trace for one in changes)]
        traces += self._elsewhere(identity, traces)
        changed = {id(one.trace): one.make() for one in changes if one.make is not None}
        for one in changes:
            if one.make is not None and changed[id(one.trace)] != one.trace.rows:
                raise StoredObjectError(
                    f"{one.trace.address}",
                    f"had {one.trace.rows:,} rows of the identity, and "
                    f"{changed[id(one.trace)]:,} were changed",
                    "It has changed meanwhile: begin again.",
                )
        self._log.erase(logged)
        self._require_gone(identity, whole, logged)
        rows: dict[str, int] = {}
        for trace in traces:
            if not trace.is_left:
                rows[trace.store] = rows.get(trace.store, 0) + trace.rows
        left = sum(trace.is_left for trace in traces)
        self._keep(
            ErasureRecord(record.at, record.dataset, record.user, known, rows, left, done=True)
        )
        return ErasureReport(known, tuple(traces), erased=True, before=before)

    def _require_gone(self, identity: Identity, whole: Identity, logged: list[str]) -> None:
        """Search once more, and count in another way."""
        deadline = time.monotonic() + _WRITTEN_SECONDS
        while (waiting := self._log.waiting(identity)) and time.monotonic() < deadline:
            time.sleep(0.1)
        again = self._log.find(identity)
        files = [one.trace for one in self._stored.find(whole) if one.make is not None]
        still = 0 if self._mask else count_logged(self._engine, logged)
        if again or files or still or waiting:
            places = [*([LOG] if again or still else []), *(one.address for one in files)]
            places += [one.address for one in waiting]
            raise StoredObjectError(
                "Rows of the identity",
                f"are still there after the erasure ({', '.join(places[:5])})",
                "Requests may have come meanwhile: begin again.",
            )

    def _in_log(self, logged: list[str]) -> list[Trace]:
        if not logged:
            return []
        outcome = "masked" if self._mask else "removed"
        return [Trace(LOG, self._engine.url.render_as_string(), len(logged), outcome)]  # type: ignore[arg-type]  # of two

    def _elsewhere(self, identity: Identity, traces: Sequence[Trace]) -> list[Trace]:
        """Return places that cannot be changed: trained versions, and copies elsewhere."""
        found = []
        sets = {one.address for one in traces if one.store == "training set"}
        if sets:
            found += self._versions(identity, sets)
            note = "Examples, figures and samples of runs may hold rows: delete the runs."
            found.append(Trace("MLflow", "artifacts of these runs", 0, "not changed", note))
        if self._log.has_servers:
            note = "Their bytes are overwritten by later requests, and go when the server ends."
            found.append(Trace("spool", "files of running servers", 0, "not changed", note))
        if UPath(self._settings.storage_root).protocol not in {"", "file", "local"}:
            note = "A store of objects was searched for training sets alone: remove its copies."
            found.append(Trace("storage", self._settings.storage_root, 0, "not changed", note))
        note = "Backups of the log, the storage and the sources are not known here."
        return [*found, Trace("backups", "everywhere", 0, "not changed", note)]

    def _versions(self, identity: Identity, sets: set[str]) -> list[Trace]:
        settings, found = self._settings, []
        tracker = tracker_of(identity.dataset, settings.tracking_uri, settings.experiment)
        for variant in identity.dataset.variants.values():
            try:
                versions = tracker.client.search_model_versions(f"name='{variant.model_name}'")
            except Exception as error:  # noqa: BLE001 - whatever the registry answers with
                note = f"The registry does not answer ({type(error).__name__}): look there."
                return [Trace("model", variant.model_name, 0, "not changed", note)]
            for version in versions:
                if version.tags.get("training_set") in sets:
                    note = "It has learned from such rows: train and promote another, retire it."
                    address = f"models:/{version.name}/{version.version}"
                    found.append(Trace("model", address, 0, "not changed", note))
        return found

    def _remembered(self, identity: Identity) -> tuple[Identity, str]:
        """Return an identity with the predictions of an erasure that was interrupted."""
        known = identity.digest(_secret(self._settings.serving_folder))
        begun = [one for one in self._records() if one.identity == known and not one.done]
        ids = {each for one in begun for each in one.predictions}
        return identity.with_predictions(ids), known

    def _before(self, known: str) -> tuple[float, ...]:
        return tuple(one.at for one in self._records() if one.identity == known and one.done)

    def _records(self) -> list[ErasureRecord]:
        folder = UPath(self._settings.storage_root) / FOLDER
        paths = sorted(folder.glob("*.json"), key=str) if folder.exists() else ()
        read = (read_document(path, lambda one: record_of(ErasureRecord, one)) for path in paths)
        return [one for one in read if one is not None]

    def _keep(self, record: ErasureRecord) -> None:
        """Write an entry; of one that is not done, one for each identity."""
        folder = UPath(self._settings.storage_root) / FOLDER
        begun = folder / f"begun-{record.identity[:32]}.json"
        if not record.done:
            write_bytes(begun, text_of(record).encode())
            return
        write_bytes(folder / f"{int(record.at)}-{uuid.uuid4().hex}.json", text_of(record).encode())
        begun.unlink(missing_ok=True)


def _user() -> str:
    return os.environ.get("USER") or str(os.getuid())


def _secret(folder: Path) -> bytes:
    """Return the key of the hashes; it is made once."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / _SECRET
    with contextlib.suppress(FileExistsError):
        create_file(UPath(path), secrets.token_bytes(_SECRET_BYTES))
        path.chmod(0o600)
    kept = path.read_bytes()
    if len(kept) != _SECRET_BYTES:
        raise StoredObjectError(
            f"The file {path}",
            f"does not hold {_SECRET_BYTES} bytes",
            "Remove it: another is made.",
        )
    return kept

"""The routes of batches: a file is stored completely before its id is returned."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

import requests
from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import ModelLoopError
from model_loop.scoring.identifiers import new_id
from model_loop.scoring.limits import read_level
from model_loop.scoring.paths import KINDS, find_inputs, kind_of_name, require_allowed, to_path
from model_loop.serving.batches.airflow import AirflowRuns
from model_loop.serving.batches.limits import FileBounds, FileInspection, inspect_file
from model_loop.serving.batches.runner import BatchRunner
from model_loop.serving.batches.store import (
    FINAL,
    AcceptedBatch,
    BatchRecord,
    BatchStore,
    KeyTakenError,
    batch_id,
    request_digest,
)
from model_loop.serving.http.asgi import MORE_TIME, Call, Headers, Reply, json_reply
from model_loop.serving.http.requests import RequestRefusedError, decoded, read_moment
from model_loop.serving.http.thread_pools import Pool
from model_loop.tables.opening import FileKind

_OPTIONS = ("name", "level", "moment", "explain")
_NAME = re.compile(r"\A[^/\\\0\r\n]{1,200}\Z")
_KEY = re.compile(r"\A[\x21-\x7e]{1,200}\Z")
#: Formats of files by their content types; None for types that do not determine it.
_TYPES: Mapping[str, FileKind | None] = MappingProxyType(
    {
        **dict.fromkeys(
            ("", "application/octet-stream", "application/x-www-form-urlencoded"), None
        ),
        **dict.fromkeys(("application/gzip", "application/zip"), None),
        "text/csv": "csv",
        **dict.fromkeys(("application/vnd.apache.parquet", "application/x-parquet"), "parquet"),
        **dict.fromkeys(
            ("application/vnd.apache.arrow.file", "application/vnd.apache.arrow.stream"), "arrow"
        ),
        **dict.fromkeys(("application/x-ndjson", "application/jsonl"), "json_lines"),
    }
)
_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        "csv": ".csv",
        "parquet": ".parquet",
        "arrow": ".arrow",
        "json_lines": ".jsonl",
        "none": "",
        "gzip": ".gz",
        "zip": ".zip",
    }
)
_JSON = "application/json"
#: Largest body that gives the address of a file, in bytes.
_NAMING_BYTES = 16_384
#: Bytes that are gathered before they are written.
_PIECE = 2**20
#: Uploads at once in all, and of one token, so that others find room.
_UPLOADS, _UPLOADS_OF_A_TOKEN = 4, 2
#: A disk keeps so many times the size of a file free for its results.
_ROOM = 4
#: Errors of a disk, a quota or a limit that holds no more.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchRules:
    """Bounds and times of batches.

    Parameters
    ----------
    bounds
        Bounds of a file.
    per_token
        Batches of one token that are there at once.
    days
        Days after which a finished one is removed.
    seconds
        Time in which a file has to arrive.
    folders
        Folders below which a request may name a file.
    """

    bounds: FileBounds
    per_token: int
    days: float
    seconds: float
    folders: Sequence[str] = ()


class Batches:
    """The batches of a server, of all datasets.

    Parameters
    ----------
    store
        The batches.
    rules
        Bounds and times.
    runner
        Gets them scored.
    airflow
        Runs in which they are scored; None if a process beside the server scores them.
    """

    def __init__(
        self,
        store: BatchStore,
        rules: BatchRules,
        runner: BatchRunner,
        airflow: AirflowRuns | None = None,
    ) -> None:
        self.store, self.rules, self.runner, self.airflow = store, rules, runner, airflow
        self.files = Pool("Batches", _UPLOADS, 28)
        self.looks = Pool("Files that are looked at", 2, _UPLOADS)
        #: Files that are coming, by token.
        self.coming = Counter[str]()


class BatchRoutes:
    """One handler for each operation on the batches of a variant.

    Parameters
    ----------
    service, dataset
        Key of the variant, and its dataset.
    batches
        The batches of the server.
    """

    def __init__(self, service: str, dataset: Dataset, batches: Batches) -> None:
        self._service, self._dataset, self._batches = service, dataset, batches

    async def send_batch(self, call: Call) -> Reply:
        """Accept a file."""
        batches = self._batches
        options = read_options(self._dataset, call.scope["query_string"])
        key = call.header(b"idempotency-key")
        if key and not _KEY.match(key):
            raise RequestRefusedError(
                422,
                "The header Idempotency-Key",
                "is too long, or holds blanks or other characters than those of ASCII",
                "Give up to 200 characters, such as a UUID.",
            )
        kind = call.header(b"content-type").partition(";")[0].strip().lower()
        if kind != _JSON and kind not in _TYPES:
            raise RequestRefusedError(
                415,
                f"Content type {kind[:100]!r}",
                "is not that of a file that can be scored",
                f"Give one of {', '.join(filter(None, _TYPES))}; or {_JSON} with an address.",
            )
        identifier = batch_id(call.caller, self._service, key) if key else new_id(time.time())
        await batches.files.run(self._require_room, call.caller, identifier)
        if (coming := batches.coming.total()) >= _UPLOADS:
            raise RequestRefusedError(
                503, "The server", f"is receiving {coming} files", "Try again later."
            )
        if batches.coming[call.caller] >= _UPLOADS_OF_A_TOKEN:
            raise RequestRefusedError(
                429,
                f"Token {call.caller!r}",
                f"is sending {_UPLOADS_OF_A_TOKEN} files already",
                "Send one after another.",
            )
        if (more_time := call.scope.get(MORE_TIME)) is not None:
            more_time(batches.rules.seconds)
        batches.coming[call.caller] += 1
        try:
            with batches.store.incoming() as folder:
                if kind == _JSON:
                    accepted = await self._named(call, folder, identifier, options)
                else:
                    accepted = await self._sent(call, folder, identifier, options, _TYPES[kind])
        finally:
            batches.coming[call.caller] -= 1
        batches.runner.wake()
        return self._told(accepted, 202, call)

    async def batches(self, call: Call) -> Reply:
        """Return the batches of the caller, the newest first."""
        return await self._batches.files.run(self._listed, call)

    async def batch(self, call: Call) -> Reply:
        """Return the progress of a batch."""
        return await self._batches.files.run(lambda: self._told(self._found(call), 200, call))

    async def batch_result(self, call: Call) -> Reply:
        """Return the rows with their predictions."""
        return await self._batches.files.run(self._file, call, "result", "has no predictions")

    async def batch_rejected(self, call: Call) -> Reply:
        """Return the rows that could not be predicted."""
        return await self._batches.files.run(self._file, call, "rejected_rows", "has none rejected")

    async def cancel_batch(self, call: Call) -> Reply:
        """End a batch that is not done."""
        return await self._batches.files.run(self._cancelled, call)

    async def remove_batch(self, call: Call) -> Reply:
        """End a batch, and remove all of it."""
        return await self._batches.files.run(self._removed, call)

    async def _sent(
        self,
        call: Call,
        folder: Path,
        identifier: str,
        options: Mapping[str, Any],
        said: FileKind | None,
    ) -> AcceptedBatch:
        """Write an upload, check it, and accept it."""
        path, run = folder / "sent", self._batches.files.run
        digest, size = await _receive(call, path, self._batches.rules.bounds.size)
        if not size:
            raise RequestRefusedError(422, "The file", "is empty", "Send one with rows.")
        found = await self._batches.looks.run(inspect_file, path, self._batches.rules.bounds)
        name = options["name"]
        check_name(found, said, name)
        source = f"rows{_SUFFIXES[found.kind]}{_SUFFIXES[found.compression]}"
        path.rename(folder / source)
        asked = {one: options[one] for one in ("level", "moment", "explain")}
        record = BatchRecord(
            id=identifier,
            caller=call.caller,
            service=self._service,
            source=source,
            digest=request_digest(digest, asked),
            name=name or source,
            size=size,
            created=time.time(),
            rows=found.rows,
            **asked,
        )
        return await run(self._accept, folder, record)

    async def _named(
        self, call: Call, folder: Path, identifier: str, options: Mapping[str, Any]
    ) -> AcceptedBatch:
        """Accept a file by its address, if requests may name it."""
        body = await call.body()
        given = decoded(body) if len(body) <= _NAMING_BYTES else None
        if not isinstance(given, dict) or {*given} != {"address"}:
            raise RequestRefusedError(
                422,
                "The request",
                "is not an object with only `address`",
                "Send the address of a file, or the file itself with its own content type.",
            )
        return await self._batches.files.run(
            self._accept_named, call.caller, str(given["address"]), folder, identifier, options
        )

    def _accept_named(
        self,
        caller: str,
        address: str,
        folder: Path,
        identifier: str,
        options: Mapping[str, Any],
    ) -> AcceptedBatch:
        roots = self._batches.rules.folders
        if not roots:
            raise RequestRefusedError(
                403,
                "The address of a file",
                "cannot be named here: no folder is open to requests",
                "Send the file itself, or let the operator set MODEL_LOOP_BATCHES_FOLDERS.",
            )
        source = require_allowed(to_path(address), roots)
        if [*find_inputs(source)] != [source]:
            raise RequestRefusedError(
                422, f"The address {address}", "is a folder", "Name its files one by one."
            )
        asked = {one: options[one] for one in ("level", "moment", "explain")}
        record = BatchRecord(
            id=identifier,
            caller=caller,
            service=self._service,
            source=str(source),
            digest=request_digest(str(source), asked),
            name=source.name,
            size=source.stat().st_size,
            created=time.time(),
            **asked,
        )
        return self._accept(folder, record)

    def _accept(self, folder: Path, record: BatchRecord) -> AcceptedBatch:
        try:
            return self._batches.store.accept(folder, record)
        except KeyTakenError as error:
            raise RequestRefusedError(
                409,
                "The header Idempotency-Key",
                "was sent before with another file or other options",
                "Give each file a key of its own.",
            ) from error

    def _require_room(self, caller: str, identifier: str) -> None:
        """Refuse a file if its token has too many, or if the disk has no room for it."""
        store, rules = self._batches.store, self._batches.rules
        listed = store.listed(caller)
        if len(listed) >= rules.per_token and identifier not in {one.record.id for one in listed}:
            raise RequestRefusedError(
                429,
                f"Token {caller!r}",
                f"has {len(listed)} batches, and may have {rules.per_token}",
                "Wait for those that run, and remove those that are done (DELETE).",
            )
        store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(store.folder).free < _ROOM * rules.bounds.size:
            raise RequestRefusedError(
                503, "The disk of the server", "has no room for a file", "Try again later."
            )

    def _listed(self, call: Call) -> Reply:
        found = self._batches.store.listed(None if call.is_operator else call.caller)
        own = [one for one in reversed(found) if one.record.service == self._service]
        return json_reply({"batches": [self._state(one) for one in own]})

    def _found(self, call: Call) -> AcceptedBatch:
        identifier = call.scope["path_params"]["batch_id"]
        found = self._batches.store.find(identifier, call.caller, everywhere=call.is_operator)
        if found is None or found.record.service != self._service:
            raise RequestRefusedError(
                404,
                "This batch",
                "is not there, or is another token's",
                "Check its id and its age; GET of all batches lists those of a token.",
            )
        return found

    def _file(self, call: Call, kind: str, rule: str) -> Reply:
        batch = self._found(call)
        progress = batch.progress()
        given = f"The batch {batch.record.id}"
        if progress.state not in FINAL:
            raise RequestRefusedError(
                409, given, f"is {progress.state}", "Wait until its state is done."
            )
        name: str = getattr(progress, kind)
        there = None
        if name:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                # The scoring process names a file of the folder, and not a link.
                there = open(batch.folder / Path(name).name, "rb", opener=_no_link)  # noqa: SIM115 - the answer closes it; a Path takes no opener
        if there is None:
            raise RequestRefusedError(404, given, rule, "GET of the batch says why.")
        shown = f'attachment; filename="{batch.record.id}{Path(name).suffix}"'
        headers: Headers = ((b"content-disposition", shown.encode()),)
        return Reply(b"", content_type=b"application/octet-stream", headers=headers, file=there)

    def _cancelled(self, call: Call) -> Reply:
        batch = self._found(call)
        if (state := batch.progress().state) in FINAL and state != "cancelled":
            raise RequestRefusedError(
                409, f"The batch {batch.record.id}", f"is {state} already", "Nothing is to be done."
            )
        self._end(batch)
        return self._told(batch, 200, call)

    def _removed(self, call: Call) -> Reply:
        batch = self._found(call)
        if batch.progress().state not in FINAL:
            self._end(batch)
        batch.remove()
        return json_reply({"id": batch.record.id, "removed": True})

    def _end(self, batch: AcceptedBatch) -> None:
        batch.cancel()
        if self._batches.airflow is not None:
            try:
                self._batches.airflow.end(batch)
            except requests.RequestException as error:
                # Its file is gone: the run fails by itself.
                logger.warning("The run of batch %s goes on: %s", batch.record.id, error)

    def _told(self, batch: AcceptedBatch, status: int, call: Call) -> Reply:
        path = call.scope["path"].partition("/batches")[0]
        location = f"{path}/batches/{batch.record.id}".encode()
        return json_reply(
            self._state(batch),
            status,
            ((b"location", location),) if status != 200 else (),  # noqa: PLR2004 - HTTP
        )

    def _state(self, batch: AcceptedBatch) -> dict[str, Any]:
        """Return the state of a batch as answers give it."""
        record, progress = batch.record, batch.progress()
        return {
            "id": record.id,
            "state": progress.state,
            "name": record.name,
            "bytes": record.size,
            "rows": progress.rows,
            "read": progress.read,
            "predicted": progress.predicted,
            "rejected": progress.rejected,
            "model_version": progress.model_version,
            "created": record.created,
            "expires": record.created + self._batches.rules.days * SECONDS_PER_DAY,
            "error": progress.error,
        }


def check_name(found: FileInspection, said: FileKind | None, name: str) -> None:
    """Refuse a file whose format differs from its content type or its name.

    Raises
    ------
    RequestRefusedError
        If it is (422).
    """
    named = kind_of_name(UPath(name)) if name else None
    for given, kind in ((f"The file {name}", named), ("The content type", said)):
        # A text without any object may be JSON lines that are all damaged.
        if kind not in {None, found.kind} and (kind, found.kind) != ("json_lines", "csv"):
            raise RequestRefusedError(
                422,
                given,
                f"says {KINDS[str(kind)]}, and the bytes are {KINDS[found.kind]}",
                "Name it by what it holds.",
            )


def read_options(dataset: Dataset, query: bytes) -> dict[str, Any]:
    """Return the options of an address: name, level, moment and explain.

    Raises
    ------
    RequestRefusedError
        If one of them is unknown, or its value is none (422).
    """
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    if strange := [name for name in values if name not in _OPTIONS]:
        raise RequestRefusedError(
            422,
            f"{strange[0][:20]!r} in the address",
            "is not read there",
            f"Give {', '.join(_OPTIONS)}.",
        )
    given = {name: several[-1] for name, several in values.items()}
    name, explain, level = given.get("name", ""), given.get("explain", "false"), given.get("level")
    if name and not _NAME.match(name):
        raise RequestRefusedError(
            422,
            "The name of the file",
            "is too long, or holds a slash or a line end",
            "Give the name alone, without a folder.",
        )
    if explain not in {"true", "false"}:
        raise RequestRefusedError(
            422, f"explain={explain[:20]}", "is neither true nor false", "Give explain=true."
        )
    try:
        number = None if level is None else read_level(float(level))
    except ValueError as error:
        told = error if isinstance(error, ModelLoopError) else None
        raise RequestRefusedError(
            422,
            told.given if told else f"level={level!r:.40}",
            told.rule if told else "is no number",
            told.remedy if told else "Give one from 50 to 99.",
        ) from error
    return {
        "name": name,
        "level": number,
        "moment": read_moment(dataset, given.get("moment")),
        "explain": explain == "true",
    }


async def _receive(call: Call, path: Path, most: int) -> tuple[str, int]:
    """Write a body into a file as it comes; return its digest and its bytes.

    Raises
    ------
    RequestRefusedError
        If it is too large (413), before all of it has come; if it ends too early (400); if the
        disk is full (503).
    """
    refused = RequestRefusedError(413, "The file", f"has more than {most:,} bytes", "Send parts.")
    announced = call.header(b"content-length")
    if announced.isdigit() and int(announced) > most:
        raise refused
    digest, size, waiting, more = hashlib.sha256(), 0, bytearray(), True
    with path.open("xb") as file:

        def write(data: bytes) -> None:
            digest.update(data)
            try:
                file.write(data)
                file.flush()
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                raise RequestRefusedError(
                    503, "The disk of the server", "has no room for the file", "Try again later."
                ) from error

        while more:
            message = await call.receive()
            if message["type"] == "http.disconnect":
                raise RequestRefusedError(
                    400, "The file", "ended before all of it had come", "Send it again."
                )
            waiting += message.get("body", b"")
            more = bool(message.get("more_body"))
            size += len(message.get("body", b""))
            if size > most:
                raise refused
            if len(waiting) >= _PIECE or not more:
                await asyncio.to_thread(write, bytes(waiting))
                waiting.clear()
    return digest.hexdigest(), size


def _no_link(path: str, flags: int) -> int:
    """Open a file, but follow no link."""
    return os.open(path, flags | os.O_NOFOLLOW)

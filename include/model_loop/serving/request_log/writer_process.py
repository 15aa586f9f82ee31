"""A process of its own that writes the request log: ``… serving.request_log.writer_process``.

Statements for the database are made under the interpreter's lock, for which answers would wait. So
the server passes each batch as bytes, together with the shadow, which would delay the answers as
well. It keeps what is handed over until it hears that it is committed; when the process ends for
whatever reason, the next one is given the same again.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import msgspec

from model_loop.serving.request_log.entries import PART, PAUSE_SECONDS, Batch, Entry, WriteResult
from model_loop.serving.request_log.inputs import dataset_of_logged
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.writer import LogWriter

if TYPE_CHECKING:
    from model_loop.serving.models.predictor import ServedVersion

#: Requests go before.
_NICENESS = 5
#: A process that shall end is waited for so long.
_ENDING_SECONDS = 5.0
#: Bytes of the number that says how long a message is.
_LENGTH = 4

logger = logging.getLogger(__name__)

Message = TypeVar("Message")


class LogPlace(msgspec.Struct):
    """Address and contents of the log: the first message to the process.

    Parameters
    ----------
    url, folder
        See `open_log`.
    inputs
        See `LogWriter`.
    """

    url: str
    folder: str
    inputs: bool


class ShadowVersion(msgspec.Struct):
    """A version that predicts for the log only.

    Parameters
    ----------
    version, columns, places
        See `ServedVersion`.
    form
        Compiled form as `CompiledModel.write` writes it.
    declaration
        See `ServedVersion`.
    """

    version: int
    columns: tuple[str, ...]
    places: tuple[int, ...]
    form: bytes
    declaration: str = ""


class SetShadows(msgspec.Struct, tag=True):
    """The shadows from now on, by the variants that they are of."""

    shadows: dict[str, ShadowVersion] = {}


class NextEntries(msgspec.Struct, tag=True):
    """Entries of the next batch, which go before those that it brings itself."""

    entries: list[Entry]


_PLACE = msgspec.msgpack.Decoder(LogPlace)
_MESSAGE: msgspec.msgpack.Decoder[Batch | NextEntries | SetShadows] = msgspec.msgpack.Decoder(
    Batch | NextEntries | SetShadows
)
_WRITTEN = msgspec.msgpack.Decoder(WriteResult)


class ProcessWriter:
    """Writes batches by another process, which ends with this one.

    Parameters
    ----------
    url, folder
        See `open_log`.
    inputs
        Whether inputs are stored.
    """

    def __init__(self, url: str, folder: Path, *, inputs: bool = True) -> None:
        self._place = LogPlace(url, str(folder), inputs)
        self._process: subprocess.Popen[bytes] | None = None
        self._shadows: Mapping[str, ServedVersion] = {}
        #: Last message to the process.
        self._followed: Mapping[str, ServedVersion] = {}
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start the process, if there is none."""
        with self._lock:
            if self._process is None and not self._closed:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "model_loop.serving.request_log.writer_process"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
                self._followed = {}
                with contextlib.suppress(OSError):
                    # If it has ended already, the first batch says so.
                    _send(self._process.stdin, self._place)

    def follow(self, shadows: Mapping[str, ServedVersion]) -> None:
        """From now on, ask these versions of each variant too what they say of what is written."""
        self._shadows = shadows

    def write(self, batch: Batch) -> WriteResult:
        """Write a batch; entries that are written already are not doubled."""
        self.start()
        process, shadows = self._process, self._shadows
        here = {key: one for key, one in shadows.items() if one.form is None}
        if here and batch.entries:
            # A model without a compiled form cannot be handed over.
            from model_loop.serving.models.shadow import (  # noqa: PLC0415 - only a shadow needs NumPy
                ask_shadows,
            )

            batch = msgspec.structs.replace(batch, shadow=ask_shadows(here, batch.entries))
        written = None
        if process is not None:
            with contextlib.suppress(OSError):
                if {**shadows} != {**self._followed}:
                    _send(process.stdin, _follow(shadows))
                    self._followed = shadows
                _send_batch(process.stdin, batch)
                written = _receive(process.stdout, _WRITTEN)
        if written is None:
            self._end()
            self.start()
            message = "The process that writes it has ended; it is started again"
            return WriteResult([*range(len(batch.entries))], noted=not batch.lost, problem=message)
        return written

    def close(self) -> None:
        """End the process; nothing is written afterwards."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            # It waits for a database; what it was given is kept here.
            process.kill()
            process.wait()
        process.stdout.close()


def _follow(shadows: Mapping[str, ServedVersion]) -> SetShadows:
    follow = SetShadows({})
    for key, shadow in shadows.items():
        if shadow.form is not None:
            form = io.BytesIO()
            shadow.form.write(form)
            follow.shadows[key] = ShadowVersion(
                shadow.version,
                shadow.columns,
                shadow.places,
                form.getvalue(),
                shadow.declaration,
            )
    return follow


def _send_batch(stream: IO[bytes] | None, batch: Batch) -> None:
    """Send a batch in parts: while one is encoded, answers wait for the interpreter's lock."""
    for first in range(0, len(batch.entries), PART):
        _send(stream, NextEntries(batch.entries[first : first + PART]))
        time.sleep(PAUSE_SECONDS)
    _send(stream, msgspec.structs.replace(batch, entries=[]))


def _send(stream: IO[bytes] | None, message: msgspec.Struct) -> None:
    assert stream is not None
    payload = msgspec.msgpack.encode(message, enc_hook=_plain)
    stream.write(len(payload).to_bytes(_LENGTH) + payload)
    stream.flush()


def _receive(stream: IO[bytes] | None, decoder: msgspec.msgpack.Decoder[Message]) -> Message | None:
    """The next message; None if there is none any more."""
    assert stream is not None
    head = stream.read(_LENGTH)
    length = int.from_bytes(head)
    payload = stream.read(length)
    if len(head) != _LENGTH or len(payload) != length:
        return None
    return decoder.decode(payload)


def _plain(number: object) -> object:
    return number.item()  # type: ignore[attr-defined]  # NumPy's numbers give their plain value


class _Shadowed:
    """A writer, and the shadows that it follows as soon as they are ready."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._wanted = SetShadows()
        self._turn = threading.Lock()

    def write(self, batch: Batch) -> WriteResult:
        """Write a batch."""
        return self._writer.write(batch)

    def follow(self, wanted: SetShadows) -> None:
        """Follow others; until they are ready, none is asked."""
        with self._turn:
            self._wanted = wanted
            self._writer.follow({})
        if wanted.shadows:
            # It takes a second or two, during which the log works.
            threading.Thread(target=self._prepare, args=(wanted,), daemon=True).start()

    def _prepare(self, wanted: SetShadows) -> None:
        from model_loop.scoring.outcomes import (  # noqa: PLC0415 - only a shadow needs NumPy
            deciding_of,
        )
        from model_loop.serving.compiled.model import (  # noqa: PLC0415 - as above
            CompiledModel,
        )
        from model_loop.serving.models.predictor import ServedVersion  # noqa: PLC0415 - as above

        ready = {}
        for key, one in wanted.shadows.items():
            dataset = dataset_of_logged(key, one.declaration)
            form = CompiledModel.read(io.BytesIO(one.form), dataset)
            ready[key] = ServedVersion(
                one.version,
                one.columns,
                one.places,
                form.verify(),
                declaration=one.declaration,
                deciding=deciding_of(dataset.target, form.threshold, None),
            )
        with self._turn:
            if self._wanted is wanted:
                self._writer.follow(ready)


def main() -> None:
    """Write what comes on the standard input, until it ends."""
    # When the server ends, the input ends, after the last batch.
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)
    os.nice(_NICENESS)
    incoming = sys.stdin.buffer
    # Output of libraries goes to the log, and only answers go to the server.
    with os.fdopen(os.dup(1), "wb") as answers, contextlib.suppress(BrokenPipeError):
        os.dup2(2, 1)
        place = _receive(incoming, _PLACE)
        if place is None:
            return
        engine = open_log(place.url, Path(place.folder), must_answer=False)
        writer = _Shadowed(LogWriter(engine, inputs=place.inputs))
        ahead: list[Entry] = []
        while (message := _receive(incoming, _MESSAGE)) is not None:
            if isinstance(message, NextEntries):
                ahead += message.entries
            elif isinstance(message, Batch):
                batch = msgspec.structs.replace(message, entries=[*ahead, *message.entries])
                ahead = []
                _send(answers, writer.write(batch))
            else:
                writer.follow(message)


if __name__ == "__main__":
    main()

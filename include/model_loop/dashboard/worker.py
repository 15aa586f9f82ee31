"""A worker process that answers questions, several at a time: both of its ends.

joblib's loky keeps such processes too, and was measured against this: each of its processes answers
one question at a time and takes 120 MB for MLflow's client and pandas, two more processes track
resources for as long as the server runs, and a server that is killed leaves all of them behind.

A question takes one end of a socket pair to the worker over its standard input, and the answer
comes back through the pair. Both are MessagePack: nothing of another process is ever unpickled.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import MappingProxyType
from typing import Any

import msgspec

from model_loop.errors import WorkerError

#: A worker ends after so long without a question.
IDLE_SECONDS = 300.0
#: An answer that takes longer is given up: MLflow's client gives up sooner.
TIMEOUT_SECONDS = 120.0
#: Time to end for the worker, and in it for lookups that may leave files behind.
_STOP_SECONDS, _CLEANUP_SECONDS = 5.0, 2.0
#: Questions that are answered at the same time.
_THREADS = 8
#: A question may cross the end of a worker; the next one has not been idle for long.
_ATTEMPTS = 2
#: Sent before an answer, as soon as the question was read.
_READ = b"+"

logger = logging.getLogger(__name__)

Lookup = Callable[..., object]


class _Question(msgspec.Struct):
    name: str
    arguments: dict[str, Any]


class _Answer(msgspec.Struct):
    body: bytes | None = None
    problem: str | None = None


class WorkerProcess:
    """A worker process, started by the first question, and by the next one after it has ended.

    Parameters
    ----------
    module
        Run by the process; calls `serve`.
    idle_seconds
        Time without a question after which the process ends.
    """

    def __init__(self, module: str, idle_seconds: float = IDLE_SECONDS) -> None:
        self._command = (sys.executable, "-m", module, str(idle_seconds))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        atexit.register(self.stop)

    def ask(
        self,
        name: str,
        arguments: Mapping[str, Any] = MappingProxyType({}),
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> bytes | None:
        """Return the answer to a question.

        Raises
        ------
        WorkerError
            If the lookup fails, or the process ends or hangs.
        """
        question = msgspec.msgpack.encode(_Question(name, dict(arguments)))
        for _ in range(_ATTEMPTS):
            ours, theirs = socket.socketpair()
            with ours:
                ours.settimeout(timeout_seconds)
                with theirs:
                    # Before the worker has its end: it never waits for the rest of a question.
                    ours.sendall(question)
                    ours.shutdown(socket.SHUT_WR)
                    process = self._send(theirs)
                try:
                    received = _read(ours)
                except TimeoutError:
                    # A lookup that hangs would hold up others, too.
                    process.kill()
                    message = "The worker process does not answer in time"
                    raise WorkerError(message) from None
            if received:
                break
        if len(received) <= len(_READ):
            message = "The worker process has ended; the log of the api-server says why"
            raise WorkerError(message)
        answer = msgspec.msgpack.decode(received[len(_READ) :], type=_Answer)
        if answer.problem is not None:
            raise WorkerError(answer.problem)
        return answer.body

    def stop(self) -> None:
        """End the process; questions without an answer fail."""
        with self._lock:
            process, self._process = self._process, None
            if self._control is not None:
                self._control.close()
        if process is not None:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _send(self, connection: socket.socket) -> subprocess.Popen[bytes]:
        """Pass the end of a socket pair to the process, and start one if none runs."""
        with self._lock:
            while True:
                if self._process is None or self._process.poll() is not None:
                    self._start()
                assert self._process is not None
                assert self._control is not None
                try:
                    socket.send_fds(self._control, [b"?"], [connection.fileno()])
                except ConnectionError:
                    # It ends at this moment.
                    self._process.wait()
                else:
                    return self._process

    def _start(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair()
        with theirs:
            # Its standard input ends with this process, also when that is killed.
            self._process = subprocess.Popen(self._command, stdin=theirs.fileno())  # noqa: S603 - our own module
        # So that none is left as a zombie until the next question.
        threading.Thread(target=self._process.wait, name="worker", daemon=True).start()


def serve_lookups(lookups: Mapping[str, Lookup]) -> None:
    """Answer queries until the input ends or the process is idle for long, and end it.

    Parameters
    ----------
    lookups
        Functions by the name of the question. They return bytes, None for nothing, or a value that
        becomes JSON.
    """
    # Ctrl-C is meant for the server; this process ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    shared = ThreadPoolExecutor(_THREADS)
    pending: set[Future[None]] = set()
    with socket.socket(fileno=sys.stdin.fileno()) as control:
        control.settimeout(float(sys.argv[1]))
        while True:
            try:
                more, files, *_ = socket.recv_fds(control, 1, 1)
            except TimeoutError:
                if not pending:
                    break
                continue
            if not more:
                break
            connection = socket.socket(fileno=files[0])
            question = msgspec.msgpack.decode(_read(connection), type=_Question)
            # If the server has ended, so does the input.
            with contextlib.suppress(ConnectionError):
                connection.sendall(_READ)
            future = shared.submit(_answer, connection, question, lookups)
            pending.add(future)
            future.add_done_callback(pending.discard)
    wait({*pending}, _CLEANUP_SECONDS)
    # Without waiting longer for threads that wait for a server.
    os._exit(0)


def _answer(connection: socket.socket, question: _Question, lookups: Mapping[str, Lookup]) -> None:
    try:
        value = lookups[question.name](**question.arguments)
        answer = _Answer(
            value if value is None or isinstance(value, bytes) else msgspec.json.encode(value)
        )
    except Exception as error:
        # Any error of a lookup is the answer to its query; other queries are answered.
        logger.exception("%s cannot be looked up", question.name)
        answer = _Answer(problem=f"{type(error).__name__}: {error}")
    # The server may have ended meanwhile, and this process is about to.
    with connection, contextlib.suppress(ConnectionError):
        connection.sendall(msgspec.msgpack.encode(answer))


def _read(connection: socket.socket) -> bytes:
    """Read to the end; nothing where the other process has ended."""
    with contextlib.suppress(ConnectionError), connection.makefile("rb") as stream:
        return stream.read()
    return b""

"""Asking a process of our own: started when it is needed, ended when it is not.

A question is a line of JSON. An answer is a line of JSON, and after it as many bytes as it says.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import MappingProxyType
from typing import IO, Any

import msgspec

from model_loop.monitoring.health.prepared import ElsewhereError

#: A process that nobody has asked for so long ends.
IDLE_SECONDS = 300.0
#: An answer that takes longer is not waited for: MLflow's client gives up sooner.
PATIENCE_SECONDS = 120.0
#: For so long a process that shall end is waited for.
_ENDING_SECONDS = 5.0

Body = bytes | None


class Question(msgspec.Struct):
    """What is asked: a name, and what belongs to it; the answer bears the number."""

    number: int
    name: str
    asked: dict[str, Any]


class Answer(msgspec.Struct, omit_defaults=True):
    """What is said of a question: the size of what follows (None for nothing), or what failed."""

    number: int
    size: int | None = None
    problem: str | None = None


class Apart:
    """A process beside this one that answers questions, several at a time.

    It is started by the first question, and by the next one after it has ended, for whatever
    reason.

    Parameters
    ----------
    module
        What it runs; see `answering.serve`.
    idle_seconds
        For how long it may be asked nothing.
    """

    def __init__(self, module: str, idle_seconds: float = IDLE_SECONDS) -> None:
        self._command = (sys.executable, "-m", module)
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._process: _Process | None = None
        atexit.register(self.stop)

    def ask(
        self,
        name: str,
        asked: Mapping[str, Any] = MappingProxyType({}),
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Body:
        """What it answers.

        Raises
        ------
        ElsewhereError
            If it fails, ends or hangs.
        """
        with self._lock:
            process = self._process
            answer = process.ask(name, asked) if process else None
            while process is None or answer is None:
                process = self._process = _Process(self._command, self._idle_seconds)
                answer = process.ask(name, asked)
        try:
            return answer.result(patience_seconds)
        except TimeoutError:
            # What hangs would hold up others, too.
            process.kill()
            message = "The process that looks things up does not answer in time"
            raise ElsewhereError(message) from None

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.end()


class _Process:
    """One such process, until it has ended."""

    def __init__(self, command: Sequence[str], idle_seconds: float) -> None:
        # It is ours, and ends with its input: when we close it, or are killed.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Body]] = {}
        self._asked = time.monotonic()
        self._closed = False
        self._ended = threading.Event()
        for target, given in ((self._read, ()), (self._watch, (idle_seconds,))):
            threading.Thread(target=target, args=given, name="apart", daemon=True).start()

    def ask(self, name: str, asked: Mapping[str, Any]) -> Future[Body] | None:
        """Ask; None if it takes no questions any more."""
        with self._lock:
            if self._closed or self._process.poll() is not None:
                return None
            self._asked = time.monotonic()
            question = Question(next(self._numbers), name, dict(asked))
            answer: Future[Body] = Future()
            self._waiting[question.number] = answer
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(msgspec.json.encode(question) + b"\n")
                self._process.stdin.flush()
            except OSError:
                # It has ended this moment, and not heard the question.
                del self._waiting[question.number]
                return None
            return answer

    def end(self) -> None:
        """End it; what was asked and is not answered fails."""
        with self._lock:
            self._close()
        if not self._ended.wait(_ENDING_SECONDS):
            self.kill()
            self._ended.wait(_ENDING_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _close(self) -> None:
        self._closed = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _read(self) -> None:
        """Give each answer to whoever waits for it, until there are no more."""
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for answer, body in _answers(stream):
                with self._lock:
                    waiting = self._waiting.pop(answer.number)
                if answer.problem is None:
                    waiting.set_result(body)
                else:
                    waiting.set_exception(ElsewhereError(answer.problem))
        with self._lock:
            self._close()
            left = [*self._waiting.values()]
            self._waiting.clear()
        message = "The process that looks things up has ended; the log of the api-server says why"
        for waiting in left:
            waiting.set_exception(ElsewhereError(message))
        self._process.wait()
        self._ended.set()

    def _watch(self, idle_seconds: float) -> None:
        """End it when nobody has asked for long."""
        left = idle_seconds
        while not self._ended.wait(left if left > 0 else idle_seconds):
            with self._lock:
                left = self._asked + idle_seconds - time.monotonic()
                if left <= 0 and not self._waiting:
                    self._close()
                    return


def _answers(stream: IO[bytes]) -> Iterator[tuple[Answer, Body]]:
    """Answers with what follows them; one that breaks off is none."""
    while (line := stream.readline()).endswith(b"\n"):
        answer = msgspec.json.decode(line, type=Answer)
        body = None if answer.size is None else stream.read(answer.size)
        if body is not None and len(body) != answer.size:
            return
        yield answer, body

"""Answering the questions of another process: the other end of `apart`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import IO

import msgspec

from model_loop.dashboard.apart import Answer, Question

#: Questions that are looked up at the same time.
_AT_ONCE = 8
#: What is being looked up when nobody asks any more may leave files: it has so long to end.
_ENDING_SECONDS = 2.0

logger = logging.getLogger(__name__)

Lookup = Callable[..., object]


def serve(lookups: Mapping[str, Lookup], one_at_a_time: Collection[str] = ()) -> None:
    """Answer until the input ends, and end the process.

    Parameters
    ----------
    lookups
        What gives an answer, by the name of the question: bytes, None for nothing, or what JSON can
        say.
    one_at_a_time
        Names of those that take turns.
    """
    # Ctrl-C is meant for whoever asks; this process ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print goes to the log, and the answers alone to whoever asks.
    with os.fdopen(os.dup(1), "wb") as stream:
        os.dup2(2, 1)
        answers = _Answers(stream)
        many, one = ThreadPoolExecutor(_AT_ONCE), ThreadPoolExecutor(1)
        begun: set[Future[None]] = set()
        for line in sys.stdin.buffer:
            question = msgspec.json.decode(line, type=Question)
            pool = one if question.name in one_at_a_time else many
            future = pool.submit(answers.give, question, lookups)
            begun.add(future)
            future.add_done_callback(begun.discard)
        for pool in (many, one):
            pool.shutdown(wait=False, cancel_futures=True)
        wait({*begun}, _ENDING_SECONDS)
        # Without waiting longer for threads that wait for a server.
        os._exit(0)


class _Answers:
    """Answers, each written whole."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def give(self, question: Question, lookups: Mapping[str, Lookup]) -> None:
        """Answer a question."""
        try:
            found = lookups[question.name](**question.asked)
            body = (
                found if found is None or isinstance(found, bytes) else msgspec.json.encode(found)
            )
        except Exception as error:
            # Whatever it is, it is told, and the others are answered.
            logger.exception("%s cannot be looked up", question.name)
            problem = f"{type(error).__name__}: {error}"
            self._write(Answer(question.number, problem=problem))
        else:
            self._write(Answer(question.number, None if body is None else len(body)), body or b"")

    def _write(self, answer: Answer, body: bytes = b"") -> None:
        with self._lock:
            self._stream.write(msgspec.json.encode(answer) + b"\n" + body)
            self._stream.flush()

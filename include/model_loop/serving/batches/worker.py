"""A process that scores accepted batches, one after another: ``… serving.batches.worker``.

It scores as `model-loop score` does, chunk by chunk. Finished chunks stay, so that a killed process
costs the chunk that it was at.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import msgspec
import pyarrow as pa

from model_loop.coded.versions import load_any
from model_loop.errors import ModelLoopError
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.scoring.batch.job import ChunkResult, JobResult
from model_loop.scoring.batch.planning import BatchRequest, columns_in, plan_chunks
from model_loop.scoring.batch.scoring import join_chunks, score_chunks
from model_loop.scoring.choosing import choose_predictor
from model_loop.scoring.opening import without_links
from model_loop.scoring.paths import output_of, to_path
from model_loop.serving.batches.store import AcceptedBatch, BatchStore
from model_loop.serving.compiled.compiler import explainer_for
from model_loop.settings import Settings, get_settings

#: Processes that may begin a batch without finishing a chunk of it.
MOST_ATTEMPTS = 5
_NICENESS = 15
#: Seconds between two notes of progress.
_NOTE_SECONDS = 1.0
#: Seconds for which further batches are waited for, and between two looks.
_LINGER_SECONDS, _LOOK_SECONDS = 30.0, 0.25
_LOCK = ".worker.lock"

logger = logging.getLogger(__name__)


class _CancelledError(Exception):
    """The batch was cancelled while it was scored."""


class BatchWork:
    """A batch that is being scored, and the report of its progress.

    Parameters
    ----------
    batch
        The batch.
    settings
        Settings of the process.
    """

    def __init__(self, batch: AcceptedBatch, settings: Settings) -> None:
        self._batch = batch
        self._settings = settings
        self._told = batch.progress()
        self._noted = 0.0

    def run(self) -> None:
        """Score the batch, and report the result.

        Raises
        ------
        Exception
            If something fails that may be mended: the next process tries again.
        """
        attempts = self._told.attempts + 1
        self._tell(state="running", attempts=attempts, read=0, predicted=0, rejected=0)
        try:
            self._finish(self._score())
        except _CancelledError:
            self._batch.drop_files()
            self._tell(state="cancelled")
        except FileNotFoundError:
            if not self._batch.cancelled:
                raise
            self._tell(state="cancelled")
        except ModelLoopError as error:
            self._fail(error)
        except (MemoryError, pa.ArrowMemoryError):
            logger.exception("Batch %s takes too much memory", self._batch.record.id)
            most = self._settings.batches_memory_bytes
            self._fail(
                ModelLoopError(
                    f"The file {self._batch.record.name}",
                    f"takes more than the {most:,} bytes of memory that a batch may take",
                    "Send parts, or write it with smaller row groups.",
                )
            )
        except Exception:
            if attempts < MOST_ATTEMPTS:
                raise
            logger.exception("Batch %s is given up", self._batch.record.id)
            self._fail(given_up(self._batch))

    def interrupted(self) -> None:
        """Take back that it was begun: a server that ends is no fault of the batch."""
        self._tell(attempts=max(self._told.attempts - 1, 0))

    def _score(self) -> JobResult:
        record, settings = self._batch.record, self._settings
        source = to_path(self._batch.source)
        if self._batch.source != record.source:
            # Its own file, in a folder that may be named by a link. Another one was looked up when
            # it was accepted: a link that has come since is not followed.
            source = without_links(source)
        output = output_of(source, to_path(self._batch.folder))
        predictor, _ = choose_predictor(
            record.service,
            lambda dataset: columns_in(dataset, [source], settings.scoring_preprocessing),
            settings.tracking_uri,
            moment=record.moment,
            load=load_any,
        )
        request = BatchRequest(
            files=[(source, output)],
            version=predictor.version,
            columns=predictor.columns,
            chunk_rows=settings.scoring_chunk_rows,
            overwrite=True,
            preprocessing=settings.scoring_preprocessing,
            level=DEFAULT_LEVEL if record.level is None else record.level,
            explain=record.explain,
        )
        explain = explainer_for(predictor) if record.explain else None
        chunks = plan_chunks(request, str(self._batch.folder))
        self._tell(rows=sum(one.rows for one in chunks), model_version=predictor.version.number)
        score_chunks(chunks, predictor, self._note_rows, explain, self._note_chunk)
        return join_chunks(chunks[0].job, chunks)

    def _note_rows(self, rows: int) -> None:
        if self._batch.cancelled:
            raise _CancelledError
        self._told = msgspec.structs.replace(self._told, read=self._told.read + rows)
        if time.monotonic() - self._noted > _NOTE_SECONDS:
            self._tell()

    def _note_chunk(self, result: ChunkResult, scored: bool) -> None:  # noqa: FBT001 - of a listener
        # Chunks that an earlier process has scored are no progress of this one.
        self._tell(
            attempts=0 if scored else self._told.attempts,
            predicted=self._told.predicted + result.rows - result.rejected,
            rejected=self._told.rejected + result.rejected,
        )

    def _finish(self, result: JobResult) -> None:
        if result.refused:
            self._fail(
                ModelLoopError(
                    f"The file {self._batch.record.name}",
                    f"holds no row that could be predicted, of {result.rows:,}; the first: "
                    f"{result.reason}",
                    "The rows and the reasons are among the rejected.",
                ),
                result,
            )
        else:
            self._tell(state="done", **_counts(result))

    def _fail(self, error: ModelLoopError, result: JobResult | None = None) -> None:
        told = error.fields()
        # The paths of this machine are no business of the caller.
        for part in ("given", "rule", "remedy"):
            told[part] = told[part].replace(f"{self._batch.folder}/", "")
        shutil.rmtree(self._batch.folder / "scoring", ignore_errors=True)
        self._tell(state="failed", error=told, **({} if result is None else _counts(result)))

    def _tell(self, **changes: object) -> None:
        self._noted = time.monotonic()
        self._told = msgspec.structs.replace(self._told, **changes)
        self._batch.tell(self._told)


def given_up(batch: AcceptedBatch) -> ModelLoopError:
    """Return the error of a batch that no process has got any further with."""
    return ModelLoopError(
        f"The file {batch.record.name}",
        f"was begun {MOST_ATTEMPTS} times, and each time the process has ended",
        "The log of the server says why.",
    )


def _counts(result: JobResult) -> dict[str, object]:
    return {
        "rows": result.rows,
        "read": result.rows,
        "predicted": result.predicted_rows,
        "rejected": result.rejected_rows,
        "result": to_path(result.output).name if result.predicted_rows else "",
        "rejected_rows": to_path(result.rejected).name if result.rejected else "",
    }


def work(store: BatchStore, settings: Settings) -> None:
    """Score what waits, one after another; another process that is at it already is left alone.

    It waits a little for further batches: its start takes longer than a small file.
    """
    turns = dict[str, int]()
    with _alone(store.folder) as first:
        last = time.monotonic()
        while first and time.monotonic() - last < _LINGER_SECONDS:
            if waiting := store.pending():
                _work_on(next_batch(waiting, turns), settings)
                last = time.monotonic()
            else:
                time.sleep(_LOOK_SECONDS)


def next_batch(waiting: Sequence[AcceptedBatch], turns: dict[str, int]) -> AcceptedBatch:
    """Return the batch whose turn it is: callers take turns, so none delays the others.

    Parameters
    ----------
    waiting
        Batches in the order in which they came; at least one.
    turns
        The last turn of each caller; that of this batch is written down.
    """
    batch = min(waiting, key=lambda one: turns.get(one.record.caller, 0))
    turns[batch.record.caller] = max(turns.values(), default=0) + 1
    return batch


def _work_on(batch: AcceptedBatch, settings: Settings) -> None:
    told = batch.progress()
    if told.attempts >= MOST_ATTEMPTS:
        error = given_up(batch).fields()
        batch.tell(msgspec.structs.replace(told, state="failed", error=error))
        return
    doing = BatchWork(batch, settings)
    try:
        doing.run()
    except SystemExit:
        doing.interrupted()
        raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Yield whether this process is the only one that scores the batches of a folder."""
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _end(_sign: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _follow_server() -> None:
    """End with the server, which holds the other end of the standard input."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Score what waits in the folder that is named, within the bounds of the settings."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    settings = get_settings()
    os.nice(_NICENESS)
    most = settings.batches_memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_follow_server, daemon=True).start()
    work(BatchStore(Path(sys.argv[1])), settings)


if __name__ == "__main__":
    main()

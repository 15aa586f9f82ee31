"""The worker process beside the api-server: asked, lost, started again, ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from model_loop.dashboard.worker import WorkerProcess
from model_loop.errors import WorkerError

PARROT = "tests.dashboard.parrot"


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    """A process that starts with the first question."""
    made = WorkerProcess(PARROT)
    yield made
    made.stop()


def answer(worker: WorkerProcess, name: str, **asked: Any) -> Any:
    """Return an answer in JSON."""
    return json.loads(worker.ask(name, asked) or b"null")


def has_ended(pid: int, *, orphan: bool = False) -> bool:
    """Return whether a process ends soon, with all its threads; an orphan may stay a zombie."""
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid):
        if orphan and psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_answers_cross_as_they_are(worker: WorkerProcess) -> None:
    """Values, documents of any size and none at all, beside what libraries print."""
    assert answer(worker, "say", text="Zürich\n“ ”") == {"text": "Zürich\n“ ”"}
    assert worker.ask("document", {"size": 1_000_000}) == b"a\nb" * 1_000_000
    assert worker.ask("document", {"size": 0}) == b""
    assert worker.ask("document", {"size": None}) is None


def test_errors_cross_and_the_next_is_answered(worker: WorkerProcess) -> None:
    """With their kind, whatever they are; also what is no question of its."""
    with pytest.raises(WorkerError, match=r"^KeyError: 'no such run'$"):
        worker.ask("fail", {"message": "no such run"})
    with pytest.raises(WorkerError, match="unknown"):
        worker.ask("unknown")
    with pytest.raises(WorkerError, match=r"^TypeError: "):
        worker.ask("say", {"words": "none"})
    assert answer(worker, "say", text="well") == {"text": "well"}


def test_a_slow_question_holds_up_no_other(worker: WorkerProcess) -> None:
    """Two that wait for each other are both answered."""
    with ThreadPoolExecutor(8) as threads:
        slow = threads.submit(answer, worker, "hold")
        both = [threads.submit(answer, worker, "meet") for _ in range(2)]
        assert all(one.result(20) for one in both)
        assert not slow.done()
        worker.ask("release")
        assert slow.result(20)


def lost(worker: WorkerProcess) -> None:
    """Kill it from outside."""
    psutil.Process(answer(worker, "pid")).kill()


def ended(worker: WorkerProcess) -> None:
    """Have it end while it is asked."""
    with pytest.raises(WorkerError, match="has ended; the log of the api-server says why"):
        worker.ask("end")


def hung(worker: WorkerProcess) -> None:
    """Wait for it in vain."""
    with pytest.raises(WorkerError, match="does not answer in time"):
        worker.ask("hang", timeout_seconds=0.1)


@pytest.mark.parametrize("lose", [lost, ended, hung])
def test_a_lost_worker_is_started_again(
    worker: WorkerProcess, lose: Callable[[WorkerProcess], None]
) -> None:
    """By the next question."""
    first = answer(worker, "pid")
    assert answer(worker, "pid") == first
    lose(worker)
    assert has_ended(first)
    assert answer(worker, "pid") != first


def hanging(threads: ThreadPoolExecutor, worker: WorkerProcess, marker: Path) -> Future[Any]:
    """Ask a question without an answer, and wait until the worker has it."""
    waiting = threads.submit(worker.ask, "hang", {"marker": str(marker)})
    deadline = time.monotonic() + 20
    while not marker.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return waiting


def test_no_question_waits_for_a_lost_worker(worker: WorkerProcess, tmp_path: Path) -> None:
    """All that wait fail at once."""
    with ThreadPoolExecutor(3) as threads:
        waiting = [hanging(threads, worker, tmp_path / str(number)) for number in range(2)]
        lost(worker)
        for one in waiting:
            with pytest.raises(WorkerError, match="has ended"):
                one.result(10)


def test_an_idle_worker_ends() -> None:
    """After its time, not while it answers; and the next question starts another."""
    worker = WorkerProcess(PARROT, idle_seconds=0.3)
    first = answer(worker, "pid")
    assert answer(worker, "rest", seconds=0.8), "a question that takes longer is answered"
    assert answer(worker, "pid") == first
    assert has_ended(first)
    second = answer(worker, "pid")
    assert second != first
    worker.stop()
    assert has_ended(second)


def test_a_question_that_was_not_read_is_asked_again(worker: WorkerProcess) -> None:
    """It may cross the end of a worker, whether that was idle or is killed."""
    first = psutil.Process(answer(worker, "pid"))
    first.suspend()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(answer, worker, "pid")
        time.sleep(0.2)
        first.kill()
        assert waiting.result(20) != first.pid
        # At once, before anybody has seen that it ends.
        psutil.Process(worker_pid := answer(worker, "pid")).kill()
        assert answer(worker, "pid") != worker_pid


def test_a_worker_that_does_not_start_is_given_up() -> None:
    """Its error is in the log."""
    worker = WorkerProcess("tests.dashboard.no_such_module")
    with pytest.raises(WorkerError, match="has ended; the log of the api-server says why"):
        worker.ask("pid")


def test_no_question_delays_the_end_of_the_server(worker: WorkerProcess, tmp_path: Path) -> None:
    """It fails, and starts no other worker."""
    first = answer(worker, "pid")
    with ThreadPoolExecutor(1) as threads:
        waiting = hanging(threads, worker, tmp_path / "marker")
        worker.stop()
        with pytest.raises(WorkerError, match="has ended"):
            waiting.result(10)
    assert has_ended(first)
    assert not any(PARROT in one.cmdline() for one in psutil.Process().children())


def test_it_ends_with_the_server() -> None:
    """Also when that is killed."""
    program = (
        "from model_loop.dashboard.worker import WorkerProcess;"
        f"worker = WorkerProcess({PARROT!r});"
        "print(worker.ask('pid').decode(), flush=True); worker.ask('hang')"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        asking.kill()
    assert has_ended(pid, orphan=True)

"""The process beside the api-server: asked, lost, begun again, ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from model_loop.dashboard.apart import Apart
from model_loop.monitoring.health.prepared import ElsewhereError

PARROT = "tests.dashboard.parrot"


@pytest.fixture
def apart() -> Iterator[Apart]:
    """A process that is begun when it is asked."""
    made = Apart(PARROT)
    yield made
    made.stop()


def told(apart: Apart, name: str, **asked: Any) -> Any:
    """What it says in JSON."""
    return json.loads(apart.ask(name, asked) or b"null")


def has_ended(pid: int, *, orphan: bool = False) -> bool:
    """Whether a process ends soon, down to its last thread; an orphan may be left unburied."""
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid):
        if orphan and psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_answers_cross_as_they_are(apart: Apart) -> None:
    """Values, documents of any size and none at all, beside what libraries print."""
    assert told(apart, "say", text="Zürich\n“ ”") == {"text": "Zürich\n“ ”"}
    assert apart.ask("document", {"size": 1_000_000}) == b"a\nb" * 1_000_000
    assert apart.ask("document", {"size": 0}) == b""
    assert apart.ask("document", {"size": None}) is None


def test_errors_cross_and_the_next_is_answered(apart: Apart) -> None:
    """With their kind, whatever they are; also what is no question of its."""
    with pytest.raises(ElsewhereError, match=r"^KeyError: 'no such run'$"):
        apart.ask("fail", {"message": "no such run"})
    with pytest.raises(ElsewhereError, match="unknown"):
        apart.ask("unknown")
    with pytest.raises(ElsewhereError, match=r"^TypeError: "):
        apart.ask("say", {"words": "none"})
    assert told(apart, "say", text="well") == {"text": "well"}


def test_a_slow_question_holds_up_no_other(apart: Apart) -> None:
    """Two that wait for each other are both answered; those that take turns never meet."""
    with ThreadPoolExecutor(8) as threads:
        slow = threads.submit(told, apart, "hold")
        both = [threads.submit(told, apart, "meet") for _ in range(2)]
        assert all(one.result(20) for one in both)
        turns = [threads.submit(told, apart, "alone", seconds=0.05) for _ in range(4)]
        assert all(one.result(20) for one in turns)
        assert not slow.done()
        apart.ask("release")
        assert slow.result(20)


def lost(apart: Apart) -> None:
    """Kill it from outside."""
    psutil.Process(told(apart, "pid")).kill()


def ended(apart: Apart) -> None:
    """Have it end while it is asked."""
    with pytest.raises(ElsewhereError, match="has ended; the log of the api-server says why"):
        apart.ask("end")


def hung(apart: Apart) -> None:
    """Wait for it in vain."""
    with pytest.raises(ElsewhereError, match="does not answer in time"):
        apart.ask("hang", patience_seconds=0.1)


@pytest.mark.parametrize("lose", [lost, ended, hung])
def test_what_was_lost_is_begun_again(apart: Apart, lose: Callable[[Apart], None]) -> None:
    """By the next question."""
    first = told(apart, "pid")
    assert told(apart, "pid") == first
    lose(apart)
    assert has_ended(first)
    assert told(apart, "pid") != first


def test_nobody_waits_for_what_has_ended(apart: Apart) -> None:
    """All who wait are told."""
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(apart.ask, "hang") for _ in range(2)]
        lost(apart)
        for one in waiting:
            with pytest.raises(ElsewhereError, match="has ended"):
                one.result(10)


def test_it_ends_when_nobody_asks() -> None:
    """After its time, not while it answers; and begins again."""
    apart = Apart(PARROT, idle_seconds=0.3)
    first = told(apart, "pid")
    assert told(apart, "alone", seconds=0.8), "a question that takes longer is answered"
    assert told(apart, "pid") == first
    assert has_ended(first)
    second = told(apart, "pid")
    assert second != first
    apart.stop()
    assert has_ended(second)


def test_it_ends_with_whoever_asks() -> None:
    """Also when that is killed."""
    program = (
        f"from model_loop.dashboard.apart import Apart; apart = Apart({PARROT!r});"
        "print(apart.ask('pid').decode(), flush=True); apart.ask('hang')"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        asking.kill()
    assert has_ended(pid, orphan=True)

"""Versions come and go under the requests; what answered last goes on answering."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from tests.serving.conftest import MemoryRegistry
from upath import UPath

from model_loop.alerts.outbox import Outbox
from model_loop.serving.models.manager import ActiveModels, ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.store import ModelStore
from model_loop.serving.models.traffic import place_of
from model_loop.tracking.deployments import Deployment, Standings


@pytest.fixture
def registry(predictors: dict[int, ServedVersion]) -> MemoryRegistry:
    """A registry whose champion is version 1."""
    return MemoryRegistry(predictors, Deployment(champion=1))


def versions(live: ModelManager) -> tuple[int | None, ...]:
    """Versions that answer."""
    now = live.now.sides["ended"]
    return tuple(one.version if one else None for one in (now.champion, now.challenger, now.shadow))


def test_a_swap_is_one_step(registry: MemoryRegistry, tmp_path: Path) -> None:
    """A reader sees the versions before or after the swap, never a mixture."""
    swaps: list[ActiveModels] = []
    live = ModelManager(registry, tmp_path, 3_600, swaps.append)
    for challenger in (3, 2):
        registry.now = Deployment(champion=1, challenger=challenger, shadow=2)
        live.refresh()
    swaps.clear()
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add(versions(live))

    looking = threading.Thread(target=look)
    looking.start()
    for champion, challenger in ((2, 3), (3, 1), (1, 2)):
        registry.now = Deployment(champion=champion, challenger=challenger, share=0.5)
        live.refresh()
    stop.set()
    looking.join()
    assert versions(live) == (1, 2, None)
    assert seen <= {(1, 2, 2), (2, 3, None), (3, 1, None), (1, 2, None)}
    assert len(swaps) == 3


def test_the_log_says_in_words_what_answers(
    registry: MemoryRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Versions by their roles, and the share of requests."""
    caplog.set_level("INFO")
    registry.now = Deployment(champion=1, challenger=3, shadow=2, share=0.25)
    ModelManager(registry, tmp_path, 3_600).refresh()
    assert (
        "ended: champion version 1, challenger version 3, shadow version 2, 25% of the requests to "
        "the challenger"
    ) in caplog.text
    assert str(Deployment()) == "no version"
    assert str(Deployment(champion=2, enabled=False)) == "champion version 2, disabled"


def test_a_registry_that_is_down(registry: MemoryRegistry, tmp_path: Path) -> None:
    """Loaded versions still answer, and the state says that the registry does not."""
    live = ModelManager(registry, tmp_path, 0.01)
    live.refresh()
    assert not live.unreachable
    registry.reachable = False
    registry.now = Deployment(champion=2)
    live.refresh()
    assert versions(live) == (1, None, None)
    assert "down" in str(live.unreachable)
    registry.reachable = True
    live.refresh()
    assert versions(live) == (2, None, None)
    assert not live.unreachable


def test_a_start_without_the_registry(registry: MemoryRegistry, tmp_path: Path) -> None:
    """A server that starts while the registry is down takes the last known standing."""
    registry.now = Deployment(champion=2, shadow=3)
    ModelManager(registry, tmp_path, 3_600).refresh()
    registry.reachable = False
    live = ModelManager(registry, tmp_path, 3_600)
    live.refresh()
    assert versions(live) == (2, None, 3)
    assert live.unreachable
    unknown = ModelManager(registry, tmp_path / "new", 3_600)
    unknown.refresh()
    assert versions(unknown) == (None, None, None)


def test_a_champion_that_cannot_be_loaded(registry: MemoryRegistry, tmp_path: Path) -> None:
    """The one before stays, and the other is named, until it can be loaded."""
    live = ModelManager(registry, tmp_path, 3_600)
    live.refresh()
    registry.now = Deployment(champion=99, challenger=2, share=0.5)
    live.refresh()
    assert versions(live) == (1, 2, None)
    assert set(live.problems) == {99}
    registry.predictors = {**registry.predictors, 99: registry.predictors[3]}
    live.refresh()
    assert versions(live) == (3, 2, None)
    assert not live.problems


def test_a_broken_version_holds_up_no_other(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a challenger fails to load, a new champion takes over, and a rollback works."""
    load = registry.load

    def sometimes(version: int, given_up: threading.Event) -> ServedVersion:
        return load(version if version != 3 else version // 0, given_up)

    monkeypatch.setattr(registry, "load", sometimes)
    live = ModelManager(registry, tmp_path, 3_600)
    for champion in (2, 1):
        registry.now = Deployment(champion=champion, challenger=3, share=0.5)
        live.refresh()
        assert versions(live) == (champion, None, None)
        assert "division" in live.problems[3]
    registry.reachable = False
    restarted = ModelManager(registry, tmp_path, 3_600)
    restarted.refresh()
    assert versions(restarted) == (1, None, None)


@pytest.mark.parametrize("content", ["", "[]", '{"version": 2}', "\udcff"])
def test_a_last_standing_that_cannot_be_read(
    registry: MemoryRegistry, tmp_path: Path, content: str
) -> None:
    """A server that knows of no version says so at once, and finds one when it can."""
    (tmp_path / "standing.json").write_text(content, errors="surrogateescape")
    registry.reachable = False
    live = ModelManager(registry, tmp_path, 3_600)
    live.refresh()
    assert live.looked
    assert versions(live) == (None, None, None)
    registry.reachable = True
    live.refresh()
    assert versions(live) == (1, None, None)


@pytest.mark.parametrize(
    "content", ['{"format": 2, "now": {}}', '{"ended": {"champion": "x"}}', "{"]
)
def test_a_standing_of_another_version_is_told_and_the_last_good_one_answers(
    registry: MemoryRegistry, tmp_path: Path, content: str
) -> None:
    """It must not pass for a service of which nothing stands; it is kept aside."""
    ModelManager(registry, tmp_path, 3_600).refresh()
    (tmp_path / "standing.json").write_text(content)
    registry.reachable = False
    outbox = Outbox(UPath(tmp_path / "alerts"))
    restarted = ModelManager(registry, tmp_path, 3_600, outbox=outbox)
    restarted.refresh()
    assert versions(restarted) == (1, None, None)
    (waiting,) = outbox.waiting()
    assert waiting.alert.subject == "standing.json of a prediction server cannot be read"
    assert [path.read_text() for path in tmp_path.glob("standing.json.unreadable-*")] == [content]


def test_a_standing_that_no_file_holds_is_passed_over(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    """Where something else has taken its place, the second copy answers."""
    ModelManager(registry, tmp_path, 3_600).refresh()
    (tmp_path / "standing.json").unlink()
    (tmp_path / "standing.json").mkdir()
    registry.reachable = False
    restarted = ModelManager(registry, tmp_path, 3_600)
    restarted.refresh()
    assert versions(restarted) == (1, None, None)


def test_nobody_waits_for_a_look_that_failed(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any error, requests are answered by what there is."""
    live = ModelManager(registry, tmp_path, 3_600)
    monkeypatch.setattr(registry, "standings", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        live.refresh()
    assert live.looked


def test_files_of_what_answers_are_kept(tmp_path: Path) -> None:
    """A champion that is older than many trials can be loaded when the registry is down."""
    store = ModelStore("http://127.0.0.1:9", "model", tmp_path)
    for version in range(1, 11):
        folder = tmp_path / "model" / f"{version}-1700000000000"
        folder.mkdir(parents=True)
        os.utime(folder, (version, version))
    store.needed = frozenset({2, None})
    store._remove_old()
    kept = {int(path.name.partition("-")[0]) for path in (tmp_path / "model").iterdir()}
    assert kept == {2, 5, 6, 7, 8, 9, 10}


def test_the_watch_goes_on_after_an_error(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any error of a refresh, the next one is tried."""
    live, refreshed = ModelManager(registry, tmp_path, 0.01), threading.Event()
    look = live.look
    failing = iter([ZeroDivisionError()])

    def sometimes() -> None:
        if error := next(failing, None):
            raise error
        look()
        if live.looked:
            refreshed.set()

    monkeypatch.setattr(live, "look", sometimes)
    live.start()
    assert refreshed.wait(10)
    live.stop()
    assert versions(live) == (1, None, None)


def test_what_was_loaded_answers_before_requests_wait_no_longer(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A champion that is loaded while a look ends is not passed over by the first requests."""
    live, swapped = ModelManager(registry, tmp_path, 3_600), threading.Event()
    # Its own thread comes late to let it answer.
    monkeypatch.setattr(live._loader, "on_end", lambda: swapped.wait(10))
    swap = live._swap

    def swap_and_load(standings: Standings, *, told: bool = False) -> None:
        swap(standings, told=told)
        while live._loader.is_loading({1}):
            time.sleep(0.001)

    monkeypatch.setattr(live, "_swap", swap_and_load)
    live.look()
    assert live.looked
    assert versions(live) == (1, None, None)
    swapped.set()
    live.stop()


def test_keys_are_spread_evenly() -> None:
    """Shares come out, keys stay in their place, and another challenger shuffles them."""
    places = [place_of(str(key), 2) for key in range(5_000)]
    assert places == [place_of(str(key), 2) for key in range(5_000)]
    assert abs(sum(place < 0.1 for place in places) / 5_000 - 0.1) < 0.02
    others = [place_of(str(key), 3) for key in range(5_000)]
    both = sum(a < 0.1 and b < 0.1 for a, b in zip(places, others, strict=True))
    assert both / 5_000 < 0.02

"""What a search proposes, before and after it knows outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import pytest

from model_loop.models.proposals import grid, is_small, known_in_advance, propose, startup
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Categorical, Integer, Real, Settings, Space

SPACE: Space = {
    "rate": Real(0.001, 1.0, log=True),
    "depth": Integer(2, 14),
    "kind": Categorical(("a", "b", None)),
}
Algorithm = Literal["tpe", "random", "anneal", "grid"]


def request(algorithm: Algorithm, evaluations: int, seed: int = 1) -> SearchRequest:
    """Ask for a search."""
    return SearchRequest(max_evaluations=evaluations, search_algorithm=algorithm, random_state=seed)


def loss_of(settings: Settings) -> float:
    """Return how far settings are from the best ones, which are in a corner."""
    rate, depth = settings["rate"], settings["depth"]
    assert isinstance(rate, float)
    assert isinstance(depth, int)
    return math.log10(rate / 0.002) ** 2 + (depth - 13) ** 2 / 10 + (settings["kind"] != "b")


def proposals(
    asked: SearchRequest,
    loss: Callable[[Settings], float | None] = loss_of,
    *,
    evaluations: int | None = None,
    stop_after: int | None = None,
) -> list[dict[str, Any]]:
    """Return the settings that are proposed, in their order."""
    found: list[dict[str, Any]] = []

    def objective(settings: Settings) -> float | None:
        found.append(dict(settings))
        return loss(settings)

    wanted = asked.max_evaluations if evaluations is None else evaluations
    propose(SPACE, asked, objective, wanted, lambda: len(found) == stop_after)
    return found


@pytest.mark.parametrize(
    ("evaluations", "drawn"),
    [(1, 5), (9, 5), (10, 5), (11, 5), (12, 6), (25, 12), (39, 19), (40, 20), (41, 20), (500, 20)],
)
def test_half_of_a_search_is_drawn_at_random(evaluations: int, drawn: int) -> None:
    """At least five settings, and at most twenty."""
    assert startup(evaluations) == drawn


@pytest.mark.parametrize("algorithm", ["tpe", "random", "anneal"])
def test_as_many_are_proposed_as_are_asked_for(algorithm: Algorithm) -> None:
    """Plain values of the space, the same for a seed, and others for another one."""
    asked = request(algorithm, 8)
    found = proposals(asked)
    assert len(found) == 8
    for settings in found:
        assert list(settings) == list(SPACE)
        assert type(settings["rate"]) is float
        assert type(settings["depth"]) is int
        assert settings["kind"] in {"a", "b", None}
    assert found == proposals(asked)
    assert found != proposals(request(algorithm, 8, seed=2))
    assert proposals(asked, evaluations=3) == found[:3]
    assert proposals(asked, stop_after=5) == found[:5]


@pytest.mark.parametrize("algorithm", ["tpe", "anneal"])
def test_a_search_learns_from_outcomes(algorithm: Algorithm) -> None:
    """Other outcomes lead to other settings; of tpe, those that are drawn first stay the same."""
    asked = request(algorithm, 24)
    there = proposals(asked)
    elsewhere = proposals(asked, lambda settings: -loss_of(settings))
    first = startup(24) if algorithm == "tpe" else 1
    assert there[:first] == elsewhere[:first]
    assert there[first : first + 4] != elsewhere[first : first + 4]
    drawn = proposals(request("random", 24))
    assert there[first:] != drawn[first:]
    # What it has learned shows: the better half of what follows is better than what was drawn.
    losses = [loss_of(settings) for settings in there]
    later = sorted(losses[first:])[: len(losses[first:]) // 2]
    assert sum(later) / len(later) < sum(losses[:first]) / first


def test_a_random_search_knows_nothing_of_outcomes() -> None:
    """All of it is known in advance."""
    asked = request("random", 15)
    found = proposals(asked)
    assert found == proposals(asked, lambda settings: -loss_of(settings))
    assert known_in_advance(SPACE, asked) == found


def test_settings_without_an_outcome_are_passed_over() -> None:
    """The search goes on after those that have failed, and ends where all have."""
    asked = request("tpe", 14)
    some = proposals(asked, lambda settings: None if settings["kind"] == "a" else 1.0)
    assert len(some) == 14
    assert any(settings["kind"] == "a" for settings in some)
    assert len(proposals(asked, lambda _: None)) == 14


@pytest.mark.parametrize(("evaluations", "known"), [(3, 3), (7, 5), (24, 12), (60, 20)])
def test_the_first_of_tpe_are_known_in_advance(evaluations: int, known: int) -> None:
    """Those that it draws at random, and no more than are asked for."""
    asked = request("tpe", evaluations)
    found = known_in_advance(SPACE, asked)
    assert len(found) == known
    assert found == proposals(asked, evaluations=known)
    assert found == proposals(asked, lambda settings: -loss_of(settings), evaluations=known)


def test_of_a_grid_all_are_known_and_of_anneal_none() -> None:
    """The grid has as many points as it may."""
    assert known_in_advance(SPACE, request("grid", 20)) == grid(SPACE, 20)
    assert len(grid(SPACE, 20)) > 10
    assert known_in_advance(SPACE, request("anneal", 20)) == []


@pytest.mark.parametrize("algorithm", ["tpe", "random", "anneal", "grid"])
def test_of_a_small_space_every_setting_is_tried_once(algorithm: Algorithm) -> None:
    """As soon as all can be; with one evaluation less a search has to choose."""
    space: Space = {
        "depth": Integer(1, 3),
        "kind": Categorical(("a", "b")),
        "fixed": Real(2.0, 2.0),
    }
    asked = request(algorithm, 6)
    assert is_small(space, asked)
    found = known_in_advance(space, asked)
    assert sorted((one["depth"], one["kind"], one["fixed"]) for one in found) == [
        (depth, kind, 2.0) for depth in (1, 2, 3) for kind in ("a", "b")
    ]
    assert not is_small(space, request(algorithm, 5))
    assert is_small({"fixed": Categorical((1,))}, request(algorithm, 1))
    assert not is_small({"free": Real(1.0, 2.0)}, request(algorithm, 10_000))

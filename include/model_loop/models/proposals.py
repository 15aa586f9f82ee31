"""Proposals of a search: settings fixed in advance, and settings that outcomes suggest."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Settings, Space, grid, plain, points, to_hyperopt

#: Function of settings that returns their loss; None if there is none.
Objective = Callable[[Settings], float | None]

#: tpe draws at least and at most so many settings at random before it learns from outcomes; the
#: latter is hyperopt's own default.
_STARTUP = (5, 20)


def startup(evaluations: int) -> int:
    """Return how many settings tpe draws at random: half, within bounds.

    With as many as hyperopt draws, a search of 20 evaluations would be a random search.
    """
    least, most = _STARTUP
    return min(max(evaluations // 2, least), most)


def known_in_advance(space: Space, request: SearchRequest) -> list[Settings]:
    """The settings that are proposed whatever the outcome of others.

    Of a space that holds no more settings than evaluations are asked for, these are all.
    """
    if is_small(space, request):
        return [dict(point) for point in grid(space, request.max_evaluations)]
    match request.search_algorithm:
        case "grid":
            return [dict(point) for point in grid(space, request.max_evaluations)]
        case "anneal":
            return []
        case "tpe":
            most = min(request.max_evaluations, startup(request.max_evaluations))
        case "random":
            most = request.max_evaluations
    found: list[Settings] = []

    def note(settings: Settings) -> float:
        found.append(settings)
        return 0.0

    propose(space, request, note, most, lambda: False)
    return found


def is_small(space: Space, request: SearchRequest) -> bool:
    """Return whether a search can evaluate all points of a space; fixed settings make one."""
    return points(space) <= request.max_evaluations


def propose(
    space: Space,
    request: SearchRequest,
    objective: Objective,
    evaluations: int,
    is_over: Callable[[], bool],
) -> None:
    """Let hyperopt propose settings one after another, each by the outcomes of those before it.

    Parameters
    ----------
    is_over
        Function that is called after each evaluation; True ends the search.
    """
    import hyperopt

    suggest = {
        "tpe": functools.partial(
            hyperopt.tpe.suggest, n_startup_jobs=startup(request.max_evaluations)
        ),
        "random": hyperopt.rand.suggest,
        "anneal": hyperopt.anneal.suggest,
    }[request.search_algorithm]

    def evaluate(point: Mapping[str, Any]) -> dict[str, Any]:
        loss = objective(plain(space, point))
        return {"status": "fail"} if loss is None else {"status": "ok", "loss": loss}

    # With every trial failed hyperopt raises; the search itself says why they did.
    with contextlib.suppress(hyperopt.exceptions.AllTrialsFailed):
        hyperopt.fmin(
            evaluate,
            to_hyperopt(space),
            algo=suggest,
            max_evals=evaluations,
            rstate=np.random.default_rng(request.random_state),
            trials=hyperopt.Trials(),
            early_stop_fn=lambda _trials: (is_over(), []),
            show_progressbar=False,
            verbose=False,
            return_argmin=False,
        )

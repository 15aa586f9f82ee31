"""Proposals of a search: settings fixed in advance, and settings that outcomes suggest."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import hyperopt
import numpy as np
from hyperopt import hp
from sklearn.model_selection import ParameterGrid

from model_loop.models.search import SearchRequest
from model_loop.models.spaces import (
    Categorical,
    Dimension,
    Integer,
    Real,
    Setting,
    Settings,
    Space,
    most_values,
    plain,
    points,
)

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


def to_hyperopt(space: Space) -> dict[str, Any]:
    """Convert a space to hyperopt's notation."""
    return {name: _to_hyperopt(name, dimension) for name, dimension in space.items()}


def _to_hyperopt(name: str, dimension: Dimension) -> Any:  # noqa: ANN401 - hyperopt's own graph nodes
    match dimension:
        case Real(low, high) | Integer(low, high) if low == high:
            return hp.choice(name, [low])
        case Real(low, high, log=True):
            return hp.loguniform(name, np.log(low), np.log(high))
        case Real(low, high):
            return hp.uniform(name, low, high)
        case Integer(low, high, log=True):
            # Rounded to whole numbers: each has its share of the logarithmic scale.
            return hp.qloguniform(name, np.log(low - 0.5), np.log(high + 0.5), 1)
        case Integer(low, high):
            # Each bound comes half as often as what lies between: that is hyperopt's own way.
            return hp.uniformint(name, low, high)
        case Categorical(values):
            return hp.choice(name, list(values))


def grid(space: Space, most: int) -> list[dict[str, Setting]]:
    """Return the finest grid over a space with no more points than *most*.

    Every dimension begins with one value (the middle of a range) and gets one more in turn, as
    long as there are not too many points. The values of a range lie evenly, its bounds among them
    as soon as there are two.
    """
    sizes = dict.fromkeys(space, 1)
    growing = True
    while growing:
        growing = False
        for name, dimension in space.items():
            larger = {**sizes, name: sizes[name] + 1}
            if sizes[name] < most_values(dimension) and math.prod(larger.values()) <= most:
                sizes, growing = larger, True
    values = {name: _values(dimension, sizes[name]) for name, dimension in space.items()}
    return list(ParameterGrid(values))


def _values(dimension: Dimension, number: int) -> list[Setting]:
    match dimension:
        case Categorical(values):
            return list(values[:number])
        case Integer(low, high) if number == high - low + 1:
            return [*range(low, high + 1)]
        case Integer(low, high, log=True):
            exponents = _spread(math.log(low), math.log(high), number)
            return [*sorted({round(math.exp(value)) for value in exponents})]
        case Integer(low, high):
            return [round(value) for value in _spread(low, high, number)]
        case Real(low, high, log=True):
            exponents = _spread(math.log(low), math.log(high), number)
            return [min(max(math.exp(value), low), high) for value in exponents]
        case Real(low, high):
            return list(_spread(low, high, number))


def _spread(low: float, high: float, number: int) -> list[float]:
    if number == 1:
        return [(low + high) / 2]
    return [low + (high - low) * place / (number - 1) for place in range(number)]

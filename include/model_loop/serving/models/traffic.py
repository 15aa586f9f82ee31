"""Choice of the version that answers a request."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.reading import Row
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.models.manager import ActiveModels, Side
from model_loop.serving.models.predictor import ServedVersion
from model_loop.tracking.deployments import Part

_UNAVAILABLE = 503
_UNPROCESSABLE = 422
_WHOLE = 2**64


class Chosen(NamedTuple):
    """The version that answers a request, as what, and at which moment.

    Parameters
    ----------
    computes
        Whether values that it needs have to be computed from the others.
    """

    predictor: ServedVersion
    part: Part
    moment: Moment
    computes: bool = False


def choose(
    dataset: Dataset,
    live: ActiveModels,
    rows: Sequence[Row],
    key: str | None,
    moment: Moment | None = None,
) -> Chosen:
    """Return the version that answers.

    At the moment that the request names, or else at the earliest one whose champion has all the
    values that it needs; if there is none, at the earliest one for which what is missing can be
    computed. The challenger answers its share of the requests: always the same keys, and of
    requests without a key a random share. One that needs more than the champion gets no traffic:
    the same request would be answered or refused by chance.

    Raises
    ------
    RequestRefusedError
        If nothing answers (503), or a value is missing that every champion needs (422).
    """
    columns = dataset.columns
    answering = live.answering if moment is None else _only(live, moment)
    for asked_at, side in answering.items():
        champion = side.champion
        if champion is not None and not champion.lacking(columns, rows):
            return _share(side, champion, key, asked_at)
    for asked_at, side in answering.items():
        champion = side.champion
        if champion is not None and not champion.lacking(columns, rows, computed=True):
            return _share(side, champion, key, asked_at)._replace(computes=True)
    raise _refusal(dataset, live, answering, rows, moment)


def place_of(key: str | None, challenger: int) -> float:
    """Map a key to a number between 0 and 1; each challenger shuffles the keys anew."""
    if key is None:
        return random.random()  # noqa: S311 - no secret
    hashed = hashlib.blake2b(f"{challenger}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") / _WHOLE


def _only(live: ActiveModels, moment: Moment) -> Mapping[Moment, Side]:
    found = live.answering.get(moment)
    return {} if found is None else {moment: found}


def _share(side: Side, champion: ServedVersion, key: str | None, moment: Moment) -> Chosen:
    challenger = side.challenger
    if (
        challenger is not None
        and place_of(key, challenger.version) < side.standing.share
        and {*challenger.places} <= {*champion.places}
    ):
        return Chosen(challenger, "challenger", moment)
    return Chosen(champion, "champion", moment)


def _refusal(
    dataset: Dataset,
    live: ActiveModels,
    answering: Mapping[Moment, Side],
    rows: Sequence[Row],
    moment: Moment | None,
) -> RequestRefusedError:
    """Say why nothing answers: what is missing, and what there is."""
    asked = live.sides if moment is None else {moment: live.sides[moment]}
    there = ", ".join(
        f"version {side.champion.version} at the moment {name}"
        for name, side in live.answering.items()
        if side.champion is not None
    )
    if answering:
        lacking = [
            (name, side.champion.version, side.champion.lacking(dataset.columns, rows))
            for name, side in answering.items()
            if side.champion is not None
        ]
        needs = "; ".join(
            f"Version {version}, the champion at the moment {name}, needs {what}"
            for name, version, what in lacking
        )
        return RequestRefusedError(
            _UNPROCESSABLE,
            f"A {dataset.rows[1]}",
            f"lacks {lacking[-1][2]}",
            f"{needs}. There is no champion that can do without it.",
        )
    if any(side.champion is not None and not side.standing.enabled for side in asked.values()):
        return RequestRefusedError(
            _UNAVAILABLE, "The model", "is disabled", "Enable it with the DAG promotion."
        )
    waited = [side.standing.champion for side in asked.values() if side.standing.champion]
    if waited and not there:
        return RequestRefusedError(
            _UNAVAILABLE,
            f"Version {waited[0]}",
            "is the champion and is not ready: it is loading, or cannot be loaded",
            "Try again; /models says why it cannot be loaded.",
        )
    return RequestRefusedError(
        _UNAVAILABLE,
        "The registry",
        "has no champion yet" + (f" at the moment {moment}" if moment else ""),
        f"There is {there}." if there else "Train and promote a model.",
    )

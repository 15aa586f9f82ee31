"""Choice of the version that answers a request."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.reading import RefusedRowsError, Row
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.models.manager import ActiveModels, MomentVersions
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.entries import LOADING, REFUSED, UNLOADABLE

_UNAVAILABLE = 503
_UNPROCESSABLE = 422
_WHOLE = 2**64


Read = Callable[[Dataset], Sequence[Row]]
"""Returns the rows of a request as a dataset reads them."""


class ChosenVersion(NamedTuple):
    """The version that answers a request, as what, and at which moment.

    Parameters
    ----------
    part
        Part of the version, as the request log names it.
    dataset, rows
        The dataset by which the version reads, and the rows as it does.
    computes
        Whether values that it needs have to be computed from the others.
    unread_by
        A challenger that was to answer, and whose declaration refuses the request.
    champion
        The choice without the challenger, for when that fails; None where the champion answers.
    """

    predictor: ServedVersion
    part: str
    moment: Moment
    dataset: Dataset
    rows: Sequence[Row]
    computes: bool = False
    unread_by: ServedVersion | None = None
    champion: ChosenVersion | None = None


def choose_version(
    dataset: Dataset,
    live: ActiveModels,
    read: Read,
    key: str | None,
    moment: Moment | None = None,
) -> ChosenVersion:
    """Return the version that answers.

    At the moment that the request names, or else at the earliest one whose champion has all the
    values that it needs; if there is none, at the earliest one for which what is missing can be
    computed. Each version reads the request by the declaration that it was trained on; a champion
    whose declaration refuses it is passed over. The challenger answers its share of the requests:
    always the same keys, and of requests without a key a random share. One that needs more than the
    champion gets no traffic: the same request would be answered or refused by chance.

    Parameters
    ----------
    dataset
        The dataset as it is declared now, for versions without a declaration of their own.

    Raises
    ------
    RequestRefusedError
        If nothing answers (503), or a value is missing that every champion needs (422).
    RefusedRowsError
        If the declarations of all champions refuse the rows.
    """
    answering = live.answering if moment is None else _only(live, moment)
    asked: list[ChosenVersion] = []
    refused: RefusedRowsError | None = None
    for asked_at, side in answering.items():
        champion = side.champion
        assert champion is not None, "only moments with a champion answer"
        trained = champion.dataset(dataset)
        try:
            rows = asked[-1].rows if asked and asked[-1].dataset is trained else read(trained)
        except RefusedRowsError as error:
            refused = refused or error
            continue
        if not champion.lacking(trained.columns, rows):
            chosen = ChosenVersion(champion, "champion", asked_at, trained, rows)
            return _share(chosen, side, dataset, read, key)
        asked.append(ChosenVersion(champion, "champion", asked_at, trained, rows, computes=True))
    for chosen in asked:
        if not chosen.predictor.lacking(chosen.dataset.columns, chosen.rows, computed=True):
            return _share(chosen, live.sides[chosen.moment], dataset, read, key)
    if refused is not None:
        raise refused
    if not asked:
        # A request that every version refuses gets that error.
        read(dataset)
    raise _refusal(dataset, live, asked, moment)


def place_of(key: str | None, challenger: int) -> float:
    """Map a key to a number between 0 and 1; each challenger shuffles the keys anew."""
    if key is None:
        return random.random()  # noqa: S311 - no secret
    hashed = hashlib.blake2b(f"{challenger}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") / _WHOLE


def _only(live: ActiveModels, moment: Moment) -> Mapping[Moment, MomentVersions]:
    found = live.answering.get(moment)
    return {} if found is None else {moment: found}


def _share(
    chosen: ChosenVersion, side: MomentVersions, dataset: Dataset, read: Read, key: str | None
) -> ChosenVersion:
    """Return what the challenger answers in place of the champion, where that is its share.

    If it cannot, the champion answers, and its part gives the reason.
    """
    assigned, challenger, champion = side.standing.challenger, side.challenger, chosen.predictor
    if assigned is None or place_of(key, assigned) >= side.standing.share:
        return chosen
    if challenger is None:
        return chosen._replace(part=UNLOADABLE if side.unloadable else LOADING)
    trained = challenger.dataset(dataset)
    if trained is chosen.dataset:
        if {*challenger.places} <= {*champion.places}:
            return chosen._replace(predictor=challenger, part="challenger", champion=chosen)
        return chosen._replace(part=REFUSED)
    try:
        rows = read(trained)
        lacking = challenger.lacking(trained.columns, rows)
    except RefusedRowsError as error:
        lacking = str(error)
    if lacking:
        return chosen._replace(part=REFUSED, unread_by=challenger)
    return ChosenVersion(challenger, "challenger", chosen.moment, trained, rows, champion=chosen)


def _refusal(
    dataset: Dataset,
    live: ActiveModels,
    asked: Sequence[ChosenVersion],
    moment: Moment | None,
) -> RequestRefusedError:
    """Say why nothing answers: what is missing, and what there is."""
    sides = live.sides if moment is None else {moment: live.sides[moment]}
    there = ", ".join(
        f"version {side.champion.version} at the moment {name}"
        for name, side in live.answering.items()
        if side.champion is not None
    )
    if asked:
        lacking = [
            (
                each.moment,
                each.predictor.version,
                each.predictor.lacking(each.dataset.columns, each.rows),
            )
            for each in asked
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
    if any(side.champion is not None and not side.standing.enabled for side in sides.values()):
        return RequestRefusedError(
            _UNAVAILABLE, "The model", "is disabled", "Enable it with the DAG promotion."
        )
    waited = [side.standing.champion for side in sides.values() if side.standing.champion]
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

"""The oracle of moves: what is right, as plain values."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from model_loop.datasets.dataset import Moment
from model_loop.tracking.deployments import PARTS, Deployment

#: What one move owns: the parts of one moment, or whether anything answers at it.
Cell = tuple[Literal["parts", "switch"], Moment]


class Seen(NamedTuple):
    """What everybody sees of the parts of a moment."""

    champion: int | None
    challenger: int | None
    shadow: int | None
    share: float
    retired: frozenset[int]


class Side:
    """The parts of one moment.

    `crowned` holds when each version became champion; `barred` those that were gone back from.
    """

    def __init__(self) -> None:
        self.champion: int | None = None
        self.challenger: int | None = None
        self.shadow: int | None = None
        self.share = 0.0
        self.retired: set[int] = set()
        self.crowned: dict[int, int] = {}
        self.barred: set[int] = set()

    @property
    def seen(self) -> Seen:
        """What everybody sees."""
        parts = self.champion, self.challenger, self.shadow, self.share
        return Seen(*parts, frozenset(self.retired))

    def copy(self) -> Side:
        """The same, to change it."""
        return copy.deepcopy(self)

    def crown(self, version: int, at: int) -> None:
        """A promotion makes a version the newest champion, whatever was before."""
        self.crowned[version] = at
        self.barred.discard(version)
        self._take(version)

    def go_back(self, version: int, at: int) -> None:
        """Nobody comes back to what was gone back from, or passed over."""
        self.leave()
        if version not in self.crowned or version in self.barred:
            self.crown(version, at)
            return
        self.barred |= {one for one, time in self.crowned.items() if time > self.crowned[version]}
        self._take(version)

    def leave(self) -> None:
        """The champion is gone back from."""
        if self.champion is not None:
            self.barred.add(self.champion)

    def former(self) -> int | None:
        """The champion to go back to."""
        left = self.crowned.keys() - self.barred - self.retired - {self.champion}
        return max(left, key=self.crowned.__getitem__, default=None)

    def drop(self, version: int) -> None:
        """A version has no part but that of champion any longer."""
        if self.challenger == version:
            self.challenger, self.share = None, 0.0
        if self.shadow == version:
            self.shadow = None

    def _take(self, version: int) -> None:
        self.champion = version
        self.drop(version)


State = Side | bool


def seen(state: State) -> Seen | bool:
    """What everybody sees of a cell."""
    return state.seen if isinstance(state, Side) else state


@dataclass
class Move:
    """A move whose run was begun.

    `cells` holds what it owns, before and after; `fate` whether it was ended, is left where a
    process died, or was given up with nothing moved.
    """

    number: int
    kind: str
    version: int | None
    moment: Moment | None
    params: dict[str, Any]
    cells: dict[Cell, tuple[State, State]]
    fate: Literal["left", "ended", "dropped"] = "left"

    @property
    def is_seen(self) -> bool:
        """Whether it changes what anybody sees."""
        return any(seen(before) != seen(after) for before, after in self.cells.values())

    def overlaps(self, cells: Collection[Cell]) -> bool:
        """Whether it owns one of these."""
        return not self.cells.keys().isdisjoint(cells)

    def has_begun(self, now: dict[Cell, Seen | bool]) -> bool:
        """Whether anybody sees something of it."""
        return any(now[cell] != seen(before) for cell, (before, _) in self.cells.items())

    def allows(self, cell: Cell, found: dict[Cell, Seen | bool]) -> bool:
        """Whether a cell may look like this while it is left in the middle."""
        now, before, after = found[cell], *(seen(state) for state in self.cells[cell])
        if not isinstance(now, Seen) or not isinstance(before, Seen) or not isinstance(after, Seen):
            return now in {before, after}
        told = all(getattr(now, part) in _two(before, after, part) for part in PARTS)
        meant = [one.share for one in (before, after) if one.challenger == now.challenger]
        # At no time does a version answer a share that was meant for another one.
        fits = now.share in {before.share, after.share} and now.share <= max(meant, default=-1.0)
        return told and fits and now.retired in {before.retired, after.retired}


def _two(before: Seen, after: Seen, part: str) -> set[int | None]:
    return {getattr(before, part), getattr(after, part)}


def standing_seen(standing: Deployment, retired: frozenset[int]) -> Seen:
    """What everybody sees of a standing that was read."""
    return Seen(standing.champion, standing.challenger, standing.shadow, standing.share, retired)

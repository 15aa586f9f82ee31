"""Moves that are tried until they live, and what has to be right after each try.

The moves go through the steps of the DAG and a real registry, which is read as a server reads it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant
from tests.tracking.deaths import Death, Killed
from tests.tracking.right import Cell, Move, Seen, Side, State, seen, standing_seen
from tests.variants import made_up

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.reading import Row
from model_loop.errors import InvalidInputError
from model_loop.models.gate import Check, GateVerdict
from model_loop.orchestration import names
from model_loop.orchestration.forms import promotion_form
from model_loop.orchestration.steps import promotion
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.models.manager import ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.registry import MlflowRegistry
from model_loop.serving.models.traffic import choose_version, place_of
from model_loop.tracking.deployments import (
    PARTS,
    RETIRED_TAG,
    Deployment,
    HistoryEntry,
    alias_of,
    registered_name,
)
from model_loop.tracking.history import History
from model_loop.tracking.runs import Tracker
from model_loop.tracking.versions import ModelVersions
from trip_duration.dataset import TRIPS
from trip_duration.services import MOMENTS

#: The versions of each service, and the recipe that each was trained with.
RECIPES = {1: "rich", 2: "booking", 3: "rich", 4: "pair_distance", 5: "booking"}
MOMENT_OF: dict[int, Moment] = {
    version: "booked" if recipe == "booking" else "ended" for version, recipe in RECIPES.items()
}
KEYS = tuple(f"rider {number}" for number in range(20))

#: What a move makes of its cells: the version that is meant and the states after it, or a refusal.
Plan = Callable[[dict[Cell, State]], tuple[int | None, dict[Cell, State]] | None]


def _read(_dataset: Dataset) -> list[Row]:
    """Return a row of nothing, as any dataset reads it."""
    return [Row([], ())]


class SeenByServer(MlflowRegistry):
    """The registry as a server reads it; its models predict nothing."""

    def load(self, version: int, _given_up: Any = None) -> ServedVersion:
        """A version that is ready at once."""
        return ServedVersion(version, (), (), lambda rows: rows[:, 0])


class Moving(RuleBasedStateMachine):
    """Does moves, and knows what is right."""

    tracker: Tracker
    death: Death
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.service = made_up(f"moved {next(self.numbers)}")
        self.name = registered_name(self.service)
        self.right: dict[Cell, State] = {("switch", moment): True for moment in MOMENTS}
        self.right |= {("parts", moment): Side() for moment in MOMENTS}
        self.moves: list[Move] = []
        self.clock = itertools.count()
        self.history = History(ModelVersions(self.tracker, self.service))
        self.old_entries = 0
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        registry = SeenByServer(self.tracker.tracking_uri, self.name, folder)
        self.server = ModelManager(registry, folder, 3_600)

    def teardown(self) -> None:
        """Leave no files."""
        self.folder.cleanup()

    @invariant()
    def stands(self) -> None:
        """Registry, history and server say what is right, also in the middle of a move."""
        now = self._now()
        for cell, state in self.right.items():
            owners = [move for move in self._left() if move.overlaps({cell})]
            if owners:
                assert all(move.allows(cell, now) for move in owners), (cell, now[cell])
            else:
                assert now[cell] == seen(state), cell
        for moment in MOMENTS:
            parts = now["parts", moment]
            assert isinstance(parts, Seen)
            assert not parts.retired & {parts.champion, parts.challenger, parts.shadow}
        self._check_history()
        self._check_server()

    def _check_history(self) -> None:
        """Each move that was ended is there once, with what it has changed, the latest first."""
        entries = self._history()
        ended = [move for move in reversed(self.moves) if move.fate == "ended"]
        assert len(entries) == len(ended) + self.old_entries
        for entry, move in zip(entries, ended, strict=False):
            assert (entry.kind, entry.version) == (move.kind, move.version)
            assert entry.moment == move.moment
            moment = move.moment or MOMENTS[0]
            cell: Cell = "parts", moment
            if cell in move.cells:
                found = (entry.before, entry.after)
                assert [_parts(seen(state)) for state in move.cells[cell]] == [
                    _parts(standing_seen(one, frozenset())) for one in found
                ]
            else:
                wanted = move.cells["switch", moment]
                assert (entry.before.enabled, entry.after.enabled) == wanted

    def _check_server(self) -> None:
        """The server lets those answer that the registry names, each its share."""
        for moment, side in self.server.now.sides.items():
            standing = side.standing
            if standing.champion is None or not standing.enabled:
                with pytest.raises(RequestRefusedError):
                    choose_version(TRIPS, self.server.now, _read, KEYS[0], moment)
                continue
            for key in KEYS:
                chosen = choose_version(
                    TRIPS, self.server.now, _read, key, moment
                ).predictor.version
                challenger = standing.challenger
                is_shared = challenger and place_of(key, challenger) < standing.share
                assert chosen == (challenger if is_shared else standing.champion)

    def _move_parts(
        self,
        kind: str,
        version: int | None,
        change: Callable[[Side], int | None],
        deaths: Any,
        moment: Moment | None = None,
        *,
        told: bool = True,
        **fields: Any,
    ) -> None:
        moment = moment or MOMENT_OF[version or 1]
        cell: Cell = "parts", moment

        def plan(states: dict[Cell, State]) -> tuple[int | None, dict[Cell, State]] | None:
            side = states[cell]
            assert isinstance(side, Side)
            after = side.copy()
            meant = change(after)
            return None if meant is None else (meant, {cell: after})

        named = moment if version is None and told else None
        params = self._form(kind, version=version, moment=named, **fields)
        self._move(params, moment, {cell}, plan, deaths)

    def _switch(self, kind: str, moment: Moment | None, deaths: Any) -> None:
        cells: set[Cell] = {("switch", one) for one in (MOMENTS if moment is None else (moment,))}
        after: dict[Cell, State] = dict.fromkeys(cells, kind == "enable")
        self._move(self._form(kind, moment=moment), moment, cells, lambda _: (None, after), deaths)

    def _move(
        self,
        params: dict[str, Any],
        moment: Moment | None,
        cells: Collection[Cell],
        plan: Plan,
        deaths: Any,
    ) -> None:
        """Let the steps of the DAG do it, as often as they are tried."""
        number = next(self.clock)
        move = None
        for index, writes in enumerate((*deaths[0], *([None] if deaths[1] else []))):
            if index:
                self.stands()
            if move is None:
                move = self._begin_move(number, params, moment, cells, plan, writes)
            else:
                self._try(move, writes)

    def _begin_move(
        self,
        number: int,
        params: dict[str, Any],
        moment: Moment | None,
        cells: Collection[Cell],
        plan: Plan,
        writes: int | None,
    ) -> Move | None:
        """Try a move that was not begun yet; return it if it was."""
        in_the_way = [one for one in self._left() if one.overlaps(cells)]
        now = self._now() if in_the_way else {}
        fates = {one.number: "ended" if one.has_begun(now) else "dropped" for one in in_the_way}
        states = dict(self.right)
        for one in in_the_way:
            if fates[one.number] == "ended":
                states |= {cell: after for cell, (_, after) in one.cells.items()}
        planned = plan(states)
        outcome = self._step(number, params, writes)
        self._settle(fates)
        if self.tracker.find_run(f"promotion/{self._run(number).run_id}/move") is None:
            assert isinstance(outcome, Killed | InvalidInputError)
            assert isinstance(outcome, Killed) or planned is None
            return None
        assert planned is not None
        version, after = planned
        told = {cell: (states[cell], after[cell]) for cell in cells}
        move = Move(number, params["action"], version, moment, params, told)
        # What lies in the way was settled before the run was begun.
        assert not any(one.overlaps(cells) for one in self._left())
        self.moves.append(move)
        if not isinstance(outcome, Killed):
            self._end(move, outcome)
        return move

    def _try(self, move: Move, writes: int | None) -> None:
        """Try a move again that was begun."""
        later = [one for one in self.moves if one.number > move.number and one.overlaps(move.cells)]
        outcome = self._step(move.number, move.params, writes)
        if isinstance(outcome, Killed):
            assert move.fate != "ended"
        elif move.fate != "ended" and later:
            assert isinstance(outcome, InvalidInputError)
            assert "was interrupted" in str(outcome)
        else:
            self._end(move, outcome)
        if move.fate == "dropped" and not later:
            move.fate = "left"

    def _settle(self, fates: dict[int, str]) -> None:
        """Take over what has become of the moves that were left in the middle."""
        for move in self._left():
            if move.number not in fates:
                continue
            run = self.tracker.find_run(f"promotion/{self._run(move.number).run_id}/move")
            assert run is not None
            status = run.info.status
            if status == "RUNNING":
                continue
            move.fate = "ended" if status == "FINISHED" else "dropped"
            assert move.fate == fates[move.number] or not move.is_seen
            if move.fate == "ended":
                self.right |= {cell: after for cell, (_, after) in move.cells.items()}

    def _end(self, move: Move, outcome: Any) -> None:
        assert not isinstance(outcome, Exception), outcome
        assert (outcome["kind"], outcome["who"]) == (move.kind, "Ada")
        if move.fate != "ended":
            move.fate = "ended"
            self.right |= {cell: after for cell, (_, after) in move.cells.items()}
        aliases = self.tracker.client.get_registered_model(self.name).aliases
        for part, moment in itertools.product(PARTS, MOMENTS):
            # Whatever older code has left, a move leaves each alias at a version of its moment.
            named = aliases.get(alias_of(part, moment, MOMENTS))
            assert named is None or MOMENT_OF[int(named)] == moment

    def _step(self, number: int, params: dict[str, Any], writes: int | None) -> Any:
        """Run the step of the DAG; return what it returns, or what ends it."""
        verdict = None
        if params["action"] == "promote" and params["gate"]:
            check = Check("RMSE", passed=True, found="5.0", wanted="below 5.1")
            verdict = GateVerdict(params["version"], None, (check,))
        else:
            assert promotion.first_step(params) == names.MOVE
        self.death.after = writes
        try:
            return promotion.move(params, self._run(number), verdict)
        except (Killed, InvalidInputError) as end:
            return end
        finally:
            self.death.after = None

    def _form(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Fill in the form."""
        params = {name: one.value for name, one in promotion_form(TRIPS).items()}
        fields["moment"] = fields.get("moment") or "any"
        return {**params, "action": kind, "service": self.service, **fields}

    def _run(self, number: int) -> Any:
        return SimpleNamespace(
            dag_id="promotion",
            run_id=f"{self.service}/{number}",
            triggering_user_name="Ada",
            run_type=SimpleNamespace(value="manual"),
        )

    def _left(self) -> list[Move]:
        return [move for move in self.moves if move.fate == "left"]

    def _side(self, moment: Moment) -> Side:
        side = self.right["parts", moment]
        assert isinstance(side, Side)
        return side

    def _leading(self) -> Moment | None:
        """The moment that has the only champion."""
        led = [moment for moment in MOMENTS if self._side(moment).champion is not None]
        return led[0] if len(led) == 1 else None

    def _history(self) -> list[HistoryEntry]:
        return self.history.entries()

    def _now(self) -> dict[Cell, Seen | bool]:
        """What a server sees, and which versions are retired."""
        self.server.refresh()
        assert not self.server.unreachable
        versions = self.tracker.client.search_model_versions(f"name = '{self.name}'")
        retired = {int(one.version) for one in versions if RETIRED_TAG in one.tags}
        found: dict[Cell, Seen | bool] = {}
        for moment, side in self.server.now.sides.items():
            standing = side.standing
            its = frozenset(version for version in retired if MOMENT_OF[version] == moment)
            found["parts", moment] = standing_seen(standing, its)
            found["switch", moment] = standing.enabled
        return found


def _parts(state: Seen | bool) -> Deployment:  # noqa: FBT001 - of one kind or the other
    assert isinstance(state, Seen)
    return Deployment(state.champion, state.challenger, state.shadow, state.share)

"""All moves and what answers as one state machine, through the steps of the DAG.

Against a real registry, as a server reads it, with processes that die between any two writes: the
step is then tried again, or never, or after other moves.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from mlflow import MlflowClient
from tests.servers import tracking_database
from tests.tracking.deaths import Death
from tests.tracking.moving import MOMENT_OF, RECIPES, Moving
from tests.tracking.old_moves import OldPromoter
from tests.tracking.right import Side

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError
from model_loop.orchestration.steps import promotion
from model_loop.settings import get_settings
from model_loop.tracking.runs import Tracker
from trip_duration.services import MOMENTS

VERSIONS = st.sampled_from(sorted(RECIPES))
MOMENT = st.sampled_from(MOMENTS)
#: Writes after which one try after the other is killed, and whether the last one may live.
DEATHS: st.SearchStrategy[tuple[list[int], bool]] = st.one_of(
    st.just(([], True)),
    st.tuples(st.lists(st.integers(0, 6), min_size=1, max_size=2), st.booleans()),
)
OLD_MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("promote"), VERSIONS),
        st.tuples(st.just("canary"), VERSIONS),
        st.just(("rollback",)),
        st.just(("disable",)),
    ),
    max_size=7,
)


class Moves(Moving):
    """Every action at any time, on registries new and old, with deaths in the middle."""

    @initialize(moves=OLD_MOVES)
    def begin(self, moves: list[tuple[Any, ...]]) -> None:
        """Register versions, as older code tagged them, and let older code move them."""
        client = self.tracker.client
        client.create_registered_model(self.name)
        for recipe in RECIPES.values():
            client.create_model_version(self.name, "runs:/none/model", tags={"recipe": recipe})
        old = OldPromoter(self.tracker, self.service, self.name)
        for kind, *version in moves:
            self._begin_with(old, kind, *version)
        self.old_entries = len(self._history())

    def _begin_with(self, old: OldPromoter, kind: str, version: int = 0) -> None:
        before = old.now.champion
        if kind == "disable":
            old.disable()
            self.right |= {("switch", moment): False for moment in MOMENTS}
        if kind == "canary" and version != before:
            old.canary(version)
        if kind == "promote" and version != before:
            old.promote(version)
            self._crown_alone(version, before, back=False)
        if kind == "rollback" and before is not None and (to := old.rollback()) is not None:
            self._crown_alone(to, before, back=True)
        for moment in MOMENTS:
            given, side = old.now.challenger, self._side(moment)
            ours = given is not None and MOMENT_OF[given] == moment
            side.challenger, side.share = (given, 0.1) if ours else (None, 0.0)

    def _crown_alone(self, version: int, before: int | None, *, back: bool) -> None:
        """Older code has one champion: that of the other moment steps down."""
        side, at = self._side(MOMENT_OF[version]), next(self.clock)
        if back and before is not None and MOMENT_OF[before] != MOMENT_OF[version]:
            self._side(MOMENT_OF[before]).leave()
        for other in map(self._side, MOMENTS):
            other.champion = other.champion if other is side else None
        (side.go_back if back else side.crown)(version, at)

    @rule(version=VERSIONS, gate=st.booleans(), deaths=DEATHS)
    def promote(self, version: int, gate: bool, deaths: Any = ([], True)) -> None:  # noqa: FBT001 - a drawn value
        """A version becomes champion of its moment, unless it is or was retired."""

        def plan(side: Side) -> int | None:
            if version in side.retired or version == side.champion:
                return None
            side.crown(version, next(self.clock))
            return version

        self._move_parts("promote", version, plan, deaths, gate=gate)

    @rule(moment=MOMENT)
    @precondition(lambda self: len(self.moves) < 4)
    def go_back_step_by_step(self, moment: Moment) -> None:
        """After several promotions, each rollback goes further back, until nothing is left."""
        for version in (version for version, its in MOMENT_OF.items() if its == moment):
            self.promote(version, gate=False)
        for _ in range(4):
            self.rollback(moment)

    @rule(version=VERSIONS, moment=MOMENT)
    @precondition(lambda self: not self._left())
    def promote_at(self, version: int, moment: Moment) -> None:
        """No version becomes champion of a moment that is not its own."""
        if MOMENT_OF[version] != moment:
            params = self._form("promote", version=version, moment=moment, gate=False)
            with pytest.raises(InvalidInputError):
                promotion.move(params, self._run(next(self.clock)))

    @rule(version=VERSIONS, share=st.sampled_from([0.1, 0.25, 1.0]), deaths=DEATHS)
    def canary(self, version: int, share: float, deaths: Any = ([], True)) -> None:
        """A version answers a share beside a champion."""

        def plan(side: Side) -> int | None:
            if version in side.retired or side.champion in {None, version}:
                return None
            side.drop(version)
            side.challenger, side.share = version, share
            return version

        self._move_parts("canary", version, plan, deaths, share=share)

    @rule(version=VERSIONS, deaths=DEATHS)
    def shadow(self, version: int, deaths: Any = ([], True)) -> None:
        """A version answers unseen beside a champion."""

        def plan(side: Side) -> int | None:
            if version in side.retired or side.champion in {None, version}:
                return None
            side.drop(version)
            side.shadow = version
            return version

        self._move_parts("shadow", version, plan, deaths)

    @rule(moment=MOMENT, deaths=DEATHS)
    def end_canary(self, moment: Moment, deaths: Any) -> None:
        """The champion answers everything again."""

        def plan(side: Side) -> int | None:
            ended, side.challenger, side.share = side.challenger, None, 0.0
            return ended

        self._move_parts("end_canary", None, plan, deaths, moment=moment)

    @rule(moment=MOMENT, deaths=DEATHS)
    def end_shadow(self, moment: Moment, deaths: Any) -> None:
        """Nothing answers unseen."""

        def plan(side: Side) -> int | None:
            ended, side.shadow = side.shadow, None
            return ended

        self._move_parts("end_shadow", None, plan, deaths, moment=moment)

    @rule(moment=MOMENT, deaths=DEATHS)
    def rollback(self, moment: Moment, deaths: Any = ([], True)) -> None:
        """One goes further back, or is told that there is nothing further back."""
        self._move_parts("rollback", None, self._go_back, deaths, moment=moment)

    @rule()
    @precondition(lambda self: not self._left() and self._leading() is not None)
    def rollback_by_default(self) -> None:
        """The form's defaults mean the one champion that there is."""
        moment = self._leading()
        self._move_parts("rollback", None, self._go_back, ([], True), moment, told=False)

    def _go_back(self, side: Side) -> int | None:
        to = side.former()
        if to is not None:
            side.go_back(to, next(self.clock))
        return to

    @rule(version=VERSIONS, deaths=DEATHS)
    def rollback_to(self, version: int, deaths: Any) -> None:
        """A version that is named becomes champion, also one that never was."""

        def plan(side: Side) -> int | None:
            if version in side.retired or version == side.champion:
                return None
            side.go_back(version, next(self.clock))
            return version

        self._move_parts("rollback", version, plan, deaths)

    @rule(version=VERSIONS, deaths=DEATHS)
    def retire(self, version: int, deaths: Any) -> None:
        """A version that is not champion never answers again."""

        def plan(side: Side) -> int | None:
            if version == side.champion:
                return None
            side.retired.add(version)
            side.drop(version)
            return version

        self._move_parts("retire", version, plan, deaths)

    @rule(moment=MOMENT, deaths=DEATHS)
    @precondition(lambda self: any(self._beside(moment) for moment in MOMENTS))
    def retire_what_answers(self, moment: Moment, deaths: Any) -> None:
        """A canary or shadow that is retired answers no longer."""
        if beside := self._beside(moment):
            self.retire(beside[0], deaths)

    def _beside(self, moment: Moment) -> list[int]:
        side = self._side(moment)
        return [one for one in (side.challenger, side.shadow) if one is not None]

    @rule(version=VERSIONS, other=VERSIONS, writes=st.integers(1, 4))
    def go_on_over_what_is_left(self, version: int, other: int, writes: int) -> None:
        """A promotion dies in the middle, and nobody tries it again before the next move."""
        self.canary(version, 0.25)
        self.promote(version, gate=False, deaths=([writes], False))
        self.stands()
        self.shadow(other)

    @rule(moment=st.one_of(st.none(), MOMENT), deaths=DEATHS)
    def disable(self, moment: Moment | None, deaths: Any = ([], True)) -> None:
        """Nothing answers: at a moment, or at all."""
        self._switch("disable", moment, deaths)

    @rule(moment=st.one_of(st.none(), MOMENT), deaths=DEATHS)
    def enable(self, moment: Moment | None, deaths: Any) -> None:
        """What was disabled answers again, and nothing else."""
        self._switch("enable", moment, deaths)

    @rule(data=st.data(), deaths=DEATHS)
    @precondition(lambda self: self.moves)
    def try_again(self, data: Any, deaths: Any) -> None:
        """Somebody clears the task of a run of long ago, whatever has become of it."""
        move = data.draw(st.sampled_from(self.moves))
        for writes in (*deaths[0], *([None] if deaths[1] else [])):
            self._try(move, writes)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """A tracker on a database of its own, without a server."""
    uri = tracking_database(tmp_path / "mlflow.db")
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", uri)
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", str(tmp_path))
    monkeypatch.setenv("MODEL_LOOP_ALERT_PROMOTION", "false")
    monkeypatch.setenv("MODEL_LOOP_ALERT_ROLLBACK", "false")
    get_settings.cache_clear()
    # Without one, MLflow writes into the folder that the tests run in.
    name = "trip-duration-promotion"
    MlflowClient(uri).create_experiment(name, artifact_location=tmp_path.as_uri())
    return Tracker(uri, name)


@pytest.fixture
def machine(store: Tracker, monkeypatch: pytest.MonkeyPatch) -> type[Moves]:
    """The machine on that store."""
    death = Death()
    death.watch(monkeypatch)
    return type("Machine", (Moves,), {"tracker": store, "death": death})


def test_any_order_of_moves_and_deaths(machine: type[Moves]) -> None:
    """Whatever is done in whatever order, and wherever processes die, what is right answers."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("TEST_MOVES", "10")),
            stateful_step_count=10,
            deadline=None,
            derandomize=True,
            # Looking for a shorter example would take five minutes.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_what_chance_seldom_meets(machine: type[Moves]) -> None:
    """A canary gives way to a larger one, and all moments are enabled, by dying processes."""
    state = machine()
    state.begin(moves=[])
    state.promote(1, gate=False)
    for writes in (1, 2, 3):
        state.canary(3, 0.1)
        state.canary(4, 1.0, ([writes], False))
        state.stands()
        for moment in MOMENTS:
            state.disable(moment)
        state.enable(None, ([writes], False))
        state.stands()
    state.disable(MOMENTS[0])
    state.stands()
    state.teardown()

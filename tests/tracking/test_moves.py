"""All moves as one state machine, through the steps of the DAG, against a real registry."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from mlflow import MlflowClient
from tests.servers import tracking_database
from tests.tracking.old_moves import OldPromoter

from model_loop.errors import InvalidInputError
from model_loop.orchestration import promotion
from model_loop.orchestration.forms import promotion_form
from model_loop.settings import get_settings
from model_loop.tracking.runs import Tracker
from model_loop.tracking.standing import PARTS, Standing, alias_of, registered_name
from model_loop.trips.services import MOMENTS, Moment

#: The versions of each service, and the recipe that each was trained with.
RECIPES = {1: "rich", 2: "booking", 3: "rich", 4: "pair_distance", 5: "booking", 6: "rich"}
MOMENT_OF: dict[int, Moment] = {
    version: "booked" if recipe == "booking" else "ended" for version, recipe in RECIPES.items()
}

VERSIONS = st.sampled_from(sorted(RECIPES))
MOMENT = st.sampled_from(MOMENTS)
OLD_MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("promote"), VERSIONS),
        st.tuples(st.just("canary"), VERSIONS),
        st.just(("rollback",)),
        st.just(("disable",)),
    ),
    max_size=7,
)


class Side:
    """What is right at one moment.

    `crowned` holds when each version became champion; `barred` those that were gone back from.
    """

    def __init__(self) -> None:
        self.champion: int | None = None
        self.challenger: int | None = None
        self.shadow: int | None = None
        self.share = 0.0
        self.off = False
        self.crowned: dict[int, int] = {}
        self.barred: set[int] = set()

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

    def former(self, retired: set[int]) -> int | None:
        """The champion to go back to."""
        left = self.crowned.keys() - self.barred - retired - {self.champion}
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


class Moves(RuleBasedStateMachine):
    """Every action at any time, on registries new and old."""

    tracker: Tracker
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.service = f"moved {next(self.numbers)}"
        self.name = registered_name(self.service)
        self.sides = {moment: Side() for moment in MOMENTS}
        self.retired: set[int] = set()
        self.off = False
        self.clock = itertools.count()

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

    def _begin_with(self, old: OldPromoter, kind: str, version: int = 0) -> None:
        before = old.now.champion
        if kind == "disable":
            old.disable()
            self.off = True
        if kind == "canary" and version != before:
            old.canary(version)
        if kind == "promote" and version != before:
            old.promote(version)
            self._crown_alone(version, before, back=False)
        if kind == "rollback" and before is not None and (to := old.rollback()) is not None:
            self._crown_alone(to, before, back=True)
        for moment, side in self.sides.items():
            given = old.now.challenger
            ours = given is not None and MOMENT_OF[given] == moment
            side.challenger, side.share = (given, 0.1) if ours else (None, 0.0)

    def _crown_alone(self, version: int, before: int | None, *, back: bool) -> None:
        """Older code has one champion: that of the other moment steps down."""
        side, at = self.sides[MOMENT_OF[version]], next(self.clock)
        if back and before is not None and MOMENT_OF[before] != MOMENT_OF[version]:
            self.sides[MOMENT_OF[before]].leave()
        for other in self.sides.values():
            other.champion = other.champion if other is side else None
        (side.go_back if back else side.crown)(version, at)

    @rule(version=VERSIONS)
    def promote(self, version: int) -> None:
        """A version becomes champion of its moment, unless it is or was retired."""
        side = self.sides[MOMENT_OF[version]]
        bad = version in self.retired or version == side.champion
        self._do("promote", version=version, gate=False, refused=bad)
        if not bad:
            side.crown(version, next(self.clock))

    @rule(moment=MOMENT)
    def go_back_step_by_step(self, moment: Moment) -> None:
        """After several promotions, each rollback goes further back, until nothing is left."""
        for version in (version for version, its in MOMENT_OF.items() if its == moment):
            self.promote(version)
        for _ in RECIPES:
            self.rollback(moment)

    @rule(version=VERSIONS, moment=MOMENT)
    def promote_at(self, version: int, moment: Moment) -> None:
        """No version becomes champion of a moment that is not its own."""
        if MOMENT_OF[version] != moment:
            self._do("promote", version=version, moment=moment, gate=False, refused=True)

    @rule(version=VERSIONS, share=st.sampled_from([0.1, 0.25, 1.0]))
    def canary(self, version: int, share: float) -> None:
        """A version answers a share beside a champion."""
        side = self.sides[MOMENT_OF[version]]
        bad = version in self.retired or side.champion in {None, version}
        self._do("canary", version=version, share=share, refused=bad)
        if not bad:
            side.drop(version)
            side.challenger, side.share = version, share

    @rule(version=VERSIONS)
    def shadow(self, version: int) -> None:
        """A version answers unseen beside a champion."""
        side = self.sides[MOMENT_OF[version]]
        bad = version in self.retired or side.champion in {None, version}
        self._do("shadow", version=version, refused=bad)
        if not bad:
            side.drop(version)
            side.shadow = version

    @rule(moment=MOMENT)
    def end_canary(self, moment: Moment) -> None:
        """The champion answers everything again."""
        side = self.sides[moment]
        self._do("end_canary", moment=moment, refused=side.challenger is None)
        side.challenger, side.share = None, 0.0

    @rule(moment=MOMENT)
    def end_shadow(self, moment: Moment) -> None:
        """Nothing answers unseen."""
        side = self.sides[moment]
        self._do("end_shadow", moment=moment, refused=side.shadow is None)
        side.shadow = None

    @rule(moment=MOMENT)
    def rollback(self, moment: Moment) -> None:
        """One goes further back, or is told that there is nothing further back."""
        side = self.sides[moment]
        to = side.former(self.retired)
        self._do("rollback", moment=moment, refused=to is None)
        if to is not None:
            side.go_back(to, next(self.clock))

    @rule()
    @precondition(lambda self: sum(side.champion is not None for side in self.sides.values()) == 1)
    def rollback_by_default(self) -> None:
        """The form's defaults mean the one champion that there is."""
        (side,) = (one for one in self.sides.values() if one.champion is not None)
        to = side.former(self.retired)
        self._do("rollback", refused=to is None)
        if to is not None:
            side.go_back(to, next(self.clock))

    @rule(version=VERSIONS)
    def rollback_to(self, version: int) -> None:
        """A version that is named becomes champion, also one that never was."""
        side = self.sides[MOMENT_OF[version]]
        bad = version in self.retired or version == side.champion
        self._do("rollback", version=version, refused=bad)
        if not bad:
            side.go_back(version, next(self.clock))

    @rule(moment=st.one_of(st.none(), MOMENT))
    def disable(self, moment: Moment | None) -> None:
        """Nothing answers: at a moment, or at all."""
        self._do("disable", moment=moment)
        if moment is None:
            self.off = True
        else:
            self.sides[moment].off = True

    @rule(moment=st.one_of(st.none(), MOMENT))
    def enable(self, moment: Moment | None) -> None:
        """What was disabled answers again, and nothing else."""
        self._do("enable", moment=moment)
        for one, side in self.sides.items():
            side.off = one != moment and moment is not None and (side.off or self.off)
        self.off = False

    @rule(version=VERSIONS)
    def retire(self, version: int) -> None:
        """A version that is not champion never answers again."""
        side = self.sides[MOMENT_OF[version]]
        bad = version == side.champion
        self._do("retire", version=version, refused=bad)
        if not bad:
            self.retired.add(version)
            side.drop(version)

    @invariant()
    def stands(self) -> None:
        """The registry says what is right; what is retired answers nothing."""
        if not self.service:
            return
        found = promotion.versions_of(self.service).standings()
        expected = {
            moment: Standing(
                side.champion,
                side.challenger,
                side.shadow,
                side.share,
                enabled=not self.off and not side.off,
            )
            for moment, side in self.sides.items()
        }
        assert found == expected
        answering = {version for standing in found.values() for version in standing.versions}
        assert not answering & self.retired

    def _do(self, kind: str, *, refused: bool = False, **fields: Any) -> None:
        """Fill in the form, and let the steps of the DAG do it."""
        params = {name: one.value for name, one in promotion_form().items()}
        fields["moment"] = fields.get("moment") or "any"
        params |= {"action": kind, "service": self.service, **fields}
        run: Any = SimpleNamespace(
            dag_id="promotion",
            run_id=f"{self.service}/{next(self.clock)}",
            triggering_user_name="Ada",
            run_type=SimpleNamespace(value="manual"),
        )
        assert promotion.first_step(params) == promotion.MOVE
        if refused:
            with pytest.raises(InvalidInputError):
                promotion.move(params, run)
            return
        done = promotion.move(params, run)
        assert (done["kind"], done["who"]) == (kind, "Ada")
        aliases = self.tracker.client.get_registered_model(self.name).aliases
        for part in PARTS:
            # Whatever older code has left, a move leaves each alias at a version of its moment.
            for moment in MOMENTS:
                named = aliases.get(alias_of(part, moment))
                assert named is None or MOMENT_OF[int(named)] == moment


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
    name = f"{get_settings().experiment}-promotion"
    MlflowClient(uri).create_experiment(name, artifact_location=tmp_path.as_uri())
    return Tracker(uri, name)


def test_any_order_of_moves(store: Tracker) -> None:
    """Whatever is done in whatever order, the registry holds what is right."""
    machine = type("Machine", (Moves,), {"tracker": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("TEST_MOVES", "10")),
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )

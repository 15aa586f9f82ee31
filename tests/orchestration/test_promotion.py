"""The form and the steps of the DAG that moves versions."""

from __future__ import annotations

import copy
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from mlflow import MlflowClient
from tests.servers import tracking_database

from model_loop.errors import InvalidInputError
from model_loop.models.gate import Check, GateVerdict
from model_loop.orchestration import names
from model_loop.orchestration.alerts.notifications import ApprovalWaits, dispatcher
from model_loop.orchestration.forms import override_form, promotion_form
from model_loop.orchestration.registry import promoter_of
from model_loop.orchestration.steps import promotion
from model_loop.settings import get_settings
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from trip_duration.dataset import TRIPS

DAGS = Path(__file__).parents[2] / "dags"
NUMBERS = itertools.count()
VERDICT = GateVerdict(2, 1, (Check("RMSE", passed=True, found="4.0", wanted="below 4.1"),))
REFUSED = GateVerdict(2, 1, (Check("RMSE", passed=False, found="4.2", wanted="below 4.1"),))
APPROVED = {"chosen_options": ["Approve"], "responded_by_user": {"id": "7", "name": "Grace"}}
REJECTED = {**APPROVED, "chosen_options": ["Reject"]}


@pytest.fixture(scope="module")
def dag() -> DAG:
    """The DAG as Airflow reads it."""
    sys.path.insert(0, str(DAGS))
    return DagBag(dag_folder=str(DAGS / "trips.py"), bundle_path=DAGS, bundle_name="one").dags[
        "promotion"
    ]


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """A registry with three versions that are asked when a ride is booked; the first is in use."""
    uri = tracking_database(tmp_path / "mlflow.db")
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", uri)
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", str(tmp_path))
    get_settings.cache_clear()
    name = "trip-duration-promotion"
    # Without one, MLflow writes into the folder that the tests run in.
    MlflowClient(uri).create_experiment(name, artifact_location=tmp_path.as_uri())
    tracker = Tracker(uri, name)
    tracker.client.create_registered_model("trip_duration_green")
    for _ in range(3):
        tracker.client.create_model_version(
            "trip_duration_green", "runs:/none/model", tags={"recipe": "booking"}
        )
    do("promote", version=1, gate=False)
    return tracker


def form(action: str, **fields: Any) -> dict[str, Any]:
    """The form with its defaults, but for some fields."""
    params = {name: one.value for name, one in promotion_form(TRIPS).items()}
    return params | {"action": action, "service": "green", **fields}


def run(number: str = "run") -> Any:
    """A run that Ada has triggered."""
    kind = SimpleNamespace(value="manual")
    return SimpleNamespace(
        dag_id="promotion", run_id=number, triggering_user_name="Ada", run_type=kind
    )


def do(action: str, **fields: Any) -> dict[str, Any]:
    """Do what a form asks for, as the DAG does it."""
    params = form(action, **fields)
    assert promotion.first_step(params) == names.MOVE
    return promotion.move(params, run(f"{action}-{next(NUMBERS)}"))


@pytest.mark.parametrize("conf", [{}, {"action": "rollback"}])
def test_the_form_can_be_sent_with_its_defaults(dag: DAG, conf: dict[str, Any]) -> None:
    """In the UI a field without a value is null, which every field that starts empty takes."""
    assert "who" not in dag.params
    params = copy.deepcopy(dag.params)
    params.update(conf)
    params.validate()
    for name in dag.params:
        one = dag.params.get_param(name)
        if one.value in {None, ""}:
            assert "null" in one.schema["type"], name


def test_a_run_that_waits_holds_up_no_other(dag: DAG) -> None:
    """Approvals may wait for hours beside each other; moves alone take turns."""
    assert dag.max_active_runs > 50
    alone = {task.task_id for task in dag.tasks if task.max_active_tis_per_dag == 1}
    assert alone == {"judge", "move"}
    emergency = dag.get_task("move").upstream_task_ids
    assert "first_step" in emergency


@pytest.mark.usefixtures("versions")
def test_the_history_names_who_has_triggered_and_who_has_approved() -> None:
    """Nobody writes a name into a form: it is that of whoever is logged in."""
    params = form("promote", who="Mallory", why="better")
    assert promotion.after_the_answer(APPROVED) == names.MOVE
    done = promotion.move(params, run(), VERDICT, APPROVED)
    assert (done["who"], done["approver"], done["why"]) == ("Ada", "Grace", "better")
    (latest, *_) = promoter_of(form("rollback")).history()
    assert (latest.who, latest.approver) == ("Ada", "Grace")


@pytest.mark.usefixtures("versions")
def test_the_history_holds_a_rejection() -> None:
    """Nothing moves, the history says who did not want it, and a rollback does not mind."""
    do("promote", version=3, gate=False)
    assert promotion.after_the_answer(REJECTED) == names.REJECT
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    promotion.reject(VERDICT, REJECTED, form("promote"), run(), ti)
    promoter = promoter_of(form("rollback"))
    (latest, *_) = promoter.history()
    assert (latest.kind, latest.version, latest.approver) == ("reject", 2, "Grace")
    assert latest.before == latest.after == promoter.standing()
    assert "rejected by Grace" in pushed["said"]
    assert do("rollback")["version"] == 1


def test_an_approval_that_nobody_gave_says_so() -> None:
    """After the time is over the setting answers, not a person."""
    answer = {"chosen_options": ["Reject"], "responded_by_user": None}
    assert promotion.approver_of(answer).startswith("nobody in time")


@pytest.mark.usefixtures("versions")
def test_an_approval_that_waits_is_mailed() -> None:
    """At once, since the run ends only after it was given."""
    context: Any = {
        "dag_run": run(),
        "params": {"service": "green"},
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: VERDICT if task_ids == "judge" else None),
    }
    ApprovalWaits().notify(context)
    waiting = (one.alert for one in dispatcher().outbox.waiting())
    (alert,) = (one for one in waiting if one.kind == "approval")
    assert alert.subject == "version 2 of green waits for an approval"
    assert "within" in alert.summary


@pytest.mark.usefixtures("versions")
def test_each_rollback_goes_further_back() -> None:
    """1, 2 and 3 were promoted: back to 2, back to 1, and then a refusal that says what to do."""
    do("promote", version=2, gate=False)
    do("promote", version=3, gate=False)
    assert [do("rollback")["version"] for _ in range(2)] == [2, 1]
    with pytest.raises(InvalidInputError, match=r"neither rolled back from nor retired.*Name the"):
        do("rollback")


@pytest.mark.usefixtures("versions")
def test_a_canary_and_a_shadow_can_be_ended() -> None:
    """The champion answers everything again, and the form needs nothing but the action."""
    do("canary", version=2, share=0.3)
    do("shadow", version=3)
    assert do("end_canary")["version"] == 2
    assert do("end_shadow")["version"] == 3
    standing = promoter_of(form("rollback")).standing()
    assert (standing.champion, standing.challenger, standing.shadow) == (1, None, None)
    with pytest.raises(InvalidInputError, match=r"has no canary\. There is nothing to end"):
        do("end_canary")


@pytest.mark.usefixtures("versions")
def test_a_refusal_is_left_for_the_page_that_asked() -> None:
    """The dashboard shows it; the log of a task is far away."""
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    with pytest.raises(InvalidInputError):
        promotion.move(form("canary", version=9), run(), ti=ti)
    assert "Version 9 of trip_duration_green is not in the registry" in pushed["said"]
    refused = GateVerdict(2, 1, (Check("RMSE", passed=False, found="4.2", wanted="below 4.1"),))
    assert promotion.after_the_gate(refused, form("promote"), run(), ti) is None
    assert pushed["said"] == "Version 2 did not pass the gate. RMSE: 4.2 (wanted: below 4.1)."


@pytest.fixture
def approvals_wanted(versions: Tracker, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """The operator wants promotions to be approved, and names one user for emergencies."""
    monkeypatch.setenv("MODEL_LOOP_APPROVAL", "true")
    monkeypatch.setenv("MODEL_LOOP_OVERRIDE_USERS", "Grace, Ada")
    get_settings.cache_clear()
    return versions


@pytest.mark.usefixtures("approvals_wanted")
@pytest.mark.parametrize(
    "conf",
    [
        {"action": "promote", "version": 2, "gate": False, "approval": False},
        {"action": "canary", "version": 2, "share": 1.0},
        {"action": "canary", "version": 2, "share": 0.01},
        {"action": "rollback", "version": 2},
    ],
    ids=str,
)
def test_no_form_lowers_the_operators_setting(conf: dict[str, Any]) -> None:
    """No version answers that nobody has approved; the refusal names what can be done instead."""
    said: list[str] = []
    ti = SimpleNamespace(xcom_push=lambda key, value: said.append(value))  # noqa: ARG005
    with pytest.raises(InvalidInputError, match=r"requires an approval.*DAG promotion_override"):
        promotion.first_step(form(**conf), ti)
    assert "MODEL_LOOP_OVERRIDE_USERS" in said[0]


@pytest.mark.usefixtures("approvals_wanted")
def test_what_passes_the_gate_waits_whatever_the_form_says() -> None:
    """The form may ask for an approval, and not do without one."""
    params = form("promote", version=2, approval=False)
    assert promotion.first_step(params) == "judge"
    assert promotion.after_the_gate(VERDICT, params, run()) == names.ASK


@pytest.mark.parametrize(
    ("conf", "verdict", "answer", "missing"),
    [
        ({"action": "promote"}, None, None, "passed the gate"),
        ({"action": "promote"}, REFUSED, APPROVED, "passed the gate"),
        ({"action": "promote"}, VERDICT, None, "passed an approval"),
        ({"action": "promote"}, VERDICT, REJECTED, "passed an approval"),
        (
            {"action": "promote", "version": 3, "gate": False},
            None,
            APPROVED,
            "requires an approval",
        ),
        ({"action": "canary", "version": 3, "share": 0.5}, None, None, "requires an approval"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("approvals_wanted")
def test_a_move_asks_for_the_steps_before_it(
    conf: dict[str, Any], verdict: GateVerdict | None, answer: dict[str, Any] | None, missing: str
) -> None:
    """Those who may change a run can mark its tasks as done: that is neither gate nor approval."""
    before = promoter_of(form("rollback")).standing()
    with pytest.raises(InvalidInputError, match=missing):
        promotion.move(form(**conf), run(f"marked-{next(NUMBERS)}"), verdict, answer)
    assert promoter_of(form("rollback")).standing() == before


@pytest.mark.usefixtures("approvals_wanted")
def test_an_emergency_needs_no_approval() -> None:
    """Going back to what was champion, ending, disabling: at once, also where approvals are on."""
    do_override("promote", version=2)
    for action, fields in (
        ("rollback", {}),
        ("rollback", {"version": 2}),
        ("shadow", {"version": 3}),
        ("end_shadow", {}),
        ("disable", {}),
        ("enable", {}),
        ("retire", {"version": 3}),
    ):
        do(action, **fields)


def do_override(action: str, user: str | None = "Ada", **fields: Any) -> dict[str, Any]:
    """Do what the form of `promotion_override` asks for."""
    params = {name: one.value for name, one in override_form(TRIPS).items()}
    params |= {"action": action, "service": "green", **fields}
    kind = SimpleNamespace(value="manual")
    found = SimpleNamespace(
        dag_id="promotion_override",
        run_id=f"run-{next(NUMBERS)}",
        triggering_user_name=user,
        run_type=kind,
    )
    return promotion.override(params, found)


def test_an_override_is_in_the_history(approvals_wanted: Tracker) -> None:
    """It moves at once; the history names the user and says how."""
    entry = do_override("promote", version=2, why="the street is closed")
    assert (entry["who"], entry["why"]) == ("Ada", "the street is closed")
    assert "past gate and approval" in entry["remarks"]
    (latest, *_) = Promoter(approvals_wanted, "green", "booked").history()
    assert latest.after.champion == 2
    assert "by promotion_override" in latest.remarks


@pytest.mark.usefixtures("approvals_wanted")
@pytest.mark.parametrize("user", ["Eve", "ada", "Ada ", "Grace, Ada", "", None])
def test_only_listed_users_override(user: str | None) -> None:
    """Whole names, exactly; a run that no user has triggered is nobody's."""
    with pytest.raises(InvalidInputError, match="MODEL_LOOP_OVERRIDE_USERS"):
        do_override("promote", user, version=2)


@pytest.mark.parametrize("user", ["Ada", "", None])
def test_nobody_overrides_where_nobody_is_listed(versions: Tracker, user: str | None) -> None:
    """The setting is empty at first."""
    with pytest.raises(InvalidInputError, match="MODEL_LOOP_OVERRIDE_USERS"):
        do_override("promote", user, version=2)
    assert Promoter(versions, "green", "booked").standing().champion == 1

"""The DAG that brings code in: nothing runs before a yes, and what comes in is what was shown."""

from __future__ import annotations

import copy
import datetime as dt
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskAwaitingInput
from tests.coded.conftest import MANIFEST, NAME, Loop, lay
from tests.runner.conftest import add_wheel

from model_loop.errors import InvalidInputError
from model_loop.orchestration import factory
from model_loop.orchestration.alerts.announcements import code_waits
from model_loop.orchestration.graphs import code as graph
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.steps import code
from model_loop.settings import get_settings
from model_loop.tracking.promotion import Promoter
from trip_duration.dataset import TRIPS

APPROVED = {"chosen_options": ["Approve"], "responded_by_user": {"id": "7", "name": "Grace"}}
REJECTED = {**APPROVED, "chosen_options": ["Reject"]}


def form(**fields: Any) -> dict[str, Any]:
    """The form of a run."""
    return {"code": None, "service": NAME, "values": None, "why": None, **fields}


def given(answer: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """An answer to an approval that has shown a folder."""
    return {**answer, "digest": shown["digest"], "locked": shown["locked"]}


def run(number: str) -> Any:
    """A run that Ada has triggered."""
    kind = SimpleNamespace(value="manual")
    return SimpleNamespace(
        dag_id="bring_in_code", run_id=number, triggering_user_name="Ada", run_type=kind
    )


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> DAG:
    """The DAG, where the operator lets engineers bring code in."""
    monkeypatch.setenv("MODEL_LOOP_CODE", "true")
    monkeypatch.setenv("MODEL_LOOP_CODE_ROLES", "Engineers")
    get_settings.cache_clear()
    try:
        dags: list[DAG] = []
        monkeypatch.setattr(DAG, "__exit__", _noting(dags, DAG.__exit__))
        graph.declare_code(TRIPS)
        (dag,) = dags
        return dag
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


def _noting(dags: list[DAG], leave: Any) -> Any:
    def left(self: DAG, *args: Any) -> Any:
        dags.append(self)
        return leave(self, *args)

    return left


def test_nothing_of_it_is_there_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the operator's setting, no DAG is declared."""
    monkeypatch.delenv("MODEL_LOOP_CODE", raising=False)
    get_settings.cache_clear()
    assert graph.declare_code in factory._DECLARED_ONCE
    monkeypatch.setattr(graph, "dag_of", None)
    graph.declare_code(TRIPS)


def test_every_step_that_builds_or_runs_comes_after_the_approval(declared: DAG) -> None:
    """Its roles are its own, and no answer is a no."""
    assert declared.dag_id == "bring_in_code"
    approval: Any = declared.get_task("approval")
    assert approval.defaults == ["Reject"]
    for task in ("build", "results", "refuse"):
        assert "approval" in declared.get_task(task).get_flat_relative_ids(upstream=True)
    assert declared.get_task("results").upstream_task_ids >= {"build"}
    assert declared.access_control is not None
    assert set(declared.access_control) == {"Engineers"}
    params = copy.deepcopy(declared.params)
    params.validate()
    with pytest.raises(Exception, match="code_values_"):
        params.update({"values": "smtp_password"})


@pytest.fixture
def code_of(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder that has come in, and a form that names it."""
    place = Path(loop.settings.storage_root) / "incoming" / "rules"
    if not place.exists():
        lay(place)
    monkeypatch.setenv("AIRFLOW_VAR_CODE_VALUES_RULES", "DAYS_AT_LEAST=2.0")
    return form(code="rules", values="code_values_rules", why="a rule book")


def promoter() -> Promoter:
    """The history that the steps write."""
    versions = versions_of(NAME)
    return Promoter(versions.tracker, NAME, "sent", versions)


def test_what_is_approved_comes_in_once(code_of: dict[str, Any]) -> None:
    """A task that is tried again finds the version; the history says who has asked and approved."""
    shown = code.inspect(code_of)
    digests = [one["sha256"] for one in shown["files"]]
    assert all(digest in shown["markdown"] for digest in digests)
    assert "DAYS_AT_LEAST" in shown["markdown"]
    assert "2.0" not in str(shown)
    alert = code_waits(shown, "rules", NAME, 24, "bring_in_code", "run")
    assert digests[0] in str(alert)
    assert code.after_the_answer(APPROVED) == "build"
    assert Path(code.build(given(APPROVED, shown), code_of)).is_dir()
    came = code.register(given(APPROVED, shown), code_of, run("first"))
    assert code.register(given(APPROVED, shown), code_of, run("first")) == came
    assert came["digest"] == shown["digest"]
    (entry, *_) = promoter().history()
    assert (entry.kind, entry.version, entry.who, entry.approver, entry.why) == (
        "admit_code",
        came["version"],
        "Ada",
        "Grace",
        "a rule book",
    )


def test_packages_of_the_environment_are_shown_and_are_what_is_built(
    loop: Loop, code_of: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A requirement names no version; the approval does, and its digest covers the wheel's."""
    add_wheel(tmp_path, tmp_path / "marker")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    place = Path(loop.settings.storage_root) / "incoming" / "fixed"
    lay(place, f'requirements = ["sample-rules"]\n{MANIFEST}')
    params = {**code_of, "code": "fixed"}
    shown = code.inspect(params)
    assert "`sample-rules==1.0`" in shown["markdown"]
    assert Path(code.build(given(APPROVED, shown), params)).is_dir()
    other = ["sample-rules==1.0 --hash=sha256:" + "0" * 64]
    for locked in ([], other):
        with pytest.raises(InvalidInputError, match="has changed since it was shown"):
            code.build(given(APPROVED, {**shown, "locked": locked}), params)
    shutil.rmtree(place)


def test_a_run_that_is_cleared_brings_in_what_is_approved_now(
    loop: Loop, code_of: dict[str, Any]
) -> None:
    """A folder that has changed since is another version, which the history names."""
    first = code.register(given(APPROVED, code.inspect(code_of)), code_of, run("cleared"))
    note = Path(loop.settings.storage_root) / "incoming" / "rules" / "note.txt"
    note.write_text("another digest")
    try:
        second = code.register(given(APPROVED, code.inspect(code_of)), code_of, run("cleared"))
    finally:
        note.unlink()
    assert second["version"] > first["version"]
    (entry, *_) = promoter().history()
    assert entry.version == second["version"]
    assert second["digest"] in entry.remarks


def test_an_approval_gives_the_digest_that_it_has_shown(
    declared: DAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder may be inspected anew while it waits."""
    approval: Any = declared.get_task("approval")
    approval.notifiers, asked = [], {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **detail: asked.update(detail))
    stored = {"inspect": {"markdown": "first", "digest": "d1", "locked": ["l1"]}}
    ti = SimpleNamespace(
        id="1",
        xcom_push=stored.__setitem__,
        xcom_pull=lambda task_ids, key=None: stored[key or task_ids],
    )
    context: Any = {"ti": ti, "task_instance": ti}
    with pytest.raises(TaskAwaitingInput):
        approval.execute(context)
    assert asked["body"] == "first"
    stored["inspect"] = {"markdown": "second", "digest": "d2", "locked": ["l2"]}
    event = {**APPROVED, "params_input": {}, "responded_at": dt.datetime.now(dt.UTC)}
    answered = approval.execute_complete(context, event)
    assert (answered["digest"], answered["locked"]) == ("d1", ["l1"])
    assert answered["chosen_options"] == ["Approve"]


def test_a_refusal_is_in_the_history(code_of: dict[str, Any]) -> None:
    """Nothing is registered."""
    shown = code.inspect(code_of)
    assert code.after_the_answer(REJECTED) == "refuse"
    code.refuse(given(REJECTED, shown), code_of, run("refused"))
    (entry, *_) = promoter().history()
    assert (entry.kind, entry.version, entry.approver) == ("refuse_code", None, "Grace")
    assert shown["digest"] in entry.remarks


def test_what_was_not_approved_does_not_come_in(loop: Loop, code_of: dict[str, Any]) -> None:
    """Neither by a task that was marked as done, nor by a file that was changed since."""
    shown = code.inspect(code_of)
    for answer in (None, given(REJECTED, shown)):
        with pytest.raises(InvalidInputError, match="was not approved"):
            code.register(answer, code_of, run("forced"))
        with pytest.raises(InvalidInputError, match="was not approved"):
            code.build(answer, code_of)
    script = Path(loop.settings.storage_root) / "incoming" / "rules" / "score.py"
    before = script.read_text()
    script.write_text(f"{before}\n# more")
    try:
        assert code.inspect(code_of)["digest"] != shown["digest"]
        for step in (code.build, code.register, code.refuse):
            rest = (run("changed"),) if step is not code.build else ()
            with pytest.raises(InvalidInputError, match="has changed since it was shown"):
                step(given(APPROVED, shown), code_of, *rest)
    finally:
        script.write_text(before)


def test_a_form_names_no_other_secret(loop: Loop, code_of: dict[str, Any]) -> None:
    """Only variables for code are accepted."""
    assert loop.settings.code
    with pytest.raises(InvalidInputError, match="does not begin with code_values_"):
        code.inspect({**code_of, "values": "smtp_password"})
    with pytest.raises(InvalidInputError, match="names no code"):
        code.inspect(form())
    with pytest.raises(InvalidInputError, match=r"There are: rules"):
        code.inspect(form(code="other"))

"""The steps of the promotion DAG but its gate: an emergency does without scikit-learn."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.models.gate_rules import GateRules
from model_loop.options import build
from model_loop.orchestration.alerts.announcements import gate_refused, moved
from model_loop.orchestration.alerts.notifications import announce
from model_loop.orchestration.names import APPROVED, ASK, JUDGE, MOVE, OVERRIDE, REJECT
from model_loop.orchestration.registry import moment_of_form, promoter_of
from model_loop.orchestration.steps.requests import who_asked
from model_loop.settings import get_settings, split_list
from model_loop.tracking.actions import SWITCHES, Action

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.models.gate import GateVerdict

logger = logging.getLogger(__name__)

#: Remark in the history on moves of the DAG `promotion_override`.
OVERRIDDEN = f"past gate and approval, by {OVERRIDE}"
#: Key under which a step tells in a sentence what has become of a promotion.
SAID = "said"


@contextlib.contextmanager
def saying(ti: Any) -> Iterator[None]:  # noqa: ANN401 - Airflow's
    """Leave the reason of a refusal where the page that has started the run finds it."""
    try:
        yield
    except ModelLoopError as error:
        say(ti, str(error))
        raise


def say(ti: Any, text: str) -> None:  # noqa: ANN401 - Airflow's
    """Leave a sentence for those who have started the run; outside of a run there is nobody."""
    if ti is not None:
        ti.xcom_push(key=SAID, value=text)


def first_step(params: Mapping[str, Any], ti: Any = None) -> str:  # noqa: ANN401 - Airflow's
    """Check the form; a promotion goes through the gate, everything else is done at once."""
    with saying(ti):
        build(GateRules, params)
        if params["model"]:
            _require_gate(params)
        if params["action"] == "promote" and params["gate"]:
            return JUDGE
        _action(params, "", None)
        if get_settings().approval:
            _require_approved(params)
    return MOVE


def _require_approved(params: Mapping[str, Any]) -> None:
    """Refuse a move that would let a version answer that nobody has approved.

    Going back to what was champion is none, nor is ending something: emergencies never wait.
    """
    action, version = params["action"], params["version"]
    if action == "rollback" and version:
        entries = promoter_of(params).history(most=None)
        if any(version in {entry.before.champion, entry.after.champion} for entry in entries):
            return
    elif action not in {"promote", "canary"}:
        return
    raise InvalidInputError(
        f"{action} of version {version} without an approval",
        "would let an unapproved version answer, and the setting MODEL_LOOP_APPROVAL requires an "
        "approval",
        "Promote it through the gate, or let one of the users of the setting "
        "MODEL_LOOP_OVERRIDE_USERS trigger the DAG promotion_override.",
    )


def override(
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    ti: Any = None,  # noqa: ANN401 - Airflow's
) -> dict[str, Any]:
    """Move past gate and approval, if the operator has listed the user; the history says so.

    A task knows the name of the user who has triggered its run, and no roles.

    Raises
    ------
    InvalidInputError
        If the user is not listed.
    """
    listed = split_list(get_settings().override_users)
    user = dag_run.triggering_user_name
    if user is None or user not in listed:
        with saying(ti):
            raise InvalidInputError(
                f"User {user or who_asked(dag_run)}",
                "may not move versions past gate and approval",
                "Use the DAG promotion, or let the operator add the user to "
                "MODEL_LOOP_OVERRIDE_USERS.",
            )
    with saying(ti):
        return _move(params, dag_run, remarks=(OVERRIDDEN,))


def _require_gate(params: Mapping[str, Any]) -> None:
    if params["action"] != "promote" or not params["gate"] or params["version"]:
        raise InvalidInputError(
            f"Model {params['model']}",
            "comes from elsewhere and has to go through the gate",
            "Choose the action promote, with the gate, and leave the version empty.",
        )


def after_the_gate(
    verdict: GateVerdict,
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    ti: Any = None,  # noqa: ANN401 - Airflow's
) -> str | None:
    """Ask a person where that is wanted; None ends the run where the gate was not passed."""
    if not verdict.passed:
        names = ", ".join(check.name for check in verdict.failed)
        logger.warning("Version %d stays out: %s", verdict.challenger, names)
        announce(gate_refused(verdict, params["service"], dag_run.dag_id, dag_run.run_id))
        lines = (f"{one.name}: {one.found} (wanted: {one.wanted})" for one in verdict.failed)
        say(ti, f"Version {verdict.challenger} did not pass the gate. {'; '.join(lines)}.")
        return None
    # The setting is a floor: the form may ask for an approval, and not do without one.
    return ASK if params["approval"] or get_settings().approval else MOVE


def after_the_answer(answer: Mapping[str, Any]) -> str:
    """Move the version if a person has approved; otherwise note who has rejected it."""
    return MOVE if APPROVED in answer["chosen_options"] else REJECT


def reject(
    verdict: GateVerdict,
    answer: Mapping[str, Any],
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    ti: Any = None,  # noqa: ANN401 - Airflow's
) -> dict[str, Any]:
    """Write into the history that a person did not want what had passed the gate."""
    approver = approver_of(answer)
    entry = promoter_of(params, verdict.challenger).reject(
        verdict,
        f"{dag_run.dag_id}/{dag_run.run_id}/{REJECT}",
        who=who_asked(dag_run),
        why=params["why"] or "",
        approver=approver,
    )
    logger.info("Version %d stays out: rejected by %s", verdict.challenger, approver)
    say(ti, f"Version {verdict.challenger} passed the gate and was rejected by {approver}.")
    return asdict(entry)


def approver_of(answer: Mapping[str, Any]) -> str:
    """Return who has answered; without an answer in time, the setting did."""
    user = answer.get("responded_by_user")
    return str(user["name"]) if user else "nobody in time (the setting approval_default)"


def move(
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    verdict: GateVerdict | None = None,
    answer: Mapping[str, Any] | None = None,
    ti: Any = None,  # noqa: ANN401 - Airflow's
) -> dict[str, Any]:
    """Do what was asked for, and write it into the history.

    Raises
    ------
    InvalidInputError
        If gate or approval is missing: those who may change a run can also mark the steps before
        this one as done.
    """
    with saying(ti):
        _require_steps(params, verdict, answer)
        return _move(params, dag_run, verdict, answer)


def _require_steps(
    params: Mapping[str, Any], verdict: GateVerdict | None, answer: Mapping[str, Any] | None
) -> None:
    """Refuse what has not come through the steps before it."""
    approval = get_settings().approval
    if params["action"] == "promote" and params["gate"]:
        missing = ""
        if verdict is None or not verdict.passed:
            missing = "the gate"
        elif params["approval"] or approval:
            given = answer["chosen_options"] if answer else ()
            missing = "" if APPROVED in given else "an approval"
        if missing:
            raise InvalidInputError(
                "The promotion",
                f"has not passed {missing}, whatever state its tasks were given by hand",
                "Trigger promotion anew.",
            )
    elif approval:
        _require_approved(params)


def _move(
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    verdict: GateVerdict | None = None,
    answer: Mapping[str, Any] | None = None,
    remarks: tuple[str, ...] = (),
) -> dict[str, Any]:
    promoter = promoter_of(params, verdict.challenger if verdict else None)
    approver = approver_of(answer) if answer else ""
    action = _action(params, who_asked(dag_run), verdict, approver, remarks)
    entry = promoter.act(action, f"{dag_run.dag_id}/{dag_run.run_id}/{MOVE}")
    where = entry.moment or "all moments"
    logger.info("%s: %s (%s) is now %s", entry.kind, params["service"], where, entry.after)
    if entry.kind in {"promote", "rollback"}:
        announce(moved(entry, params["service"], dag_run.dag_id, dag_run.run_id, verdict))
    return asdict(entry)


def _action(
    params: Mapping[str, Any],
    who: str,
    verdict: GateVerdict | None,
    approver: str = "",
    remarks: tuple[str, ...] = (),
) -> Action:
    return Action(
        kind=params["action"],
        service=params["service"],
        version=verdict.challenger if verdict else params["version"],
        who=who,
        why=params["why"] or "",
        share=params["share"],
        expected=verdict.champion if verdict else None,
        evidence=verdict.table() if verdict else None,
        accept_generated=params["accept_generated_data"],
        remarks=verdict.remarks if verdict else remarks,
        approver=approver,
        everywhere=params["action"] in SWITCHES and moment_of_form(params) is None,
    )

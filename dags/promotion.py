"""DAG `promotion`: which version answers."""

from __future__ import annotations

import datetime as dt

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, TriggerRule, chain, task

from model_loop.orchestration.alerts.notifications import ApprovalWaits, alerts_of_runs
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import promotion_form
from model_loop.orchestration.names import ASK, CHOICES, JUDGE
from model_loop.settings import get_settings

DOC = """
### Which version answers

*promote* lets the challenger and the champion predict the same test months, which neither has
learned from. The gate is a list of checks; if all are passed (and, where that is wanted, a person
approves within the time), the version becomes champion of its moment: there is one champion for
trips that are asked about when they are *booked*, and one for those that have *ended*. Everything
else is done at once, also while an approval waits: *canary* (the version answers a share of the
requests), *shadow* (it answers unseen), *end_canary*, *end_shadow*, *rollback* (to the champion
before, or to a version), *disable* and *enable*, *retire*. `{"action": "rollback"}` alone is enough
in an emergency; done again, it goes further back.

Every move is in the history: who, when, why, from what to what, the checks, and who has approved;
a rejection, too.

**If the gate is not passed** the run succeeds, nothing moves, and `judge` says in its log and in
its result what was missing.

**If it fails:** nothing has moved, or clearing the failed task ends the move as it was meant; the
mail and the task's log say why.
"""

with DAG(
    dag_id="promotion",
    description="Lets a better model take over, and moves versions by hand.",
    doc_md=DOC,
    schedule=None,
    is_paused_upon_creation=False,
    # Runs that wait for an approval hold up no other: an emergency never queues behind them.
    max_active_runs=100,
    tags=[Tag.MODEL_LOOP, Tag.REGISTRY],
    default_args=default_args(),
    **alerts_of_runs(announces=True),
    params=promotion_form(),
):
    first = step("promotion:first_step", task.branch)()
    verdict = step("judging:judge", task_id=JUDGE, max_active_tis_per_dag=1)()
    then = step("promotion:after_the_gate", task.branch)(verdict=verdict)
    approval = HITLOperator(
        task_id=ASK,
        subject="Shall version {{ ti.xcom_pull(task_ids='judge').challenger }} of "
        "{{ params.service }} become champion?",
        body="{{ ti.xcom_pull(task_ids='judge').markdown }}",
        options=list(CHOICES),
        defaults=get_settings().approval_default,
        notifiers=ApprovalWaits(),
        response_timeout=dt.timedelta(hours=get_settings().approval_hours),
    )
    answered = step("promotion:after_the_answer", task.branch)(answer=approval.output)
    move = step(
        "promotion:move",
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        # One move at a time: the next one sees what the last one did.
        max_active_tis_per_dag=1,
    )(verdict=verdict, answer=approval.output)
    rejected = step("promotion:reject")(verdict=verdict, answer=approval.output)
    chain(first, verdict)
    chain(then, approval, answered, [move, rejected])
    chain([first, then], move)

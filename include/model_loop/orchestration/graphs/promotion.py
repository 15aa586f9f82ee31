"""DAGs `promotion` and `promotion_override`: which version answers."""

from __future__ import annotations

import datetime as dt

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import TriggerRule, chain, task

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import ApprovalWaits, alerts_of_runs
from model_loop.orchestration.conventions import Tag, step
from model_loop.orchestration.forms import override_form, promotion_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import (
    ASK,
    CHOICES,
    JUDGE,
    MOVE,
    OVERRIDE,
    PROMOTION,
    dag_id_of,
)
from model_loop.settings import get_settings


def declare_promotion(dataset: Dataset) -> None:
    """Declare the DAG that lets a better version take over."""
    several, name = len(dataset.variants) > 1, dataset.variant_field.name
    with dag_of(
        dataset,
        PROMOTION,
        description="Lets a better model take over, and moves versions by hand.",
        doc=_doc(dataset),
        tags=(Tag.REGISTRY,),
        form=promotion_form(dataset),
        # Runs that wait for an approval hold up no other: an emergency never queues behind them.
        max_active_runs=100,
        **alerts_of_runs(announces=True),
    ):
        first = step("promotion:first_step", task.branch)()
        verdict = step("judging:compare_with_champion", task_id=JUDGE, max_active_tis_per_dag=1)()
        then = step("promotion:after_the_gate", task.branch)(verdict=verdict)
        of = f"{{{{ params.{name} }}}}" if several else dataset.title
        approval = HITLOperator(
            task_id=ASK,
            subject="Shall version {{ ti.xcom_pull(task_ids='judge').challenger }} of "
            f"{of} become champion?",
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


def declare_override(dataset: Dataset) -> None:
    """Declare the DAG that moves versions past gate and approval."""
    promotion = dag_id_of(dataset, PROMOTION)
    with dag_of(
        dataset,
        OVERRIDE,
        description="Moves versions past gate and approval, for users whom the operator has named.",
        doc=f"""
### Moves past gate and approval

Where the operator's setting wants promotions to be approved, the DAG *{promotion}* lets no version
answer that nobody has approved. This one does, at once, for the users whom the setting
`MODEL_LOOP_OVERRIDE_USERS` names; nobody, if it is empty. The history says that a move came this
way, and who made it.

**If it fails:** nothing has moved; the task's log says why.
""",
        tags=(Tag.REGISTRY,),
        form=override_form(dataset),
        max_active_runs=100,
        **alerts_of_runs(announces=True),
    ):
        step("promotion:override", task_id=MOVE, max_active_tis_per_dag=1)()


def _doc(dataset: Dataset) -> str:
    moments = dict.fromkeys(f"those *{recipe.asked}*" for recipe in dataset.recipes.values())
    each = f": {', and '.join(moments)}" if len(moments) > 1 else ""
    return f"""
### Which version answers

*promote* lets the challenger and the champion predict the same test {dataset.rows[0]}, which
neither has learned from. The gate is a list of checks; if all are passed (and, where that is
wanted, a person approves within the time), the version becomes champion of its moment: there is one
champion for each moment of prediction{each}. Everything else is done at once, also while an
approval waits: *canary* (the version answers a share of the requests), *shadow* (it answers
unseen), *end_canary*, *end_shadow*, *rollback* (to the champion before, or to a version),
*disable* and *enable*, *retire*. `{{"action": "rollback"}}` alone is enough in an emergency; done
again, it goes further back.

Every move is in the history: who, when, why, from what to what, the checks, and who has approved;
a rejection, too.

**If the gate is not passed** the run succeeds, nothing moves, and `judge` says in its log and in
its result what was missing.

**If it fails:** nothing has moved, or clearing the failed task ends the move as it was meant; the
mail and the task's log say why.
"""

"""DAG `promotion_override`: moves versions past gate and approval."""

from __future__ import annotations

from airflow.sdk import DAG

from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import override_form
from model_loop.orchestration.names import MOVE, OVERRIDE

DOC = """
### Moves past gate and approval

Where the operator's setting wants promotions to be approved, the DAG *promotion* lets no version
answer that nobody has approved. This one does, at once, for the users whom the setting
`MODEL_LOOP_OVERRIDE_USERS` names; nobody, if it is empty. The history says that a move came this
way, and who made it.

**If it fails:** nothing has moved; the task's log says why.
"""

with DAG(
    dag_id=OVERRIDE,
    description="Moves versions past gate and approval, for users whom the operator has named.",
    doc_md=DOC,
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=100,
    tags=[Tag.MODEL_LOOP, Tag.REGISTRY],
    default_args=default_args(),
    **alerts_of_runs(announces=True),
    params=override_form(),
):
    step("promotion:override", task_id=MOVE, max_active_tis_per_dag=1)()

"""DAG `retraining`: new months or drift lead to a better champion."""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule, chain, task

from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.assets import DRIFT, PUBLISHED_MONTHS
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import retraining_form
from model_loop.orchestration.names import TRAININGS
from model_loop.orchestration.operators import run_dag, run_each
from model_loop.orchestration.schedules.timetables import retraining_schedule

DOC = """
### New months or drift lead to a better champion

Prepares the newest months, tunes and trains all families on them, and lets the best one try the
gate of `promotion`. Started by new months (`new_months`), by drift (`monitoring`), by hand, or by
the schedule of the setting `MODEL_LOOP_RETRAINING_SCHEDULE`. The newest month judges, the one
before is tuned on, those before are learned from.

An event names source, service and months, and is answered with exactly these; where events of
several sources or services come together, each is answered by a run of its own. A month, and the
hour of the schedule, are about the champion of every moment: one that is asked at another moment
than the form's recipe gets a run of its own, too. A run by hand or by schedule takes source and
service from its form.

It waits for each DAG without taking a worker. One run works at a time; what happens meanwhile
starts the next one. Months that were trained on before are not trained on again, unless *Once
more* asks for it.

**If it fails:** the DAG that has failed is named, and has sent its own mail. After mending the
cause, clear its failed task, then the failed task here: what had finished is not done again.
"""

with DAG(
    dag_id="retraining",
    description="Prepares new months, trains on them, and lets the best model try the gate.",
    doc_md=DOC,
    schedule=retraining_schedule(),
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=[Tag.MODEL_LOOP, Tag.TRAINING, Tag.REGISTRY],
    default_args=default_args(),
    **alerts_of_runs(announces=True),
    params=retraining_form(),
):
    others = step("retraining:other_occasions")()
    run_each("retraining", "answer_others", others)
    plan = step("retraining:plan", task.short_circuit, inlets=[PUBLISHED_MONTHS, DRIFT])()

    def form(dag_id: str) -> str:
        """The template of a DAG's form."""
        return "{{ ti.xcom_pull(task_ids='plan')['forms']['" + dag_id + "'] | tojson }}"

    data_preparation = run_dag("data_preparation", form("data_preparation"))
    trainings = [run_dag(dag_id, form(dag_id)) for dag_id in TRAININGS]
    challenger = step(
        "retraining:choose_challenger", task.short_circuit, ignore_downstream_trigger_rules=False
    )(plan=plan)
    promotion = run_dag("promotion", challenger)
    finish = step(
        "retraining:finish", inlets=[PUBLISHED_MONTHS, DRIFT], trigger_rule=TriggerRule.NONE_FAILED
    )(plan=plan, challenger=challenger)
    # An event that cannot be read fails one task.
    chain(others, plan, data_preparation, trainings, challenger, promotion, finish)

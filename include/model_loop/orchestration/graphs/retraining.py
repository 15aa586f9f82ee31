"""DAG `retraining`: new partitions or drift lead to a better champion."""

from __future__ import annotations

from airflow.sdk import TriggerRule, chain, task

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.conventions import Tag, step
from model_loop.orchestration.forms import retraining_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import (
    BLEND,
    MONITORING,
    PREPARATION,
    PROMOTION,
    RETRAINING,
    TRAININGS,
    dag_id_of,
)
from model_loop.orchestration.operators import run_dag, run_each
from model_loop.orchestration.schedules.timetables import retraining_schedule


def declare_retraining(dataset: Dataset) -> None:
    """Declare the DAG that closes the loop."""
    assets = assets_of(dataset)
    events = [assets.published, assets.drift]
    with dag_of(
        dataset,
        RETRAINING,
        description=f"Prepares new {dataset.partitions[0]}, trains on them, and lets the best "
        "model try the gate.",
        doc=_doc(dataset),
        tags=(Tag.TRAINING, Tag.REGISTRY),
        form=retraining_form(dataset),
        schedule=retraining_schedule(dataset),
        max_active_runs=1,
        **alerts_of_runs(announces=True),
    ):
        others = step("retraining:other_occasions")()
        run_each(dataset, RETRAINING, "answer_others", others)
        plan = step(
            "retraining:plan_retraining", task.short_circuit, task_id="plan", inlets=events
        )()
        prepared = run_dag(dataset, PREPARATION, _form(PREPARATION))
        trained = [run_dag(dataset, job, _form(job)) for job in TRAININGS]
        blend = step(
            "retraining:ask_for_blend",
            task.short_circuit,
            # The best family tries the gate where no blend is wanted.
            ignore_downstream_trigger_rules=False,
        )(plan=plan)
        # Without a blend, the best family tries the gate.
        blended = run_dag(dataset, BLEND, blend, needed=False)
        challenger = step(
            "retraining:choose_challenger",
            task.short_circuit,
            ignore_downstream_trigger_rules=False,
            trigger_rule=TriggerRule.NONE_FAILED,
        )(plan=plan)
        promoted = run_dag(dataset, PROMOTION, challenger)
        finish = step("retraining:finish", inlets=events, trigger_rule=TriggerRule.NONE_FAILED)(
            plan=plan, challenger=challenger
        )
        # An event that cannot be read fails one task.
        chain(others, plan, prepared, trained, blend, blended, challenger, promoted, finish)


def _form(job: str) -> str:
    """Return the template of a job's form."""
    return "{{ ti.xcom_pull(task_ids='plan')['forms']['" + job + "'] | tojson }}"


def _doc(dataset: Dataset) -> str:
    (many, one), names = dataset.partitions, dataset.names
    newest = (
        f"The newest {one} judges, the\none before is tuned on, those before are learned from."
        if dataset.extensions.retrained_on
        else f"All {many} up to the\nnewest whose true values have arrived are taken: a part "
        "judges, one is tuned on, the rest is learned\nfrom, as the declaration says."
    )
    several = (
        f"\n\nAn event names source, {dataset.variant_field.name} and {many}, and is answered with "
        "exactly these; where events of\nseveral sources or variants come together, each is "
        "answered by a run of its own."
        if len(dataset.variants) > 1
        else ""
    )
    return f"""
### New {many} or drift lead to a better champion

Prepares the newest {many}, tunes and trains all families on them, blends them where that is better
(`{dag_id_of(dataset, BLEND)}`), and lets the best one try the gate of
`{dag_id_of(dataset, PROMOTION)}`. Started by new {many}
(`{dag_id_of(dataset, f"new_{names.partitions}")}`), by drift (`{dag_id_of(dataset, MONITORING)}`),
by hand, or by a schedule: that of the declaration, or of the setting
`MODEL_LOOP_RETRAINING_SCHEDULE`. {newest}{several}

The champion of every moment learns from new partitions: one of another moment than the form's
recipe gets a run of its own, too.

It waits for each DAG without taking a worker. One run works at a time; events meanwhile start the
next one. Partitions are not trained on twice, unless *Once more* asks for it.

**If it fails:** the DAG that has failed is named, and has sent its own mail. After mending the
cause, clear its failed task, then the failed task here: what had finished is not done again. A
blend that fails is left out.
"""

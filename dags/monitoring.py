"""DAG `monitoring`: whether what answers still fits what it is asked."""

from __future__ import annotations

from airflow.sdk import DAG, chain, task

from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.assets import DRIFT
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import monitoring_form
from model_loop.orchestration.operators import run_each
from model_loop.orchestration.schedules.timetables import monitoring_schedule

DOC = """
### Whether what answers still fits what it is asked

Compares what was asked in a window with what each champion has learned from (PSI, unseen zones,
missing values, SHAP values, predictions), and what it said with how long the trips took, as far as
that is known. There is one champion for each moment; each is watched by itself, by what was asked
at its moment. With the setting `MODEL_LOOP_MONITORING_SCHEDULE` it looks at the last week of the
request log, as often as that says; when a month is published, at that month of that source and
service. Everything stands in MLflow, experiment `trip-duration-monitoring`.

*Warn* sends a mail; *act* also emits the asset `drift`, which starts `retraining` for that moment,
once in a cooldown. Of a window with few trips it says nothing. **Earlier windows:** name months or
days in the form, or backfill; a backfill writes down and does not act.

**If it fails:** the request log, the tracking server or the source of the months has not answered,
or a month breaks its contract; the mail says which. Clear the failed task: a window that is looked
at again replaces what was said of it.
"""

with DAG(
    dag_id="monitoring",
    description="Looks for drift and for growing errors; warns, or starts retraining.",
    doc_md=DOC,
    schedule=monitoring_schedule(),
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=[Tag.MODEL_LOOP, Tag.MONITORING],
    default_args=default_args(),
    **alerts_of_runs(announces=True),
    params=monitoring_form(),
):
    others = step("monitoring:other_occasions")()
    run_each("monitoring", "look_at_others", others)
    plan = step("monitoring:plan", task.short_circuit)()
    drift = step("monitoring:drift")(plan=plan)
    performance = step("monitoring:performance")(plan=plan)
    evidence = step("monitoring:judge", inlets=[DRIFT])(
        plan=plan, drift=drift, performance=performance
    )
    retrain = step(
        "monitoring:retrain",
        outlets=[DRIFT],
        map_index_template="{{ task.op_kwargs['evidence']['moment'] }}",
    ).expand(evidence=evidence)
    chain(others, plan, [drift, performance], evidence, retrain)

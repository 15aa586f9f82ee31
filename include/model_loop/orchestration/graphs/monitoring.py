"""DAG `monitoring`: whether the answering models still fit what they are asked."""

from __future__ import annotations

from airflow.sdk import chain, task

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.conventions import Tag, step
from model_loop.orchestration.forms import monitoring_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import MONITORING, RETRAINING, dag_id_of
from model_loop.orchestration.operators import run_each
from model_loop.orchestration.schedules.timetables import monitoring_schedule
from model_loop.settings import get_settings
from model_loop.tracking.names import experiment_of


def declare_monitoring(dataset: Dataset) -> None:
    """Declare the DAG that looks for drift and growing errors."""
    drifts = [assets_of(dataset).drift]
    with dag_of(
        dataset,
        MONITORING,
        description="Looks for drift and for growing errors; warns, or starts retraining.",
        doc=_doc(dataset),
        tags=(Tag.MONITORING,),
        form=monitoring_form(dataset),
        schedule=monitoring_schedule(dataset),
        max_active_runs=1,
        **alerts_of_runs(announces=True),
    ):
        others = step("monitoring:other_occasions")()
        run_each(dataset, MONITORING, "look_at_others", others)
        plan = step("monitoring:plan_windows", task.short_circuit, task_id="plan")()
        drift = step("monitoring:drift")(plan=plan)
        performance = step("monitoring:performance")(plan=plan)
        intervals = step("monitoring:intervals")(plan=plan)
        evidence = step("monitoring:judge_windows", task_id="judge", inlets=drifts)(
            plan=plan, drift=drift, performance=performance, intervals=intervals
        )
        retrain = step(
            "monitoring:retrain",
            outlets=drifts,
            map_index_template="{{ task.op_kwargs['evidence']['moment'] }}",
        ).expand(evidence=evidence)
        chain(others, plan, [drift, performance, intervals], evidence, retrain)


def _doc(dataset: Dataset) -> str:
    (many, one), rows = dataset.partitions, dataset.rows[0]
    experiment = experiment_of(dataset, get_settings().experiment, "monitoring")
    days = f"name {many} or days" if dataset.partition != "whole" else "name days"
    return f"""
### Whether the answering models still fit what they are asked

Compares what was asked in a window with what each champion has learned from (PSI, unseen values,
missing values, SHAP values, predictions), and what it said with the {dataset.target.title} of the
{rows}, as far as that is known. There is one champion for each moment; each is watched by itself,
by what was asked at its moment. With the setting `MODEL_LOOP_MONITORING_SCHEDULE` it looks at the
last week of the request log, as often as that says; when a {one} is published, at that {one}.
Of the requests, each closed day corrects the intervals of the version, once.
Everything stands in MLflow, experiment `{experiment}`.

*Warn* sends a mail; *act* also emits the asset `{assets_of(dataset).drift.name}`, which starts
`{dag_id_of(dataset, RETRAINING)}` for that moment, once in a cooldown. Of a window with few {rows}
it says nothing. **Earlier windows:** {days} in the form, or backfill; a backfill writes down and
does not act.

**If it fails:** the request log, the tracking server or the source of the {many} has not answered,
or a {one} breaks its contract; the mail says which. Clear the failed task: a window that is looked
at again replaces what was said of it.
"""

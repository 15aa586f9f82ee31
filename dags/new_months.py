"""DAGs `new_months` and `watch_months`: wait for months that are published, and announce them."""

from __future__ import annotations

import datetime as dt

from airflow.sdk import DAG

from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, default_args, require_known_fields
from model_loop.orchestration.forms import watch_form
from model_loop.orchestration.schedules.timetables import watch_schedule
from model_loop.orchestration.schedules.watching import NewMonthSensor

DOC = """
### Waits for months that are published

Looks at the source again and again, deferred, so that no worker is taken. A month that was not
there before, or is another file now, is announced as an event of the asset `published_months`,
which starts `retraining` on that source, service and month. Then the run ends.

What is announced has been the same in two looks. One failed look is no event. What was announced
and not trained on within a day is announced again.

`new_months` waits once, for the source and service of its form, beside whatever else waits.
`watch_months` is for the source and service of the settings: where `MODEL_LOOP_WATCH_MONTHS` is
set, the next run waits for the next month, without end.

**If it fails:** the source has not answered for many looks in a row; the mail says what it said.
The next run of `watch_months` goes on looking by itself; `new_months` is triggered again.
"""

with DAG(
    dag_id="new_months",
    description="Waits for months that are published, and announces them.",
    doc_md=DOC,
    schedule=None,
    is_paused_upon_creation=False,
    tags=[Tag.MODEL_LOOP, Tag.DATA],
    default_args=default_args(),
    **alerts_of_runs(),
    params=watch_form(),
):
    NewMonthSensor(task_id="wait_for_month", pre_execute=require_known_fields)

with DAG(
    dag_id="watch_months",
    description="Waits for the next month of the settings' source, again and again.",
    doc_md=DOC,
    schedule=watch_schedule(),
    # Without one, Airflow gives the second continuous run the logical date of the first, finds that
    # such a run exists, and never makes another.
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    # Airflow lets no run of another kind pass one that is continuous, so the forms' runs have a DAG
    # of their own.
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=False,
    tags=[Tag.MODEL_LOOP, Tag.DATA],
    default_args=default_args(),
    **alerts_of_runs(),
    params=watch_form(),
):
    NewMonthSensor(task_id="wait_for_month", pre_execute=require_known_fields)

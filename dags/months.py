"""DAGs `green_months`, `yellow_months`, `fhvhv_months`: each run prepares one month."""

from __future__ import annotations

from airflow.sdk import DAG

from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.assets import MONTHS
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import acceptance_form, source_form
from model_loop.orchestration.schedules.timetables import months_schedule
from trip_duration.services import SERVICES

DOC = """
### One month of one service in each run

The run with the partition key `2024-01` fetches that month, checks it against its contract,
profiles it, and logs it to MLflow. It is then a partition of the asset `months`, with the key
`{name}|2024-01`, and whatever needs the month finds it ready.

**One month:** trigger with its partition key. **Several months:** backfill over their dates
(*Trigger*, *Backfill*); they are prepared side by side, and those that are there already are left
alone. With the setting `MODEL_LOOP_MONTHS_SCHEDULE` the one that TLC published last is prepared
by itself.

**If it fails:** the mail and the task's log name the month and the rule that it breaks. Clear the
failed task after mending the cause, or backfill again with *failed runs*.
"""

for service in SERVICES.values():
    with DAG(
        dag_id=f"{service.name}_months",
        description=f"Fetches and checks months: {service.title}.",
        doc_md=DOC.format(name=service.name),
        schedule=months_schedule(service.name),
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=4,
        tags=[Tag.MODEL_LOOP, Tag.DATA],
        default_args=default_args(),
        **alerts_of_runs(),
        params={**source_form(), **acceptance_form()},
    ):
        raw = step("preparation:fetch_partition", task_id="fetch_month")(service=service.name)
        checked = step("preparation:check_month")(raw)
        step("month_log:log_month")(step("preparation:compare_month", outlets=[MONTHS])(checked))

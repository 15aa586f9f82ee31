"""DAG `new_months`: waits for months that are published, and announces them."""

from __future__ import annotations

from airflow.sdk import DAG

from trip_duration.orchestration.conventions import START_DATE, Tag, default_args
from trip_duration.orchestration.forms import watch_form
from trip_duration.orchestration.notifications import alerts_of_runs
from trip_duration.orchestration.watching import NewMonthSensor

DOC = """
### Waits for months that are published

Looks at the source again and again, deferred, so that no worker is taken. A month that was not
there before, or is another file now, is announced as an event of the asset `published_months`,
which starts `retraining`; then the next run waits for the next one. Every run that has ended
stands for one announcement.

What is announced has been the same in two looks. One failed look is no event. What was announced
and not trained on within a day is announced again.

**If it fails:** the source has not answered for many looks in a row; the mail says what it said.
The next run goes on looking by itself.
"""

with DAG(
    dag_id="new_months",
    description="Waits for months that are published, and announces them.",
    doc_md=DOC,
    schedule="@continuous",
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    # Whoever wants the loop to close switches it on.
    is_paused_upon_creation=True,
    tags=[Tag.TRIP_DURATION, Tag.DATA],
    default_args=default_args(),
    **alerts_of_runs(),
    params=watch_form(),
):
    NewMonthSensor(task_id="wait_for_month")

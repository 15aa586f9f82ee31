"""DAG `data_preparation`: from published months to a training set."""

from __future__ import annotations

from airflow.sdk import DAG

from trip_duration.orchestration import preparation
from trip_duration.orchestration.assets import TRAINING_SET
from trip_duration.orchestration.conventions import START_DATE, Tag, default_args, step
from trip_duration.orchestration.forms import data_form

DOC = """
### From published months to a training set

Fetches the months, checks and cleans them, splits them by time, encodes them, tests the result
and publishes it as the asset `training_set`.

**If it fails:** the mail and the task's log name the month and the rule that it breaks. Correct
the form and trigger again, or clear the failed task: what had finished is not done again.
"""

with DAG(
    dag_id="data_preparation",
    description="Fetches months of trips and builds a training set.",
    doc_md=DOC,
    schedule=None,
    start_date=START_DATE,
    catchup=False,
    max_active_runs=4,
    tags=[Tag.TRIP_DURATION, Tag.DATA],
    default_args=default_args(),
    params=data_form(),
) as dag:
    months = step(preparation.plan_months)()

    fetch_month = step(preparation.fetch_month, map_index_template="{{ task.op_kwargs['month'] }}")
    raw_months = fetch_month.expand(month=months)

    check_month = step(
        preparation.check_month, map_index_template="{{ task.op_kwargs['raw'].month }}"
    )
    checked_months = check_month.expand(raw=raw_months)

    training_set = step(preparation.encode_months)(months=checked_months)
    tested = step(preparation.run_data_tests)(training_set)
    published = step(preparation.publish_training_set, task_id="results", outlets=[TRAINING_SET])(
        training_set
    )
    tested >> published

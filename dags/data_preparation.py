"""DAG `data_preparation`: from published months to a training set."""

from __future__ import annotations

from airflow.sdk import DAG, TaskGroup, TriggerRule, task

from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.assets import MONTHS, TRAINING_SET
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import preparation_form
from model_loop.orchestration.names import DATA_TESTS
from model_loop.settings import get_settings

DOC = """
### From published months to a training set

Fetches the months, checks each against its contract, sets broken rows aside, compares each month
with the months before it, splits the trips by time, encodes them, tests the result and publishes it
as the asset `training_set`.

If a training set of the very same months is there, every step but the last is skipped. One run
works at a time: who asks for the same training set in the meantime waits, and finds it finished.

**If it fails:** the mail and the task's log name the month and the rule that it breaks. Correct
the form and trigger again, or clear the failed task: what had finished is not done again.
"""

with DAG(
    dag_id="data_preparation",
    description="Fetches months of trips and builds a training set.",
    doc_md=DOC,
    schedule=None,
    is_paused_upon_creation=False,
    # Whoever comes second finds what the first has built.
    max_active_runs=1,
    tags=[Tag.MODEL_LOOP, Tag.DATA],
    default_args=default_args(),
    **alerts_of_runs(hours=get_settings().preparation_deadline_hours),
    params=preparation_form(),
) as dag:
    months = step(
        "preparation:plan_months", task.short_circuit, ignore_downstream_trigger_rules=False
    )()

    fetch_month = step(
        "preparation:fetch_month", map_index_template="{{ task.op_kwargs['month'] }}"
    )
    raw_months = fetch_month.expand(month=months)

    check_month = step(
        "preparation:check_month",
        map_index_template="{{ task.op_kwargs['raw'].month }}",
    )
    checked_months = check_month.expand(raw=raw_months)

    verdicts = step("preparation:compare_months", outlets=[MONTHS])(months=checked_months)

    log_month = step(
        "month_log:log_month",
        map_index_template="{{ task.op_kwargs['verdict'].month.raw.month }}",
    )
    logged = log_month.expand(verdict=verdicts)

    training_set = step("preparation:encode_months")(verdicts=verdicts)

    with TaskGroup("data_tests") as data_tests:
        for name in DATA_TESTS:
            step("preparation:run_data_test", task_id=name)(name=name, training_set=training_set)

    published = step(
        "preparation:publish_training_set",
        task_id="results",
        outlets=[TRAINING_SET],
        trigger_rule=TriggerRule.NONE_FAILED,
    )(training_set)
    data_tests >> published

"""DAG `data_preparation`: from published partitions to a training set."""

from __future__ import annotations

from airflow.sdk import TaskGroup, TriggerRule, task

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.conventions import Tag, step
from model_loop.orchestration.forms import preparation_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import DATA_TESTS, MAPPED, PREPARATION, TABLE_TESTS
from model_loop.settings import get_settings


def declare_preparation(dataset: Dataset) -> None:
    """Declare the DAG that prepares training sets."""
    assets, many = assets_of(dataset), dataset.names.partitions
    one = many.removesuffix("s")
    with dag_of(
        dataset,
        PREPARATION,
        description=f"Fetches {dataset.partitions[0]} of {dataset.rows[0]} and builds a training "
        "set.",
        doc=_doc(dataset),
        tags=(Tag.DATA,),
        form=preparation_form(dataset),
        # A second run for the same training set finds what the first has built.
        max_active_runs=1,
        **alerts_of_runs(hours=get_settings().preparation_deadline_hours),
    ):
        planned = step(
            "preparation:plan_partitions",
            task.short_circuit,
            task_id=f"plan_{many}",
            ignore_downstream_trigger_rules=False,
        )()

        fetch = step(
            "preparation:fetch_partitions",
            task_id=f"fetch_{one}",
            map_index_template=_ends_of("task.op_kwargs['partitions']"),
        )
        fetched = fetch.expand(partitions=planned)

        check = step(
            "preparation:check_partitions",
            task_id=f"check_{one}",
            map_index_template=_ends_of(
                "task.op_kwargs['fetched'] | map(attribute='partition') | list"
            ),
        )
        checked = check.expand(fetched=fetched)

        verdicts = step(
            "preparation:compare_partitions",
            task_id=f"compare_{many}",
            outlets=[assets.partitions],
        )(batches=checked)

        if dataset.declaration is None:
            log = step(
                "partition_log:log_partition",
                task_id=f"log_{one}",
                map_index_template="{{ task.op_kwargs['verdict'].partition }}",
            )
            log.expand(verdict=verdicts)
        else:
            # One table may be cut into more days than Airflow maps tasks.
            step("partition_log:log_partitions", task_id=f"log_{many}")(verdicts=verdicts)

        training_set = step("preparation:encode_partitions", task_id=f"encode_{many}")(
            verdicts=verdicts
        )

        with TaskGroup("data_tests") as data_tests:
            for name in DATA_TESTS if dataset.declaration is None else TABLE_TESTS:
                step("preparation:run_data_test", task_id=name)(
                    name=name, training_set=training_set
                )

        published = step(
            "preparation:publish_training_set",
            task_id="results",
            outlets=[assets.training_set],
            trigger_rule=TriggerRule.NONE_FAILED,
        )(training_set)
        data_tests >> published


def _ends_of(keys: str) -> str:
    """Return the template of the first and the last of the keys that a mapped task works on."""
    return f"{{% set keys = {keys} %}}{{{{ [keys[0], keys[-1]] | unique | join(' … ') }}}}"


def _doc(dataset: Dataset) -> str:
    many, one = dataset.partitions
    rows = dataset.rows[0]
    tasks = (
        f"Up to {MAPPED} {many} have a task each; of more, each task works on several in turn.\n\n"
        if dataset.partition != "whole"
        else ""
    )
    before = f", compares each {one} with the {many} before it" if dataset.time else ""
    return f"""
### From published {many} to a training set

Fetches the {many}, checks each against its contract, sets broken rows aside{before}, splits the
{rows}{" by time" if dataset.time else ""}, encodes them, tests the result and publishes it as the
asset `{assets_of(dataset).training_set.name}`.

{tasks}If a training set of the very same {many} is there, every step but the last is skipped. One
run works at a time: another that asks for the same training set waits, and finds it finished.

**If it fails:** the mail and the task's log name the {one} and the rule that it breaks. Correct
the form and trigger again, or clear the failed task: what had finished is not done again.
"""

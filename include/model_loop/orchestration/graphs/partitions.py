"""DAGs of partitions: one that prepares each, and two that wait for new ones."""

from __future__ import annotations

import datetime as dt

from model_loop.datasets.dataset import Dataset, Variant
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.conventions import Tag, require_known_fields, step
from model_loop.orchestration.forms import acceptance_form, source_form, watch_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import RETRAINING, dag_id_of
from model_loop.orchestration.schedules.timetables import partitions_schedule, watch_schedule
from model_loop.orchestration.schedules.watching import NewPartitionSensor


def declare_partitions(dataset: Dataset) -> None:
    """Declare, for each variant, the DAG whose runs prepare one partition each."""
    for variant in dataset.variants.values():
        _declare_partitions_of(dataset, variant)


def _declare_partitions_of(dataset: Dataset, variant: Variant) -> None:
    assets, many = assets_of(dataset), dataset.names.partitions
    # The key begins with the name of the dataset, which the id has in its prefix.
    name = variant.key.removeprefix(dataset.name).lstrip(".")
    with dag_of(
        dataset,
        f"{name}_{many}".lstrip("_"),
        description=f"Fetches and checks {dataset.partitions[0]}: {variant.title}.",
        doc=_doc(dataset, variant),
        tags=(Tag.DATA,),
        form={**source_form(dataset), **acceptance_form(dataset)},
        schedule=partitions_schedule(dataset, variant.key),
        max_active_runs=4,
        **alerts_of_runs(),
    ):
        one = many.removesuffix("s")
        raw = step("preparation:fetch_named_partition", task_id=f"fetch_{one}")(variant=variant.key)
        checked = step("preparation:check_partition", task_id=f"check_{one}")(raw)
        compared = step(
            "preparation:compare_partition", task_id=f"compare_{one}", outlets=[assets.partitions]
        )(checked)
        step("partition_log:log_partition", task_id=f"log_{one}")(compared)


def declare_watching(dataset: Dataset) -> None:
    """Declare the DAGs that wait for new partitions: once, and without end."""
    many = dataset.names.partitions
    with dag_of(
        dataset,
        f"new_{many}",
        description=f"Waits for {dataset.partitions[0]} that are published, and announces them.",
        doc=_doc_of_watching(dataset),
        tags=(Tag.DATA,),
        form=watch_form(dataset),
        **alerts_of_runs(),
    ):
        _sensor(dataset)

    with dag_of(
        dataset,
        f"watch_{many}",
        description=f"Waits for the next {dataset.partitions[1]} of the source, again and again.",
        doc=_doc_of_watching(dataset),
        tags=(Tag.DATA,),
        form=watch_form(dataset),
        schedule=watch_schedule(dataset),
        # Without a start, Airflow gives the second continuous run the logical date of the first,
        # finds that such a run exists, and never makes another.
        start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        # Airflow lets no run of another kind pass one that is continuous, so the forms' runs have
        # a DAG of their own.
        max_active_runs=1,
        **alerts_of_runs(),
    ):
        _sensor(dataset)


def _sensor(dataset: Dataset) -> None:
    NewPartitionSensor(
        task_id=f"wait_for_{dataset.partitions[1]}",
        asset=assets_of(dataset).published,
        pre_execute=require_known_fields,
    )


def _doc(dataset: Dataset, variant: Variant) -> str:
    (many, one), example = dataset.partitions, dataset.partition_example
    return f"""
### One {one} in each run: {variant.title}

The run with the partition key `{example}` fetches that {one}, checks it against its contract,
profiles it, and logs it to MLflow. It is then a partition of the asset
`{assets_of(dataset).partitions.name}`, with the key `{variant.key}|{example}`, and whatever needs
the {one} finds it ready.

**One {one}:** trigger with its partition key. **Several {many}:** backfill over their dates
(*Trigger*, *Backfill*); they are prepared side by side, and those that are there already are left
alone. With the setting `MODEL_LOOP_PARTITIONS_SCHEDULE` the one that was published last is prepared
by itself.

**If it fails:** the mail and the task's log name the {one} and the rule that it breaks. Clear the
failed task after mending the cause, or backfill again with *failed runs*.
"""


def _doc_of_watching(dataset: Dataset) -> str:
    (many, one), names = dataset.partitions, dataset.names.partitions
    settings = "declaration" if dataset.declaration else "settings"
    new, watch = (dag_id_of(dataset, f"{verb}_{names}") for verb in ("new", "watch"))
    return f"""
### Waits for {many} that are published

Looks at the source again and again, deferred, so that no worker is taken. A {one} that was not
there before, or is another file now, is announced as an event of the asset
`{assets_of(dataset).published.name}`, which starts `{dag_id_of(dataset, RETRAINING)}` on it. Then
the run ends.

A partition is announced when two looks have found it the same. One failed look is no event. A
partition that is not trained on within a day is announced again.

`{new}` waits once, for what its form names, beside whatever else waits. `{watch}` is for the
source of the {settings}: where `MODEL_LOOP_WATCH_PARTITIONS` is set, the next run waits for the
next {one}, without end.

**If it fails:** the source has not answered for many looks in a row; the mail says what it said.
The next run of `{watch}` goes on looking by itself; `{new}` is triggered again.
"""

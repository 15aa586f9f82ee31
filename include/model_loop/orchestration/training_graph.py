"""Tasks that the training DAGs share: before, for and after their models."""

from __future__ import annotations

from typing import Any

from airflow.sdk import TriggerRule, XComArg, chain, task, task_group

from model_loop.orchestration.conventions import TRAINING_POOL, step
from model_loop.orchestration.operators import run_dag
from model_loop.settings import get_settings

_FAMILY = "{{ task.op_kwargs['family'] }}"
_TUNED_FAMILY = "{{ task.op_kwargs['tuned'].family }}"
_TRAINED_FAMILY = "{{ task.op_kwargs['trained'].tuned.family }}"


def tracked_training_set(after: XComArg | None = None) -> tuple[Any, Any]:
    """Return the tasks that all models of a run share.

    Parameters
    ----------
    after
        The output of a task that comes before.

    Returns
    -------
    product
        The finished training set: the fresh one that is there, or a new one.
    run
        The run on the tracking server that this DAG run writes to; begun at the same time.
    """
    missing = step(
        "training:missing_training_set",
        task.short_circuit,
        # The training set is got whether or not it had to be made.
        ignore_downstream_trigger_rules=False,
    )()
    data_preparation = run_dag("data_preparation", missing)
    product = step("training:get_training_set", trigger_rule=TriggerRule.NONE_FAILED)()
    run = step("training:open_run", trigger_rule=TriggerRule.NONE_FAILED)()
    if after is not None:
        chain(after, missing)
    chain(missing, data_preparation, [product, run])
    return product, run


@task_group
def model(family: Any, product: Any, parent_run_id: Any, slots: int = 1) -> Any:  # noqa: ANN401 - values, or placeholders when mapped
    """Tune, train, evaluate and register one family."""
    queue = get_settings().training_queue
    tuned = step(
        "training:tune_family",
        task_id="tune",
        pool=TRAINING_POOL,
        pool_slots=slots,
        queue=queue,
        map_index_template=_FAMILY,
    )(family=family, product=product, parent_run_id=parent_run_id)
    trained = step(
        "training:train_family",
        task_id="train",
        pool=TRAINING_POOL,
        pool_slots=slots,
        queue=queue,
        map_index_template=_TUNED_FAMILY,
    )(tuned=tuned, product=product)
    return step("training:register_family", task_id="register", map_index_template=_TRAINED_FAMILY)(
        trained=trained, product=product
    )


def results(families: Any, product: XComArg, run: XComArg) -> Any:  # noqa: ANN401 - a list, or the results of a mapped group
    """The results of all families; ends the tracked run, whatever became of it."""
    collected = step("training:collect_results", task_id="results")(
        families=families, product=product, parent_run_id=run
    )
    closed = step("training:close_run")(parent_run_id=run, results=collected)
    closed.as_teardown(setups=run, on_failure_fail_dagrun=True)
    return collected

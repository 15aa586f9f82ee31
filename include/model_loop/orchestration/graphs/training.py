"""DAGs `sklearn_training` and `xgboost_training`: families that are tuned and trained."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from airflow.sdk import DAG, TriggerRule, XComArg, chain, task, task_group

from model_loop.datasets.dataset import Dataset
from model_loop.models.catalogue import XGBOOST as XGBOOST_FAMILY
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import TRAINING_POOL, Tag, step
from model_loop.orchestration.forms import sklearn_form, training_form
from model_loop.orchestration.forms.fields import FormFields
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import PREPARATION, SKLEARN, XGBOOST, dag_id_of
from model_loop.orchestration.operators import run_dag
from model_loop.settings import get_settings

_FAMILY = "{{ task.op_kwargs['family'] }}"
_TUNED_FAMILY = "{{ task.op_kwargs['tuned'].family }}"
_TRAINED_FAMILY = "{{ task.op_kwargs['trained'].tuned.family }}"


def declare_sklearn_training(dataset: Dataset) -> None:
    """Declare the DAG that trains scikit-learn families side by side."""
    with _training(
        dataset,
        SKLEARN,
        "Tunes, trains, evaluates and registers scikit-learn models.",
        f"""
### Six scikit-learn families, side by side

Takes the training set (and has `{dag_id_of(dataset, PREPARATION)}` build it where it is missing or
too old), tunes each chosen family on the validation part, trains the best settings on train and
validation, judges the model on the test part, and registers it. Every trial is on the tracking
server.

**If it fails:** the mail and the task's log say why. Clear the failed task after mending the
cause: families that have finished are not trained again.
""",
        Tag.SKLEARN,
        sklearn_form(dataset),
    ):
        families = step("training:choose_models")()
        # A form that names a wrong family fails one task.
        product, run = _tracked_training_set(dataset, after=families)
        models = model.partial(product=product, parent_run_id=run).expand(family=families)
        _results(models, product, run)


def declare_xgboost_training(dataset: Dataset) -> None:
    """Declare the DAG that trains XGBoost."""
    with _training(
        dataset,
        XGBOOST,
        "Tunes, trains, evaluates and registers an XGBoost model.",
        f"""
### XGBoost, tuned with early stopping

Takes the training set (and has `{dag_id_of(dataset, PREPARATION)}` build it where it is missing or
too old), tunes XGBoost on the validation part, trains the best settings on train and validation
with the number of rounds that tuning found, judges the model on the test part, and registers it.

**If it fails:** the mail and the task's log say why. Clear the failed task after mending the
cause: what had finished is not done again.
""",
        Tag.XGBOOST,
        training_form(dataset),
    ):
        product, run = _tracked_training_set(dataset)
        trained = model(XGBOOST_FAMILY, product, run, slots=get_settings().xgboost_threads)
        _results(trained, product, run)


def _training(
    dataset: Dataset, job: str, description: str, doc: str, tag: Tag, form: FormFields
) -> AbstractContextManager[DAG]:
    return dag_of(
        dataset,
        job,
        description=description,
        doc=doc,
        tags=(Tag.TRAINING, tag),
        form=form,
        max_active_runs=4,
        **alerts_of_runs(digest=True, hours=get_settings().training_deadline_hours),
    )


def _tracked_training_set(dataset: Dataset, after: XComArg | None = None) -> tuple[Any, Any]:
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
    data_preparation = run_dag(dataset, PREPARATION, missing)
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


def _results(families: Any, product: XComArg, run: XComArg) -> None:  # noqa: ANN401 - a list, or the results of a mapped group
    """Add the results of all families; end the tracked run, whatever became of it."""
    collected = step("training:collect_results", task_id="results")(
        families=families, product=product, parent_run_id=run
    )
    closed = step("training:close_run")(parent_run_id=run, results=collected)
    closed.as_teardown(setups=run, on_failure_fail_dagrun=True)

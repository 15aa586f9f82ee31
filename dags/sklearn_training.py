"""DAG `sklearn_training`: six scikit-learn families, tuned and trained side by side."""

from __future__ import annotations

from airflow.sdk import DAG

from model_loop.orchestration import training_graph
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import sklearn_form
from model_loop.settings import get_settings

DOC = """
### Six scikit-learn families, side by side

Takes the training set (and has `data_preparation` build it where it is missing or too old), tunes
each chosen family on the validation months, trains the best settings on train and validation,
judges the model on the test months, and registers it. Every trial is on the tracking server.

**If it fails:** the mail and the task's log say why. Clear the failed task after mending the
cause: families that have finished are not trained again.
"""

with DAG(
    dag_id="sklearn_training",
    description="Tunes, trains, evaluates and registers scikit-learn models.",
    doc_md=DOC,
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=4,
    tags=[Tag.MODEL_LOOP, Tag.TRAINING, Tag.SKLEARN],
    default_args=default_args(),
    **alerts_of_runs(digest=True, hours=get_settings().training_deadline_hours),
    params=sklearn_form(),
) as dag:
    families = step("training:choose_models")()
    # A form that names a wrong family fails one task.
    product, run = training_graph.tracked_training_set(after=families)
    models = training_graph.model.partial(product=product, parent_run_id=run).expand(
        family=families
    )
    training_graph.results(models, product, run)

"""DAG `xgboost_training`: XGBoost, tuned with early stopping."""

from __future__ import annotations

from airflow.sdk import DAG

from model_loop.models.catalogue import XGBOOST
from model_loop.orchestration import training_graph
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, default_args
from model_loop.orchestration.forms import training_form
from model_loop.settings import get_settings

DOC = """
### XGBoost, tuned with early stopping

Takes the training set (and has `data_preparation` build it where it is missing or too old), tunes
XGBoost on the validation months, trains the best settings on train and validation with the number
of rounds that tuning found, judges the model on the test months, and registers it.

**If it fails:** the mail and the task's log say why. Clear the failed task after mending the
cause: what had finished is not done again.
"""

with DAG(
    dag_id="xgboost_training",
    description="Tunes, trains, evaluates and registers an XGBoost model.",
    doc_md=DOC,
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=4,
    tags=[Tag.MODEL_LOOP, Tag.TRAINING, Tag.XGBOOST],
    default_args=default_args(),
    **alerts_of_runs(digest=True, hours=get_settings().training_deadline_hours),
    params=training_form(),
) as dag:
    product, run = training_graph.tracked_training_set()
    model = training_graph.model(XGBOOST, product, run, slots=get_settings().xgboost_threads)
    training_graph.results(model, product, run)

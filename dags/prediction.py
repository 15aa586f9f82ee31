"""DAG `prediction`: how long a trip will take."""

from __future__ import annotations

from airflow.sdk import DAG

from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import prediction_form

DOC = """
### How long will this trip take?

Choose where the trip begins and where it ends. The distance and the time may be left empty: the
typical distance between the two zones, and now. The result of `predict` (tab *XCom*) says the
minutes in words, with the version of the model that has answered and the id of the prediction.

A program sends a list as `inputs`, and reads the result with
`GET …/dagRuns/{run_id}/wait?interval=1&result=predict`. Files belong to the DAG `batch_scoring`.

**If it fails:** nothing was predicted; the result and the task's log say which input is wrong, or
that there is no champion yet: train, then run the DAG `promotion`. What the caller has to change is
told to the caller alone; of everything else a mail is sent.
"""

with DAG(
    dag_id="prediction",
    description="Predicts the duration of a few trips, from a form or over REST.",
    doc_md=DOC,
    schedule=None,
    is_paused_upon_creation=False,
    tags=[Tag.MODEL_LOOP, Tag.PREDICTION],
    default_args=default_args(),
    **alerts_of_runs(),
    params=prediction_form(),
):
    step("prediction:predict", answers=True)()

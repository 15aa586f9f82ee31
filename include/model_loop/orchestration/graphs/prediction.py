"""DAG `prediction`: a few predictions, for a person or a program."""

from __future__ import annotations

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, step
from model_loop.orchestration.forms import prediction_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import BATCH_SCORING, PREDICTION, PROMOTION, dag_id_of


def declare_prediction(dataset: Dataset) -> None:
    """Declare the DAG that answers its form."""
    (rows, row), target = dataset.rows, dataset.target.title
    with dag_of(
        dataset,
        PREDICTION,
        description=f"Predicts the {target} of a few {rows}, from a form or over REST.",
        doc=f"""
### The {target} of one {row}

Fill in what is known of it; what may be unknown can be left empty. The result of `predict` (tab
*XCom*) says the {target} in words, with the version of the model that has answered and the id of
the prediction.

A program sends a list as `inputs`, and reads the result with
`GET …/dagRuns/{{run_id}}/wait?interval=1&result=predict`. Files belong to the DAG
`{dag_id_of(dataset, BATCH_SCORING)}`.

**If it fails:** nothing was predicted; the result and the task's log say which input is wrong, or
that there is no champion yet: train, then run the DAG `{dag_id_of(dataset, PROMOTION)}`.
Errors of the input are reported to the caller alone; all others are mailed.
""",
        tags=(Tag.PREDICTION,),
        form=prediction_form(dataset),
        **alerts_of_runs(),
    ):
        step("prediction:predict", answers=True)()

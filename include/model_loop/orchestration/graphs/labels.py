"""DAG `labels`: files of true values in, feedback on predictions out."""

from __future__ import annotations

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, step
from model_loop.orchestration.forms.labels import labels_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import LABELS, MONITORING, dag_id_of


def declare_labels(dataset: Dataset) -> None:
    """Declare the DAG that matches true values with what was predicted."""
    rows, target = dataset.rows[0], dataset.target.title or dataset.target.name
    with dag_of(
        dataset,
        LABELS,
        description=f"Matches files of true values with the predictions of {rows}.",
        doc=f"""
### True values that arrive after the predictions

Reads a file with the {target} of {rows}, finds the predictions that each row is about, by the id
of the prediction or by the declared keys, and notes the value as feedback: what
`{dag_id_of(dataset, MONITORING)}` judges errors by. Like `model-loop labels add`.

The result counts predictions: `matched` by one label, `ambiguous` where labels disagree,
`unmatched` where none agrees, `awaited` where the value cannot have arrived yet, `told` where it
was known before. Feedback that is there stays: the same file a second time adds nothing.

A program reads the result with `GET …/dagRuns/{{run_id}}/wait?interval=1&result=add`.

**If it fails:** the result and the task's log name the file, the row and the rule. Errors of
the input are reported to the caller alone; all others are mailed. Trigger again after
correcting the file.
""",
        tags=(Tag.MONITORING, Tag.PREDICTION),
        form=labels_form(dataset),
        **alerts_of_runs(),
    ):
        step("labels:add", answers=True)()

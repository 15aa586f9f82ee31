"""DAG `batch_scoring`: a file in, the same file with predictions out beside it."""

from __future__ import annotations

from airflow.sdk import TriggerRule, chain

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, step
from model_loop.orchestration.forms import batch_scoring_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import BATCH_SCORING


def declare_batch_scoring(dataset: Dataset) -> None:
    """Declare the DAG that scores files."""
    rows, many = dataset.rows[0], dataset.partitions[0]
    with dag_of(
        dataset,
        BATCH_SCORING,
        description=f"Predicts the {rows} of whole files, or of published {many}.",
        doc=f"""
### Whole files

A file of any size (CSV, JSON lines, Parquet, Arrow), a folder of such files, or published {many}.
`plan` cuts them into chunks, workers score these side by side in bounded memory, and `join` makes
the output appear: the same rows with the prediction, `model_version` and `prediction_id`. Rows that
cannot be predicted go to a file of their own, `….rejected.…`, with the reason.

Nothing is to be seen of the output until all of it is there.

A program reads the result with `GET …/dagRuns/{{run_id}}/wait?interval=1&result=join`.

**If it fails:** the result of `join` and the task's log name the file and the rule that it breaks.
Errors of the input are reported to the caller alone; all others are mailed. Clear
the failed task, or trigger again with the same form: chunks that were scored are not scored again.
""",
        tags=(Tag.PREDICTION,),
        form=batch_scoring_form(dataset),
        **alerts_of_runs(),
    ):
        chunks = step("batch_scoring:plan_chunks", task_id="plan", answers=True)()
        score_chunk = step(
            "batch_scoring:score_chunk", map_index_template="{{ task.op_kwargs['chunk'].title }}"
        )
        scored = score_chunk.expand(chunk=chunks)
        joined = step(
            "batch_scoring:join_outputs",
            task_id="join",
            answers=True,
            trigger_rule=TriggerRule.ALL_DONE,
        )(chunks=chunks)
        chain(scored, joined)

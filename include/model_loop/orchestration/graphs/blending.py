"""DAG `blend`: the best model of each family, blended where that is better than any of them."""

from __future__ import annotations

from airflow.sdk import task

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import TRAINING_POOL, Tag, step
from model_loop.orchestration.forms.blending import blend_form
from model_loop.orchestration.graphs.declaring import dag_of
from model_loop.orchestration.names import BLEND, PROMOTION, RESULTS, RETRAINING, dag_id_of
from model_loop.settings import get_settings


def declare_blend(dataset: Dataset) -> None:
    """Declare the DAG that makes one more candidate of registered families."""
    rows, queue = dataset.rows[0], get_settings().training_queue
    with dag_of(
        dataset,
        BLEND,
        description="Blends the best model of each family, where that is better.",
        doc=f"""
### The best of each family, blended

Takes the best registered version of each family that was chosen by the same validation {rows},
weighs them by greedy ensemble selection, and compares the blend with the best family on
validation {rows} that the selection has not seen. Only a blend that is better by more than noise is
registered: like any other version it then goes through the gate of
`{dag_id_of(dataset, PROMOTION)}`. `{dag_id_of(dataset, RETRAINING)}` runs this between training and
promotion.

**If no blend is better**, the run succeeds, the later tasks are skipped, and the log of `choose`
says in a sentence what was measured.

**If it fails:** the mail and the task's log say why. Clear the failed task after mending the cause:
what had finished is not done again.
""",
        tags=(Tag.TRAINING, Tag.REGISTRY),
        form=blend_form(dataset),
        **alerts_of_runs(),
    ):
        chosen = step("blending:choose", task.short_circuit)()
        trained = step("blending:train", pool=TRAINING_POOL, queue=queue)(blend=chosen)
        step("blending:register", task_id=RESULTS)(trained=trained)

"""DAG `maintenance`: removes what nobody needs any more."""

from __future__ import annotations

from airflow.sdk import DAG

from model_loop.orchestration.alerts.notifications import alerts_of_runs
from model_loop.orchestration.conventions import Tag, default_args, step
from model_loop.orchestration.forms import maintenance_form
from model_loop.orchestration.schedules.timetables import cron

DOC = """
### Removes what nobody needs any more

Every day: training sets beyond the newest of their kind that nobody has used lately, partitions
that no training set is made of, fetched files beyond the size of the cache, results of tasks whose
runs were deleted, chunks of batches that nobody went on with, what killed writers have left,
environments of code that no version has, and old logs of tasks. How much is kept are settings, and
fields of the form; with *only look* nothing is removed, and the log lists what would be.

Files that could not be read, and were moved aside for inspection, are reported by mail, and kept as
long as logs.

All but logs can be built again.

**If it fails:** the log names the file that could not be removed. Mend its permissions and clear
the task; what was removed before is not missed.
"""

with DAG(
    dag_id="maintenance",
    description="Removes old training sets, unused partitions, orphaned results and old logs.",
    doc_md=DOC,
    schedule=cron("0 4 * * *"),
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=[Tag.MODEL_LOOP, Tag.DATA],
    default_args=default_args(),
    **alerts_of_runs(announces=True),
    params=maintenance_form(),
):
    form = step("maintenance:check_form")()
    form >> [
        step(name)()
        for name in (
            "maintenance:remove_old_products",
            "maintenance:trim_cache",
            "maintenance:remove_orphaned_results",
            "maintenance:remove_leftovers",
            "maintenance:tell_of_unreadable",
            "batch_scoring:remove_abandoned_scores",
            "maintenance:remove_old_logs",
        )
    ]

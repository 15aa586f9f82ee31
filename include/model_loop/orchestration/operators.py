"""Running one DAG from another: once, however often the task is tried."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.triggers.external_task import DagStateTrigger

from model_loop.errors import InvalidInputError, ReportedError

if TYPE_CHECKING:
    from airflow.sdk import Context


#: Seconds between two looks at the run; a look is one small query by the triggerer.
_POLL_SECONDS = 2


class RunDagOperator(TriggerDagRunOperator):
    """Runs a DAG and waits for its end without a worker.

    The run has an id of its own for each run that asks: a task that was killed or cleared finds
    the run that it has begun, and waits for that one. If that one has failed, it is cleared: what
    its tasks remember of their work is used again.

    Raises
    ------
    InvalidInputError
        If the DAG is paused.
    ReportedError
        If the run has failed; its own tasks have told why.
    """

    def __init__(self, *, trigger_dag_id: str, **kwargs: Any) -> None:  # noqa: ANN401 - an operator's own
        super().__init__(
            trigger_dag_id=trigger_dag_id,
            trigger_run_id="{{ dag.dag_id }}.{{ run_id }}",
            # Two runs may be asked for in the same moment, and a logical date belongs to one only.
            logical_date=None,
            reset_dag_run=True,
            wait_for_completion=True,
            deferrable=True,
            poke_interval=kwargs.pop("poke_interval", _POLL_SECONDS),
            **kwargs,
        )

    def execute(self, context: Context) -> str | None:
        """Begin the run, or find it; then defer, unless it has ended well."""
        run_id = str(self.trigger_run_id)
        ti: Any = context["ti"]
        found = ti.get_dr_count(dag_id=self.trigger_dag_id, run_ids=[run_id])
        state = ti.get_dagrun_state(self.trigger_dag_id, run_id) if found else None
        if state in self.allowed_states:
            self.log.info("%s %s has ended well before", self.trigger_dag_id, run_id)
            return run_id
        if ti.get_dag(self.trigger_dag_id).is_paused:
            raise InvalidInputError(
                f"The DAG {self.trigger_dag_id}",
                "is paused, and a run of it would wait without an end",
                "Unpause it, then clear this task.",
            )
        if state is not None and state not in self.failed_states:
            self.log.info("%s %s was begun before", self.trigger_dag_id, run_id)
            self.defer(
                trigger=DagStateTrigger(
                    dag_id=self.trigger_dag_id,
                    states=self.allowed_states + self.failed_states,
                    run_ids=[run_id],
                    poll_interval=self.poke_interval,
                ),
                method_name="execute_complete",
                timeout=None,
            )
        super().execute(context)
        return None

    def execute_complete(
        self,
        context: Context,  # noqa: ARG002 - Airflow gives it
        event: tuple[str, dict[str, Any]],
    ) -> str:
        """The id of the run that has ended well."""
        _, details = event
        (run_id,) = details["run_ids"]
        self.trigger_run_id = run_id
        if details[run_id] in self.failed_states:
            raise ReportedError(
                f"{self.trigger_dag_id} {run_id}",
                "has failed",
                "Its own mail says why; after mending the cause, clear its failed task, then this.",
            )
        return str(run_id)


def run_dag(dag_id: str, conf: Any, **options: Any) -> RunDagOperator:  # noqa: ANN401 - a value, or a template of one
    """A task that runs a DAG.

    Parameters
    ----------
    dag_id
        Name of the DAG to run, and of the task.
    conf
        Its form: a dict, the output of a task, or a template that gives JSON.
    """
    limits: dict[str, Any] = {"execution_timeout": dt.timedelta(hours=12), **options}
    return RunDagOperator(task_id=dag_id, trigger_dag_id=dag_id, conf=conf, **limits)


def run_each(dag_id: str, task_id: str, forms: Any) -> Any:  # noqa: ANN401 - the output of a task
    """A mapped task that begins a run of a DAG for each form, and does not wait for any.

    Parameters
    ----------
    dag_id
        Name of the DAG to run.
    task_id
        Name of the task.
    forms
        The output of a task: a list of forms, each with a service.
    """
    return TriggerDagRunOperator.partial(
        task_id=task_id,
        trigger_dag_id=dag_id,
        # A task that is tried again finds the run that it has begun.
        trigger_run_id="{{ dag.dag_id }}.{{ run_id }}.{{ ti.map_index }}",
        skip_when_already_exists=True,
        logical_date=None,
        map_index_template="{{ task.conf['service'] }}",
    ).expand(conf=forms)

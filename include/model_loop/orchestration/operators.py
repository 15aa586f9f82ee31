"""Running one DAG from another: once, however often the task is tried."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import DagRunTriggerException
from airflow.utils.state import DagRunState

from model_loop.errors import InvalidInputError, ReportedError
from model_loop.orchestration.alerts.failed_tasks import run_url
from model_loop.orchestration.names import dag_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from model_loop.datasets.dataset import Dataset

#: Seconds between two looks at the run; a look is one small query by the triggerer.
_POLL_SECONDS = 2
_DONE, _FAILED = DagRunState.SUCCESS.value, DagRunState.FAILED.value


class TriggeredRunLink(BaseOperatorLink):
    """The link from a task to the run that it has begun."""

    name = "Triggered DAG"
    #: Key of Airflow's own operator, under which earlier runs have kept it.
    xcom_key = "_link_TriggerDagRunLink"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow gives it
        """Return the address of the run."""
        assert isinstance(operator, RunDagOperator)
        return run_url(operator.trigger_dag_id, operator.trigger_run_id)


class RunDagOperator(BaseOperator):
    """Runs a DAG and, if asked to, waits for its end without a worker.

    The run has an id of its own for each run that asks: a task that was killed or cleared finds
    the run that it has begun, and waits for that one. If that one has failed, it is cleared: what
    its tasks remember of their work is used again.

    Airflow's own operator does the same after an import of a third of a second, which each reading
    of a DAG would pay for.

    Parameters
    ----------
    trigger_dag_id
        DAG to run.
    trigger_run_id
        Id of the run.
    conf
        Its form: a dict, the output of a task, or a template that gives JSON.
    wait
        Whether to wait for its end. Otherwise a run that is there already is left alone.
    needed
        Whether the run has to succeed. Otherwise the task ends well with it, however it ends.

    Raises
    ------
    InvalidInputError
        If the DAG is paused.
    ReportedError
        If a run that has to succeed has failed; its own tasks have told why.
    """

    template_fields: Sequence[str] = ("trigger_run_id", "conf")
    template_fields_renderers = {"conf": "json"}  # noqa: RUF012 - as Airflow declares it
    ui_color = "#ffefeb"
    operator_extra_links = (TriggeredRunLink(),)

    def __init__(
        self,
        *,
        trigger_dag_id: str,
        trigger_run_id: str,
        conf: Any,  # noqa: ANN401 - a value, or a template of one
        wait: bool = True,
        needed: bool = True,
        **kwargs: Any,  # noqa: ANN401 - an operator's own
    ) -> None:
        super().__init__(**kwargs)
        _show_in_the_graph_of_dags()
        self.trigger_dag_id = trigger_dag_id
        self.trigger_run_id = trigger_run_id
        self.conf = conf
        self.wait = wait
        self.needed = needed

    def execute(self, context: Context) -> str | None:
        """Begin the run, or find it; then defer, unless it has ended well."""
        ti: Any = context["ti"]
        if self.wait:
            state = self._state(ti)
            if state == _DONE:
                self.log.info("%s %s has ended well before", *self._run)
                return self.trigger_run_id
            if ti.get_dag(self.trigger_dag_id).is_paused:
                raise InvalidInputError(
                    f"The DAG {self.trigger_dag_id}",
                    "is paused, and a run of it would wait without an end",
                    "Unpause it, then clear this task.",
                )
            if state not in {None, _FAILED}:
                self.log.info("%s %s was begun before", *self._run)
                self._wait()
        (link,) = self.operator_extra_links
        ti.xcom_push(key=link.xcom_key, value=run_url(*self._run))
        raise DagRunTriggerException(
            trigger_dag_id=self.trigger_dag_id,
            dag_run_id=self.trigger_run_id,
            conf=json.loads(self.conf) if isinstance(self.conf, str) else self.conf,
            # Two runs may be asked for in the same moment, and a logical date belongs to one only.
            logical_date=None,
            reset_dag_run=self.wait,
            skip_when_already_exists=not self.wait,
            wait_for_completion=self.wait,
            allowed_states=[_DONE],
            failed_states=[_FAILED],
            poke_interval=_POLL_SECONDS,
            deferrable=True,
        )

    def execute_complete(
        self,
        context: Context,  # noqa: ARG002 - Airflow gives it
        event: tuple[str, dict[str, Any]],
    ) -> str:
        """Return the id of the run that has ended."""
        _, details = event
        (run_id,) = details["run_ids"]
        if details[run_id] == _FAILED and not self.needed:
            self.log.warning("%s has failed, and is done without; its own mail says why", run_id)
        elif details[run_id] == _FAILED:
            raise ReportedError(
                f"{self.trigger_dag_id} {run_id}",
                "has failed",
                "Its own mail says why; after mending the cause, clear its failed task, then this.",
            )
        return str(run_id)

    @property
    def _run(self) -> tuple[str, str]:
        return self.trigger_dag_id, self.trigger_run_id

    def _state(self, ti: Any) -> str | None:  # noqa: ANN401 - Airflow's
        """Return the state of the run; None if there is none."""
        found = ti.get_dr_count(dag_id=self.trigger_dag_id, run_ids=[self.trigger_run_id])
        return str(ti.get_dagrun_state(*self._run)) if found else None

    def _wait(self) -> None:
        from airflow.providers.standard.triggers.external_task import (  # noqa: PLC0415 - it takes long where DAGs are read
            DagStateTrigger,
        )

        self.defer(
            trigger=DagStateTrigger(
                dag_id=self.trigger_dag_id,
                states=[DagRunState.SUCCESS, DagRunState.FAILED],
                run_ids=[self.trigger_run_id],
                poll_interval=_POLL_SECONDS,
            ),
            method_name="execute_complete",
            timeout=None,
        )


def _show_in_the_graph_of_dags() -> None:
    """Let Airflow's graph show which DAG runs which: it looks for tasks of its own operator.

    Only a process that serializes DAGs draws it, and such a process has loaded what this import
    brings, though not always before this module.
    """
    if "airflow.serialization.serialized_objects" in sys.modules:
        from airflow.providers.standard.operators.trigger_dagrun import (  # noqa: PLC0415 - as above
            TriggerDagRunOperator,
        )

        TriggerDagRunOperator.register(RunDagOperator)


def run_dag(
    dataset: Dataset,
    job: str,
    conf: Any,  # noqa: ANN401 - a value, or a template of one
    *,
    needed: bool = True,
) -> RunDagOperator:
    """Return a task that runs a DAG of a dataset and waits for its end.

    Parameters
    ----------
    dataset, job
        Dataset and job of the DAG to run; the job is the name of the task.
    conf
        Its form: a dict, the output of a task, or a template that gives JSON.
    needed
        Whether the task fails with the run.
    """
    return RunDagOperator(
        task_id=job,
        trigger_dag_id=dag_id_of(dataset, job),
        trigger_run_id="{{ dag.dag_id }}.{{ run_id }}",
        conf=conf,
        needed=needed,
        execution_timeout=dt.timedelta(hours=12),
    )


def run_each(dataset: Dataset, job: str, task_id: str, forms: Any) -> Any:  # noqa: ANN401 - the output of a task
    """Return a mapped task that begins a run of a DAG for each form, and does not wait for any.

    Parameters
    ----------
    dataset, job
        Dataset and job of the DAG to run.
    task_id
        Name of the task.
    forms
        The output of a task: a list of forms.
    """
    several, field = len(dataset.variants) > 1, dataset.variant_field.name
    return RunDagOperator.partial(
        task_id=task_id,
        trigger_dag_id=dag_id_of(dataset, job),
        # A task that is tried again finds the run that it has begun.
        trigger_run_id="{{ dag.dag_id }}.{{ run_id }}.{{ ti.map_index }}",
        wait=False,
        map_index_template=f"{{{{ task.conf['{field}'] }}}}" if several else "{{ ti.map_index }}",
    ).expand(conf=forms)

"""DAG `bring_in_code`: models that are code of their own."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, chain, task

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.alerts.notifications import CodeWaits, alerts_of_runs
from model_loop.orchestration.conventions import Tag, step
from model_loop.orchestration.forms.code import code_form
from model_loop.orchestration.graphs.declaring import access_of_roles, dag_of
from model_loop.orchestration.names import (
    ASK,
    BRING_IN_CODE,
    CHOICES,
    INSPECT,
    LOCKED,
    PROMOTION,
    REJECTED,
    RESULTS,
    SHOWN,
    dag_id_of,
)
from model_loop.settings import get_settings, split_list


class CodeApproval(HITLOperator):
    """Shows the contents of a folder, and gives their digest with the answer.

    A folder that is inspected anew afterwards is not what this approval was given for.
    """

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - as the provider's
        """Ask, then wait for the answer."""
        contents = context["ti"].xcom_pull(task_ids=INSPECT)
        self.body = contents["markdown"]
        # The folder may have been inspected anew before the answer comes.
        context["ti"].xcom_push(SHOWN, contents["digest"])
        context["ti"].xcom_push(LOCKED, contents["locked"])
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return the answer with the digest that was shown."""
        shown = {
            key: context["ti"].xcom_pull(task_ids=self.task_id, key=key) for key in (SHOWN, LOCKED)
        }
        return {**super().execute_complete(context, event), **shown}


def declare_code(dataset: Dataset) -> None:
    """Declare the DAG that brings code in, if the operator's setting allows code."""
    settings = get_settings()
    if not settings.code:
        return
    with dag_of(
        dataset,
        BRING_IN_CODE,
        description="Brings in a model that is code of its own, after an approval.",
        doc=f"""
### A model that is code of its own

**It is code**: whoever may start this DAG and approve its runs may run what they like, within the
bounds of the runner. Roles that may start it are those of the setting `MODEL_LOOP_CODE_ROLES`.

Reads the folder, and runs nothing of it; fixes all packages of its environment to versions and
digests. An approval then shows the digest and size of every file,
the requirements, and the names of the environment values. After a yes, the environment is built
from wheels alone, the code predicts a few {dataset.rows[0]} in the runner, and becomes a version in
the registry with the digest of all of it; the history holds every digest, who has asked, and who
has approved. It answers nobody before the DAG `{dag_id_of(dataset, PROMOTION)}` has let it.

**If it fails:** nothing answers that did not answer before. The mail and the task's log say why,
with the end of the log of a build that failed, and of what the code has printed.
""",
        tags=(Tag.REGISTRY,),
        form=code_form(dataset),
        access=access_of_roles(split_list(settings.code_roles)),
        max_active_runs=20,
        **alerts_of_runs(announces=True),
    ):
        inspected = step("code:inspect", task_id=INSPECT)()
        approval = CodeApproval(
            task_id=ASK,
            subject=f"Shall the code {{{{ params.code }}}} answer for {dataset.title}?",
            options=list(CHOICES),
            # Without an answer, no code comes in.
            defaults=[REJECTED],
            notifiers=CodeWaits(),
            response_timeout=dt.timedelta(hours=settings.approval_hours),
        )
        answered = step("code:after_the_answer", task.branch)(answer=approval.output)
        built = step("code:build")(answer=approval.output)
        registered = step("code:register", task_id=RESULTS)(answer=approval.output)
        refused = step("code:refuse")(answer=approval.output)
        chain(inspected, approval, answered, [built, refused])
        chain(built, registered)

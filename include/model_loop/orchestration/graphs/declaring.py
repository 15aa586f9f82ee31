"""Arguments that all DAGs of a dataset share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.definitions.param import ParamsDict

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.conventions import Tag, default_args
from model_loop.orchestration.forms.fields import FormFields
from model_loop.orchestration.names import dag_id_of, owner_of

#: Permissions by role and kind of resource, as Airflow calls them.
Access = dict[str, dict[str, list[str]]]

_RUNS = "DAG Runs"
#: Permissions of a declaration, as Airflow calls them: kinds of resources and actions. To see a run
#: or to start one, Airflow asks for permissions on both the DAG and its runs.
_PERMISSIONS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "read": (("DAGs", "can_read"), (_RUNS, "can_read")),
        "edit": (("DAGs", "can_edit"),),
        "delete": (("DAGs", "can_delete"),),
        "run": (("DAGs", "can_edit"), (_RUNS, "can_create")),
    }
)


@contextlib.contextmanager
def dag_of(
    dataset: Dataset,
    job: str,
    *,
    description: str,
    doc: str,
    tags: tuple[Tag, ...],
    form: FormFields,
    schedule: Any = None,  # noqa: ANN401 - Airflow takes timetables, assets and expressions
    access: Access | None = None,
    **options: Any,  # noqa: ANN401 - Airflow's own
) -> Iterator[DAG]:
    """Make the DAG of a job, which is filled in a ``with`` statement.

    Airflow copies the form that a DAG has into each task that is made, and serializes every copy,
    which takes most of the time of reading DAGs. A run merges both, so the DAG gets its form last.

    Parameters
    ----------
    dataset
        Its dataset: id, display name, tags, owner and access follow from it.
    job
        Name of the job; see `names`.
    description
        One line, for lists of DAGs.
    doc
        Documentation in Markdown, with what to do if a run fails.
    tags
        Tags beside that of the package and, where the id has a prefix, that of the dataset.
    form
        Fields of the trigger form.
    access
        Permissions of roles in place of those that the dataset declares.
    """
    own_tags: tuple[str, ...] = ()
    if dataset.names.dag_prefix:
        options["dag_display_name"] = f"{dataset.title}: {job.replace('_', ' ')}"
        own_tags = (dataset.name,)
    with DAG(
        dag_id=dag_id_of(dataset, job),
        description=description,
        doc_md=doc,
        schedule=schedule,
        catchup=False,
        is_paused_upon_creation=False,
        tags=[Tag.MODEL_LOOP, *tags, *own_tags],
        default_args=default_args(owner_of(dataset)),
        access_control=_access_control(dataset) if access is None else access or None,
        **options,
    ) as dag:
        yield dag
    dag.params = ParamsDict(form)


def access_of_roles(roles: Iterable[str]) -> Access:
    """Return permissions by which some roles may see and start the runs of a DAG."""
    return _access_of(dict.fromkeys(roles, ("read", "run")))


def _access_control(dataset: Dataset) -> Access | None:
    """Return the permissions of each role that the declaration names; None if it names none."""
    return _access_of(dataset.declaration.access if dataset.declaration else {}) or None


def _access_of(declared: Mapping[str, Sequence[str]]) -> Access:
    found: Access = {}
    for role, permissions in declared.items():
        for resource, action in sorted(
            {pair for name in permissions for pair in _PERMISSIONS[name]}
        ):
            found.setdefault(role, {}).setdefault(resource, []).append(action)
    return found

"""The steps of the DAG that brings code in."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import Variable

from model_loop.coded.folder import CodeFolder, read_folder
from model_loop.coded.registration import (
    Approval,
    build_environment,
    dataset_for_code,
    fix_environment,
    note_admission,
    open_folder,
    register_code,
    try_code,
)
from model_loop.coded.report import contents_of, in_markdown
from model_loop.coded.sealing import Seal, parse_values
from model_loop.coded.stored import require_allowed
from model_loop.errors import InvalidInputError
from model_loop.orchestration.names import APPROVED, LOCKED, SHOWN, VALUES_PREFIX
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.steps.promotion import approver_of
from model_loop.orchestration.steps.requests import who_asked
from model_loop.settings import get_settings
from model_loop.tracking.challengers import example_rows

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.datasets.dataset import Dataset
    from model_loop.tracking.versions import ModelVersions

logger = logging.getLogger(__name__)


def inspect(params: Mapping[str, Any]) -> dict[str, Any]:
    """Read the folder, and fix the packages of its environment; nothing of it is run."""
    settings = get_settings()
    require_allowed(settings, f"The code {params['code']!r}")
    Seal(settings.code_keys)
    with _opened(params) as (_, dataset, folder):
        _values(params, folder)
        contents = contents_of(fix_environment(folder, settings))
        logger.info("%s answers for %s: %s", params["code"], dataset.name, contents["digest"])
        return {**contents, "markdown": in_markdown(contents, params["values"] or "")}


def after_the_answer(answer: Mapping[str, Any]) -> str:
    """Go on if a person has approved; otherwise note who has refused."""
    return "build" if APPROVED in answer["chosen_options"] else "refuse"


def build(answer: Mapping[str, Any] | None, params: Mapping[str, Any]) -> str:
    """Build the environment, from wheels alone; return its folder."""
    with _opened(params, answer) as (_, _, folder):
        _require_approved(folder, answer)
        return str(build_environment(folder, get_settings()))


def register(
    answer: Mapping[str, Any] | None,
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
) -> dict[str, Any]:
    """Let the code predict a few rows, and register it."""
    settings = get_settings()
    with _opened(params, answer) as (versions, dataset, folder):
        approval = _require_approved(folder, answer, params, dag_run)
        values = _values(params, folder)
        example = example_rows(
            versions,
            folder.description.columns(dataset),
            storage_root=settings.storage_root,
            timeout_seconds=settings.request_timeout_seconds,
        )
        _, predicted = try_code(folder, dataset, example, values, settings)
        identity = f"{dag_run.dag_id}/{dag_run.run_id}"
        registered = register_code(
            versions,
            folder,
            dataset,
            values,
            approval,
            identity=identity,
            keys=settings.code_keys,
        )
        note_admission(versions, folder, dataset, approval, registered.version, identity)
    logger.info("The code is version %d of %s", registered.version, registered.name)
    return {
        "model": registered.name,
        "version": registered.version,
        "digest": folder.description.digest,
        "predicted": predicted.tolist(),
    }


def refuse(
    answer: Mapping[str, Any] | None,
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
) -> dict[str, Any]:
    """Write into the history that nobody has let the code in."""
    with _opened(params, answer) as (versions, dataset, folder):
        _require_shown(folder, answer or {})
        approval = Approval(who_asked(dag_run), approver_of(answer or {}), params["why"] or "")
        identity = f"{dag_run.dag_id}/{dag_run.run_id}"
        return asdict(note_admission(versions, folder, dataset, approval, None, identity))


@contextlib.contextmanager
def _opened(
    params: Mapping[str, Any], answer: Mapping[str, Any] | None = None
) -> Iterator[tuple[ModelVersions, Dataset, CodeFolder]]:
    """Yield the versions and the dataset of a form, and the folder that it names.

    Parameters
    ----------
    answer
        Answer to the approval, with the packages that it has shown; None before it.
    """
    if not params["code"]:
        raise InvalidInputError("The form", "names no code", "Fill in the field code.")
    versions = versions_of(params["service"])
    dataset = dataset_for_code(versions)
    with open_folder(versions, params["code"], get_settings().storage_root) as path:
        locked = (answer or {}).get(LOCKED) or ()
        yield versions, dataset, read_folder(path, dataset).fixed(locked)


def _values(params: Mapping[str, Any], folder: CodeFolder) -> dict[str, str]:
    """Return the environment values, from a variable of Airflow that is meant for code."""
    name = params["values"] or ""
    if name and not name.startswith(VALUES_PREFIX):
        # A form may name no other secret of Airflow's.
        raise InvalidInputError(
            f"The variable {name!r}",
            f"does not begin with {VALUES_PREFIX}",
            "Name a variable that was made for code.",
        )
    text = str(Variable.get(name)) if name else ""
    return parse_values(text, folder.package.variables)


def _require_shown(folder: CodeFolder, answer: Mapping[str, Any]) -> None:
    if folder.description.digest != answer.get(SHOWN):
        raise InvalidInputError(
            f"The code {folder.path.name}",
            "has changed since it was shown: its digest is another",
            "Trigger the DAG anew, so that what comes in is what was approved.",
        )


def _require_approved(
    folder: CodeFolder,
    answer: Mapping[str, Any] | None,
    params: Mapping[str, Any] | None = None,
    dag_run: DagRunProtocol | None = None,
) -> Approval:
    """Refuse what is not what was approved, whatever state tasks were given by hand."""
    if answer is None or APPROVED not in answer["chosen_options"]:
        raise InvalidInputError(
            f"The code {folder.path.name}",
            "was not approved, whatever state the tasks were given by hand",
            "Trigger the DAG anew.",
        )
    _require_shown(folder, answer)
    why = (params or {}).get("why") or ""
    return Approval("" if dag_run is None else who_asked(dag_run), approver_of(answer), why)

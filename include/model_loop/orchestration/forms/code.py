"""The form of the DAG that brings code in."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.forms.fields import FormFields, Section, variant_fields
from model_loop.orchestration.names import VALUES_PREFIX


def code_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that brings code in."""
    return {
        "code": Param(
            None,
            type=["null", "string"],
            title="Code",
            description="Name of a folder in `incoming` below the storage root, with model.toml or "
            "as MLflow logs a model from code; or runs:/<run>/<path>, models:/<name>/<version>.",
            section=Section.MODEL,
        ),
        **variant_fields(dataset, Section.MODEL),
        "values": Param(
            None,
            type=["null", "string"],
            pattern=f"^{VALUES_PREFIX}[A-Za-z0-9_.-]{{1,200}}$",
            title="Environment values",
            description=f"Name of a variable of Airflow, which begins with {VALUES_PREFIX}, that "
            "holds a line NAME=value for each value that the code reads. They are never written "
            "here: forms are kept as they are.",
            section=Section.MODEL,
        ),
        "why": Param(
            None,
            type=["null", "string"],
            title="Why",
            description="Reason for the history, which also names the user who triggered the run.",
            section=Section.MODEL,
        ),
    }

"""The form of the DAG that takes true values."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.forms.fields import FormFields, Section, variant_fields

#: Days of the request log that are looked through; a hundred years at most.
_DAYS, _MOST_DAYS = 90, 36_500


def labels_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that matches files of true values with predictions."""
    return {
        "input": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="File",
            description="CSV, Parquet, Arrow or JSON lines, also packed with gzip or zip, or a "
            "folder of such files of the same columns: a path, an s3:// or an https:// address, "
            f"below a place that the operator has allowed. Its columns: {dataset.target.name}, and "
            f"prediction_id{_keys(dataset)}.",
            section=Section.FILES,
        ),
        **variant_fields(dataset, Section.FILES),
        "days": Param(
            _DAYS,
            type="number",
            exclusiveMinimum=0,
            maximum=_MOST_DAYS,
            title="Days",
            description="Days of the request log to look through.",
            section=Section.HOW,
        ),
    }


def _keys(dataset: Dataset) -> str:
    """Return the declared keys in words; nothing where there are none."""
    declared = dataset.declaration
    keys = (declared.label_keys or declared.primary_key) if declared else ()
    return f", or the keys {', '.join(keys)}" if keys else ""

"""The form of the DAG that scores files."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.forms.data import source_form
from model_loop.orchestration.forms.fields import FormFields, Section, setting_field
from model_loop.orchestration.forms.partitions import partitions_field
from model_loop.orchestration.forms.prediction import version_form


def batch_scoring_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that scores files."""
    many, rows = dataset.partitions[0], dataset.rows[0].replace(" ", "_")
    section = f"Or whole {many}"
    named = {
        dataset.names.partitions: partitions_field(
            dataset,
            many.capitalize(),
            f"In place of a file, published {many}, one a line: {dataset.partition_example}. "
            "Their predictions go to the folder predictions of the storage root.",
            section,
        ),
        **source_form(dataset, section),
    }
    return {
        "input": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="File",
            description="A file (CSV, JSON lines, Parquet, Arrow), or a folder of such files, "
            "under the storage root or a folder that the operator has allowed: a path or an s3:// "
            "address.",
            section=Section.FILES,
        ),
        "output": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="Output",
            description="A file of the same kind, or a folder. Left empty, beside the input: "
            f"{rows}.csv becomes {rows}.predictions.csv.",
            section=Section.FILES,
        ),
        **({} if dataset.partition == "whole" else named),
        **version_form(dataset),
        "chunk_rows": setting_field("scoring_chunk_rows", Section.HOW),
        "overwrite": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Overwrite",
            description="Replace predictions that are there already.",
            section=Section.HOW,
        ),
    }

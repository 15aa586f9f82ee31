"""The form of the DAG that scores files."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.data import source_form
from model_loop.orchestration.forms.fields import FormFields, Section, setting_field
from model_loop.orchestration.forms.prediction import version_form
from trip_duration.months import MONTH_PATTERN


def batch_scoring_form() -> FormFields:
    """Fields of the DAG that scores files."""
    return {
        "input": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="File",
            description="A Parquet or CSV file, or a folder of such files, under the storage root "
            "or a folder that the operator has allowed: a path or an s3:// address.",
            section=Section.FILES,
        ),
        "output": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="Output",
            description="A file of the same kind, or a folder. Left empty, beside the input: "
            "trips.csv becomes trips.predictions.csv.",
            section=Section.FILES,
        ),
        "months": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": MONTH_PATTERN},
            title="Months",
            description="In place of a file, published months of the service, one a line: 2024-04. "
            "Their predictions go to the folder predictions of the storage root.",
            section=Section.MONTHS,
        ),
        **source_form(Section.MONTHS),
        **version_form(),
        "chunk_rows": setting_field("scoring_chunk_rows", Section.HOW),
        "overwrite": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Overwrite",
            description="Replace predictions that are there already.",
            section=Section.HOW,
        ),
    }

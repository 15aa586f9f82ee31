"""The form of the DAG that blends families."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.forms.fields import FormFields, Section, moment_fields, variant_fields


def blend_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that blends registered versions."""
    return {
        **variant_fields(dataset, Section.MODELS),
        **moment_fields(
            dataset,
            "that of the newest training",
            "Models that are asked at the same moment are blended.",
            Section.MODELS,
        ),
        "versions": Param(
            None,
            type=["null", "array"],
            items={"type": "integer", "minimum": 1},
            title="Versions",
            description="Numbers in the registry, of which the best of each family may be blended. "
            "Left empty, all that were chosen by the same validation rows as the newest.",
            section=Section.MODELS,
        ),
    }

"""Fields that name partitions: months, weeks or days; none where a table comes as one."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.forms.fields import FormFields, Section, option_fields
from model_loop.training_set.request import TrainingSetRequest


def partition_fields(dataset: Dataset) -> FormFields:
    """Return the fields that say which partitions are learned from, tuned on and judged by."""
    if dataset.partition == "whole":
        return {}
    if dataset.declaration is None:
        names = ("train_months", "validation_months", "test_months")
        return option_fields(TrainingSetRequest, Section.DATA, names)
    many, example = dataset.partitions[0], dataset.partition_example
    texts = {
        "train": f"{many.capitalize()} to learn from, one a line: {example}. Left empty, those "
        "that the split of the declaration gives.",
        "validation": f"{many.capitalize()} to tune on; they follow those to learn from.",
        "test": f"{many.capitalize()} to judge by; they follow those to tune on.",
    }
    return {
        name: partitions_field(dataset, f"{name.capitalize()} {many}", text, Section.DATA)
        for name, text in texts.items()
    }


def partitions_field(dataset: Dataset, title: str, description: str, section: str) -> Param:
    """Return a field for a list of partitions, which may be empty."""
    return Param(
        None,
        type=["null", "array"],
        items={"type": "string", "pattern": dataset.partition_pattern},
        title=title,
        description=description,
        section=section,
    )

"""Forms about partitions and training sets."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    choice_field,
    option_fields,
    setting_field,
    variant_fields,
)
from model_loop.orchestration.forms.partitions import partition_fields
from model_loop.training_set.request import TrainingSetRequest


def source_form(dataset: Dataset, section: str = Section.DATA) -> FormFields:
    """Return the field that says where partitions come from."""
    if dataset.declaration is None:
        return option_fields(TrainingSetRequest, section, ["source"])
    return {
        "source": Param(
            dataset.declaration.source,
            type="string",
            minLength=1,
            title="Source",
            description="Path, s3:// or https:// address of the files, that of the declaration "
            "unless it is replaced. A run names only what the operator allows.",
            section=section,
        )
    }


def watch_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that waits for partitions."""
    return {
        **source_form(dataset),
        **variant_fields(dataset, Section.DATA),
        "poll_seconds": setting_field("watch_poll_seconds", Section.DATA),
    }


def preparation_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that prepares training sets."""
    return {
        **data_form(dataset),
        "rebuild": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Build again",
            description="Build the training set even if the source has not changed since the last "
            "time.",
            section=Section.DATA,
        ),
    }


def data_form(dataset: Dataset) -> FormFields:
    """Return the fields of every DAG that needs a training set."""
    fields = {
        **source_form(dataset),
        **variant_fields(dataset, Section.DATA),
        **partition_fields(dataset),
    }
    if dataset.declaration is None:
        options = option_fields(TrainingSetRequest, Section.DATA)
        given = {"service", "recipe", "encoding"} | fields.keys()
        fields |= {name: field for name, field in options.items() if name not in given}
    else:
        fields |= acceptance_form()
    return {**fields, **model_input_form(dataset)}


def acceptance_form() -> FormFields:
    """Return the field that lets an operator overrule the comparison of partitions."""
    return option_fields(TrainingSetRequest, Section.DATA, ["accepted_findings"])


def model_input_form(dataset: Dataset) -> FormFields:
    """Return the fields that say what a model may know, and in which form it gets it.

    Nothing is asked about the recipe where there is only one.
    """
    fields = option_fields(TrainingSetRequest, Section.MODEL_INPUT, ["encoding"])
    if len(dataset.recipes) == 1:
        return fields
    recipe = choice_field(
        dataset.default_recipe,
        {
            name: f"{name}: {recipe.title}; {recipe.asked}"
            for name, recipe in dataset.recipes.items()
        },
        "Recipe",
        f"Columns of a {dataset.rows[1]} that the model may use, and so the moment from which it "
        "can predict.",
        section=Section.MODEL_INPUT,
    )
    return {"recipe": recipe, **fields}

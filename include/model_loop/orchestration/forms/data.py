"""Forms about partitions and training sets."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.options import options_of
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    choice_field,
    option_fields,
    setting_field,
    variant_fields,
)
from model_loop.orchestration.forms.partitions import partitions_field
from model_loop.training_set.options import training_set_options


def source_form(dataset: Dataset, section: str = Section.DATA) -> FormFields:
    """Return the field that says where partitions come from."""
    if dataset.declaration is None:
        return option_fields(training_set_options(dataset), section, ["source"])
    return {
        "source": Param(
            str(dataset.declaration.source),
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
    options = option_fields(training_set_options(dataset), Section.DATA)
    model_inputs = model_input_form(dataset)
    fields = {**source_form(dataset), **variant_fields(dataset, Section.DATA)}
    fields |= {
        name: field
        for name, field in options.items()
        if name not in fields and name not in {"recipe", "encoding"}
    }
    if dataset.partition == "whole":
        fields.pop("partitions", None)
    elif "partitions" in fields:
        many = dataset.partitions[0]
        fields["partitions"] = partitions_field(
            dataset,
            many.capitalize(),
            f"{many.capitalize()} to read, one a line: {dataset.partition_example}. Left empty, "
            "all that the source has.",
            Section.DATA,
        )
    return {**fields, **model_inputs}


def acceptance_form(dataset: Dataset) -> FormFields:
    """Return the field that lets an operator overrule the comparison of partitions."""
    return option_fields(training_set_options(dataset), Section.DATA, ["accepted_findings"])


def model_input_form(dataset: Dataset) -> FormFields:
    """Return the fields that say what a model may know, and in which form it gets it.

    Nothing is asked where there is only one recipe, or one encoding.
    """
    options = training_set_options(dataset)
    encoding = ["encoding"] if "encoding" in options_of(options) else []
    fields = option_fields(options, Section.MODEL_INPUT, encoding) if encoding else {}
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

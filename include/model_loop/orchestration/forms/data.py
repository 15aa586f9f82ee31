"""Forms about months and training sets."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    option_fields,
    service_field,
    setting_field,
)
from model_loop.training_set.request import TrainingSetRequest


def source_form(section: str = Section.DATA) -> FormFields:
    """Return the field that says where months come from."""
    return option_fields(TrainingSetRequest, section, ["source"])


def watch_form() -> FormFields:
    """Return the fields of the DAG that waits for months."""
    return {
        **source_form(),
        "service": service_field(Section.DATA),
        "poll_seconds": setting_field("watch_poll_seconds", Section.DATA),
    }


def preparation_form() -> FormFields:
    """Return the fields of the DAG that prepares training sets."""
    return {
        **data_form(),
        "rebuild": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Build again",
            description="Build the training set even if the source has not changed since the last "
            "time.",
            section=Section.DATA,
        ),
    }


def data_form() -> FormFields:
    """Return the fields of every DAG that needs a training set."""
    return {**option_fields(TrainingSetRequest, Section.DATA), **model_input_form()}


def acceptance_form() -> FormFields:
    """Return the field that lets an operator overrule the comparison of months."""
    return option_fields(TrainingSetRequest, Section.DATA, ["accepted_findings"])


def model_input_form() -> FormFields:
    """Return the fields that say what a model may know, and in which form it gets it."""
    return option_fields(TrainingSetRequest, Section.MODEL_INPUT, ["recipe", "encoding"])

"""The form of the DAG that closes the loop."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.forms.data import model_input_form, source_form
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    setting_field,
    variant_fields,
)
from model_loop.orchestration.forms.promotion import gate_form
from model_loop.orchestration.forms.training import models_form, search_form
from model_loop.partitions.keys import comes_as_one


def retraining_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that prepares, trains and promotes."""
    section = dataset.partitions[0].capitalize()
    return {
        **_window_form(dataset, section),
        "again": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Once more",
            description=f"Train even if these {dataset.partitions[0]} were trained on before.",
            section=section,
        ),
        "why": Param(
            None,
            type=["null", "string"],
            title="Why",
            description="Reason for the history of promotions. Left empty, the event or the user "
            "that started the run.",
            section=section,
        ),
        **source_form(dataset),
        **variant_fields(dataset, Section.DATA),
        **model_input_form(dataset),
        **models_form(dataset),
        **search_form(dataset),
        "blend": setting_field("blend", Section.MODELS),
        "promote": Param(
            True,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Promote",
            description="Let the best model try the gate; otherwise it is only registered.",
            section=Section.GATE,
        ),
        **gate_form(dataset),
    }


def _window_form(dataset: Dataset, section: str) -> FormFields:
    """Return the fields that say which partitions are taken; none of a table that comes as one."""
    (many, one), words = dataset.partitions, dataset.names.partitions
    counted = bool(dataset.extensions.retrained_on)
    if comes_as_one(dataset):
        return {}
    before = (
        f"the {one} before is tuned on"
        if counted
        else f"all {many} up to it are taken, and split as the declaration says"
    )
    newest = Param(
        None,
        type=["null", "string"],
        pattern=dataset.partition_pattern,
        title=f"Newest {one}",
        description=f"The {one} to judge by, such as {dataset.partition_example}; {before}. Left "
        "empty, the newest that the source has published.",
        section=section,
    )
    if not counted:
        return {f"newest_{words.removesuffix('s')}": newest}
    return {
        f"newest_{words.removesuffix('s')}": newest,
        f"train_{words}_count": setting_field(
            "retraining_train_partitions",
            section,
            title=f"Number of train {many}",
            description=f"Number of {many} that a retraining learns from.",
        ),
    }

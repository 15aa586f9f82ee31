"""The form of the DAG that moves versions."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.models.gate_rules import GateRules
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    choice_field,
    moment_fields,
    option_fields,
    variant_fields,
    version_field,
)
from model_loop.settings import get_settings


def promotion_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that moves versions."""
    return {
        "action": choice_field(
            "promote",
            {
                "promote": "promote: become champion",
                "canary": "canary: answer a share of the requests",
                "end_canary": "end_canary: the champion answers all requests again",
                "shadow": "shadow: answer unseen",
                "end_shadow": "end_shadow: nothing answers unseen any longer",
                "rollback": "rollback: to the champion before, or to a version",
                "disable": "disable: nothing answers",
                "enable": "enable: the champion answers again",
                "retire": "retire: never answer again",
            },
            "Action",
            "Action to take.",
            section=Section.ACTION,
        ),
        **variant_fields(dataset, Section.ACTION),
        "version": version_field(
            Section.ACTION,
            "promote takes the best of the newest training set (where nothing answers yet, the "
            "next best follows one that is refused), and rollback the champion before",
        ),
        **moment_fields(
            dataset,
            "by the version",
            "Each moment of prediction has one champion. By the version: the moment of the "
            "version; without a version, promote means that of the newest training, rollback that "
            "of the last changed champion, disable and enable all moments.",
            Section.ACTION,
        ),
        "model": Param(
            None,
            type=["null", "string"],
            title="Model from elsewhere",
            description="promote: a model that was trained elsewhere goes through the gate. "
            "runs:/<run>/<path>, models:/<name>/<version>, or the name of an MLflow model's folder "
            "in `incoming` below the storage root.",
            section=Section.ACTION,
        ),
        "share": Param(
            0.1,
            type="number",
            exclusiveMinimum=0,
            maximum=1,
            title="Share",
            description="canary: share of the requests.",
            section=Section.ACTION,
        ),
        "why": Param(
            None,
            type=["null", "string"],
            title="Why",
            description="Reason for the history, which also names the user who triggered the run.",
            section=Section.ACTION,
        ),
        "gate": Param(
            True,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Through the gate",
            description="Without the gate, promote moves the named version at once.",
            section=Section.GATE,
        ),
        **gate_form(dataset),
    }


def override_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that moves versions past gate and approval.

    They are those of the move alone.
    """
    form = promotion_form(dataset)
    left_out = {"model", "gate", *gate_form(dataset)} - {"accept_generated_data"}
    return {name: param for name, param in form.items() if name not in left_out}


def gate_form(dataset: Dataset) -> FormFields:
    """Return the fields that say what a challenger has to pass."""
    return {
        "approval": Param(
            get_settings().approval,
            type="boolean",
            title="Ask a person",
            description="Wait for an approval in the Airflow UI after the gate has passed. An "
            "operator's setting that requires approvals cannot be lowered here.",
            section=Section.GATE,
        ),
        "accept_generated_data": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Accept generated data",
            description="Let a model of SAMPLE data take the place of a champion of published "
            f"{dataset.rows[0]}, or answer beside it. History, mail and dashboard repeat it.",
            section=Section.GATE,
        ),
        **option_fields(GateRules, Section.GATE),
    }

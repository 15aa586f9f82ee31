"""The form of the DAG that delivers alerts."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.fields import FormFields, Section


def alerts_form() -> FormFields:
    """The field of the DAG that delivers alerts."""
    return {
        "test": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Send a test",
            description="Send a test through every channel, to see that alerts arrive.",
            section=Section.ACTION,
        )
    }

"""The form of the DAG that closes the loop."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.data import model_input_form, source_form
from model_loop.orchestration.forms.fields import FormFields, Section, service_field, setting_field
from model_loop.orchestration.forms.promotion import gate_form
from model_loop.orchestration.forms.training import models_form, search_form
from trip_duration.months import MONTH_PATTERN


def retraining_form() -> FormFields:
    """Fields of the DAG that prepares, trains and promotes."""
    return {
        "newest_month": Param(
            None,
            type=["null", "string"],
            pattern=MONTH_PATTERN,
            title="Newest month",
            description="The month to judge by, as YYYY-MM; the month before is tuned on. Left "
            "empty, the newest that the source has published.",
            section=Section.WINDOW,
        ),
        "train_months_count": setting_field("retraining_train_months", Section.WINDOW),
        "again": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Once more",
            description="Train even if these months were trained on before.",
            section=Section.WINDOW,
        ),
        "why": Param(
            None,
            type=["null", "string"],
            title="Why",
            description="Reason for the history of promotions. Left empty, the event or the user "
            "that started the run.",
            section=Section.WINDOW,
        ),
        **source_form(),
        "service": service_field(Section.DATA),
        **model_input_form(),
        **models_form(),
        **search_form(),
        "promote": Param(
            True,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Promote",
            description="Let the best model try the gate; otherwise it is only registered.",
            section=Section.GATE,
        ),
        **gate_form(),
    }

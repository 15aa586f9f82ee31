"""Settings of alerts."""

from __future__ import annotations

from pydantic import Field

from model_loop.settings.part import Part


class AlertSettings(Part):
    """Recipients and contents of alerts."""

    mail_to: str = Field(
        default="ml-team@example.com",
        title="Mail to",
        description="Addresses that failures are mailed to, separated by commas.",
    )
    mail_from: str = Field(
        default="airflow@example.com", title="Mail from", description="Sender of the mails."
    )
    alert_failure: bool = Field(
        default=True, title="Alert: failure", description="A task failed for good."
    )
    alert_success: bool = Field(
        default=False,
        title="Alert: success",
        description="A training run ended well: families, errors, links.",
    )
    alert_deadline: bool = Field(
        default=True, title="Alert: deadline", description="A run is not done in time."
    )
    alert_data: bool = Field(
        default=True,
        title="Alert: data",
        description="A partition differs from those before it; it is used all the same.",
    )
    alert_gate_refused: bool = Field(
        default=True, title="Alert: gate", description="A challenger did not pass the gate."
    )
    alert_approval: bool = Field(
        default=True, title="Alert: approval", description="A promotion waits for an approval."
    )
    alert_drift: bool = Field(
        default=True, title="Alert: drift", description="The rows, or the errors, have changed."
    )
    alert_promotion: bool = Field(
        default=True, title="Alert: promotion", description="Another version became champion."
    )
    alert_rollback: bool = Field(
        default=True, title="Alert: rollback", description="A former version is champion again."
    )
    alert_canary: bool = Field(
        default=True,
        title="Alert: canary",
        description="A canary has ended by itself, or is better than the champion.",
    )
    alert_window_seconds: int = Field(
        default=300,
        ge=0,
        title="Window of a storm",
        description="Longest pause (seconds) between two mails when many things fail at once; "
        "failures during the pause are bundled into one mail. 0 bundles nothing.",
    )
    preparation_deadline_hours: float = Field(
        default=3.0,
        gt=0,
        title="Deadline of a preparation",
        description="Hours after which a run of data_preparation is reported as late.",
    )
    training_deadline_hours: float = Field(
        default=12.0,
        gt=0,
        title="Deadline of a training",
        description="Hours after which a training run is reported as late.",
    )

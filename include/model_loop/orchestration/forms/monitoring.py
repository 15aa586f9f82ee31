"""The form of the DAG that looks for drift."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.data import source_form
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    choice_field,
    service_field,
    setting_field,
    version_field,
)
from trip_duration.months import MONTH_PATTERN


def monitoring_form() -> FormFields:
    """Fields of the DAG that compares what is asked with what was learned."""
    return {**_window_form(), **source_form(), **_judging_form()}


def _window_form() -> FormFields:
    return {
        "service": service_field(Section.WATCHED),
        "version": version_field(Section.WATCHED, "every champion, one for each moment"),
        "window_source": choice_field(
            "request_log",
            {
                "request_log": "request log: requests to the prediction server",
                "month": "month: every trip of a month, predicted now",
            },
            "Trips of the window",
            "Source of the trips. With month, the schedule takes the previous month, on the first "
            "of each.",
            section=Section.WATCHED,
        ),
        "months": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "pattern": MONTH_PATTERN},
            title="Months",
            description="Windows, one a line: 2024-01.",
            section=Section.WATCHED,
        ),
        "first_day": _day_field("First day", "Begin of the window (UTC), instead of months."),
        "last_day": _day_field("Last day", "End of the window; left empty, the first day."),
        "outputs": Param(
            [],
            type=["null", "array"],
            items={"type": "string"},
            title="Scored files",
            description="Outputs of batch_scoring as the window, one a line, instead of months "
            "and days.",
            section=Section.WATCHED,
        ),
    }


def _day_field(title: str, description: str) -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title=title,
        description=description,
        section=Section.WATCHED,
    )


def _judging_form() -> FormFields:
    return {
        "thresholds": Param(
            {},
            type=["null", "object"],
            title="Thresholds",
            description='Warn and act by metric, in place of those of the settings: {"psi": '
            "[0.1, 0.25]}.",
            section=Section.JUDGED,
        ),
        "least_trips": setting_field("monitoring_trips", Section.JUDGED),
        "cooldown_hours": setting_field(
            "cooldown_hours",
            Section.JUDGED,
            title="Cooldown (hours)",
            description="Hours after a mail or a retraining during which it is not repeated.",
        ),
        "report": Param(
            True,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Report",
            description="Make Evidently's report of each window: 4 MB of HTML, some ten seconds.",
            section=Section.JUDGED,
        ),
        "act": Param(
            True,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Act",
            description="Mail and start retraining if the last window requires it; otherwise only "
            "record the findings, as in a backfill.",
            section=Section.JUDGED,
        ),
    }

"""The form of the DAG that removes what nobody needs any more."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.fields import Form, Section, number_field
from model_loop.settings import get_settings


def maintenance_form() -> Form:
    """Fields of the DAG that removes what nobody needs any more."""
    settings = get_settings()
    return {
        "versions": number_field(
            settings.retention_versions,
            "Versions kept",
            "Newest training sets of each service, recipe and encoding that are never removed.",
            section=Section.RETENTION,
        ),
        "days": Param(
            settings.retention_days,
            type="number",
            minimum=0,
            title="Days kept",
            description="Older training sets and months stay if they were used within so many "
            "days.",
            section=Section.RETENTION,
        ),
        "log_days": Param(
            settings.log_retention_days,
            type="number",
            exclusiveMinimum=0,
            title="Days of logs kept",
            description="Logs of tasks that nobody has written to for so many days are removed.",
            section=Section.RETENTION,
        ),
        "only_look": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Only look",
            description="List what would be removed, and remove nothing.",
            section=Section.RETENTION,
        ),
    }

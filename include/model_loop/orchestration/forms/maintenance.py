"""The form of the DAG that removes what nobody needs any more."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.fields import FormFields, Section, setting_field


def maintenance_form() -> FormFields:
    """Fields of the DAG that removes what nobody needs any more."""
    return {
        "versions": setting_field("retention_versions", Section.RETENTION),
        "days": setting_field("retention_days", Section.RETENTION),
        "cache_bytes": setting_field("cache_bytes", Section.RETENTION),
        "log_days": setting_field("log_retention_days", Section.RETENTION),
        "only_look": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Only look",
            description="List the files that would be removed, and remove nothing.",
            section=Section.RETENTION,
        ),
    }

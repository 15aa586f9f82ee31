"""The form of the DAG that looks for drift."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.orchestration.forms.data import source_form
from model_loop.orchestration.forms.fields import (
    FormFields,
    Section,
    choice_field,
    setting_field,
    variant_fields,
    version_field,
)
from model_loop.orchestration.forms.partitions import partitions_field


def monitoring_form(dataset: Dataset) -> FormFields:
    """Return the fields of the DAG that compares what is asked with what was learned."""
    return {**_window_form(dataset), **source_form(dataset), **_judging_form(dataset)}


def _window_form(dataset: Dataset) -> FormFields:
    (many, one), rows = dataset.partitions, dataset.rows[0]
    schedule = (
        f" With {one}, the schedule looks at the one before, when the next has begun."
        if dataset.partition != "whole"
        else ""
    )
    named = {
        dataset.names.partitions: partitions_field(
            dataset,
            many.capitalize(),
            f"Windows, one a line: {dataset.partition_example}.",
            Section.WATCHED,
        )
    }
    return {
        **variant_fields(dataset, Section.WATCHED),
        "version": version_field(Section.WATCHED, "every champion, one for each moment"),
        "window_source": choice_field(
            "request_log",
            {
                "request_log": "request log: requests to the prediction server",
                one: f"{one}: every row of a {one}, predicted now",
            },
            f"{rows.capitalize()} of the window",
            f"Source of the {rows}.{schedule}",
            section=Section.WATCHED,
        ),
        **({} if dataset.partition == "whole" else named),
        "first_day": _day_field("First day", "Begin of the window (UTC), instead of the above."),
        "last_day": _day_field("Last day", "End of the window; left empty, the first day."),
        "outputs": Param(
            [],
            type=["null", "array"],
            items={"type": "string"},
            title="Scored files",
            description="Outputs of batch_scoring as the window, one a line, instead of the above.",
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


def _judging_form(dataset: Dataset) -> FormFields:
    return {
        "thresholds": Param(
            {},
            type=["null", "object"],
            title="Thresholds",
            description='Warn and act by metric, in place of those of the settings: {"psi": '
            "[0.1, 0.25]}.",
            section=Section.JUDGED,
        ),
        dataset.names.least_rows: setting_field("monitoring_rows", Section.JUDGED),
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

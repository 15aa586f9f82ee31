"""Findings of the comparison of a month with earlier ones, on the page of the months."""

from __future__ import annotations

from tests.dashboard.conftest import Documents, MakeSources

from model_loop.charts.chart import Chart
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.types import LoggedPartition
from model_loop.findings import Finding

MONTH = LoggedPartition("3" * 32, "green", "2024-03", "sample", 1.7e9, {"rows": 60.0})
DOUBT = Finding("thin_days", None, "2024-03", "warning", "4 days are thin.", "Look at them.")


def shown(make_sources: MakeSources, *findings: Finding) -> Chart:
    """The table of findings about a month."""
    content = {"findings": [finding.to_json() for finding in findings]}
    documents = Documents({f"{MONTH.run_id}/findings.json": content})
    page = PAGES["data"](make_sources(documents, partitions=(MONTH,)), {})
    return next(chart for chart in page.charts if chart.name == "findings")


def test_doubts_about_a_month_are_shown(make_sources: MakeSources) -> None:
    """A finding is a line with its level, code, message and remedy."""
    (row,) = shown(make_sources, DOUBT).table.rows
    assert row == ("warning", "thin_days", "", "4 days are thin.", "Look at them.")


def test_a_month_without_findings_says_so(make_sources: MakeSources) -> None:
    """An empty list looks different from a month that was never compared."""
    empty = shown(make_sources).empty
    assert empty is not None
    assert "Nothing about this month is unusual" in empty.why

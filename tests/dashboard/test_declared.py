"""Pages of a declared table: in its words and units."""

from __future__ import annotations

import dataclasses

import pytest
from tests.dashboard.conftest import MakeSources
from tests.heating import heating

from model_loop.dashboard.comparable import model_input
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.rendering import render
from model_loop.dashboard.types import FamilyRun

RUN = FamilyRun(
    run_id="1" * 32,
    pipeline="xgboost_training",
    dag_run="manual",
    family="xgboost",
    service="heating",
    recipe="request",
    source="folder",
    status="FINISHED",
    started=1.7e9,
    metrics={"test_rmse": 4.25, "validation_rmse": 4.5, "test_mse": 18.0625},
    settings={},
    moment="request",
    test_months="2024-03",
    rows="digest",
)


@pytest.mark.parametrize("name", ["overview", "models", "monitoring"])
def test_pages_are_in_the_words_of_the_dataset(make_sources: MakeSources, name: str) -> None:
    """Its title, its unit and rows; no word of another table."""
    heating()
    sources = dataclasses.replace(make_sources(families=(RUN,)), service="heating")
    page = PAGES[name](sources, {})
    html = render(page, query={}, may_promote=False, service=sources.service)
    for foreign in ("taxi", " trips", "(min)", "minutes²"):
        assert foreign not in html
    if name == "overview":
        assert page.lead.startswith("Heat of buildings: ")
        drawn = {chart.name: chart for chart in page.charts}
        assert drawn["rmse_by_model"].unit == "kWh"
        assert "4.25 kWh" in drawn["rmse_by_model"].about
        assert drawn["mse_over_time"].unit == "kWh²"
        assert drawn["mse_over_time"].table.columns[3:5] == ("MSE (kWh²)", "RMSE (kWh)")


def test_a_run_names_the_moment_of_its_dataset() -> None:
    """Also one whose dataset was removed is named, by its recipe."""
    heating()
    assert model_input(RUN) == "request, asked at the moment request"
    assert model_input(dataclasses.replace(RUN, service="removed")) == "request"

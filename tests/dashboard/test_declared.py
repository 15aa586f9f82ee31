"""Pages of a declared table: in its words and units."""

from __future__ import annotations

import dataclasses
import re

import pytest
from tests.dashboard.conftest import Documents, MakeSources
from tests.heating import heating

from model_loop.charts.chart import Empty
from model_loop.charts.partitions import partition_charts
from model_loop.dashboard.comparable import model_input
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.rendering import PageContext, render
from model_loop.dashboard.types import DagRuns, FamilyRun, LoggedPartition

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
    test_partitions="2024-03",
    rows="digest",
)


FOREIGN = re.compile(
    r"\b(taxis?|trips?|zones?|boroughs?|pick-?ups?|fares?|miles?|months? of|green|yellow|fhvhv)\b"
    r"|\(min\)|minutes²",
    re.IGNORECASE,
)
PARTITION = LoggedPartition(
    "3" * 32,
    "heating",
    "2024-03",
    "folder",
    1.7e9,
    {"rows": 60.0, "rows_quarantined": 3.0, "median_load": 21.5, "mean_load": 24.0},
)
PROFILE = {
    "columns": [
        {
            "name": "building",
            "known": 57,
            "missing": 3,
            "distinct": 4,
            "mean": None,
            "standard_deviation": None,
            "minimum": None,
            "maximum": None,
            "quantiles": {},
            "most_frequent": [["library", 30], ["pool", 27]],
        }
    ],
    "histograms": [{"column": "load", "edges": [0, 10, 20], "counts": [5, 30, 22]}],
    "per_weekday_and_hour": [[1] * 24] * 7,
    "per_day": [["2024-03-01", 2], ["2024-03-02", 3]],
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_in_the_words_of_the_dataset(make_sources: MakeSources, name: str) -> None:
    """Its title, its unit, rows and DAGs; no word of another table."""
    heating()
    documents = Documents({f"{PARTITION.run_id}/profile.json": PROFILE})
    sources = make_sources(
        documents,
        variant="heating",
        families=(RUN,),
        partitions=(PARTITION,),
        dags=DagRuns(failing={"heating__monitoring": 2, "monitoring": 1, "alerts": 3}),
    )
    page = PAGES[name](sources, {})
    html = render(page, PageContext(sources, "green", [sources.dataset]))
    text = re.sub(r"<script type=.*?</script>|<[^>]*>", " ", html)
    assert FOREIGN.findall(text) == []
    assert 'href="models?variant=heating"' in html
    drawn = {chart.name: chart for chart in page.charts}
    if name == "overview":
        assert page.lead.startswith("Heat of buildings: ")
        assert drawn["rmse_by_model"].unit == "kWh"
        assert "4.25 kWh" in drawn["rmse_by_model"].about
        assert drawn["mse_over_time"].unit == "kWh²"
        assert drawn["mse_over_time"].table.columns[3:5] == ("MSE (kWh²)", "RMSE (kWh)")
        assert [row[1] for row in drawn["alarms"].table.rows] == ["heating__monitoring", "alerts"]
        assert "heating__sklearn_training" in html
    if name == "data":
        assert {"rows_by_partition", "target_by_partition", "histogram_of_load", "rows_by_day"} <= {
            *drawn
        }
        assert drawn["target_by_partition"].table.columns == ("month", "median (kWh)", "mean (kWh)")
        assert drawn["rows_by_partition"].table.rows == [("2024-03", 57, 3)]
        assert drawn["most_frequent"].table.rows == [
            ("building", "library", 30), ("building", "pool", 27),
        ]  # fmt: skip
        assert "zones" not in drawn
        assert drawn["quarantine"].about.endswith(
            "60 rows; each row counts for the first that it breaks."
        )


def test_what_tells_nothing_is_not_drawn() -> None:
    """Hours of a time that is a day, and a column with one value."""
    dataset = heating()
    only_midnight = [[5, *[0] * 23]] * 7
    profile = {
        "histograms": [
            {"column": "load", "edges": [0, 10], "counts": [5, 30]},
            {"column": "area", "edges": [1, 2], "counts": [35, 0]},
        ],
        "per_day": [["2024-03-01", 35]],
        "per_weekday_and_hour": only_midnight,
    }
    drawn = [chart.name for chart in partition_charts(profile, dataset, Empty("none"))]
    assert drawn == ["histogram_of_load", "rows_by_day"]
    profile["per_weekday_and_hour"] = [[5, 1, *[0] * 22]] * 7
    drawn = [chart.name for chart in partition_charts(profile, dataset, Empty("none"))]
    assert drawn[-1] == "rows_by_hour"


def test_a_dataset_without_partitions_says_what_to_run(make_sources: MakeSources) -> None:
    """By its DAG, and without Airflow."""
    heating()
    sources = make_sources(variant="heating")
    html = render(PAGES["data"](sources, {}), PageContext(sources, "green"))
    assert "No month was prepared yet." in html
    assert '<a href="../../dags/heating__data_preparation" data-airflow>' in html
    assert len([*PAGES["data"](sources, {}).charts]) == 1
    html = render(PAGES["models"](sources, {}), PageContext(sources, "green"))
    assert "<code>model-loop run heating</code>" in html


def test_a_run_names_the_moment_of_its_dataset() -> None:
    """Where there are several; also one whose dataset was removed is named, by its recipe."""
    heating()
    assert model_input(RUN) == "request"
    booked = dataclasses.replace(RUN, service="green", recipe="booking", moment="booked")
    assert model_input(booked) == "booking, asked when a ride is booked"
    assert model_input(dataclasses.replace(RUN, service="removed")) == "request"

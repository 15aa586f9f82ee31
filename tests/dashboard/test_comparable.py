"""Rankings of the dashboard compare only what was judged on the same rows of one source."""

from __future__ import annotations

import dataclasses

from tests.dashboard.conftest import REGISTRY, RUN, MakeSources

from model_loop.charts.chart import Chart
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.rendering import PageContext, render
from model_loop.tracking.deployments import Deployment, HistoryEntry

REAL = dataclasses.replace(
    RUN,
    run_id="2" * 32,
    family="linear_model.Lasso",
    source="tlc",
    recipe="booking native",
    moment="booked",
    test_partitions="2024-03",
    rows="march",
    started=RUN.started + 100,
    metrics={"test_rmse": 5.6, "test_mse": 31.4, "validation_rmse": 5.5},
)
BETTER = dataclasses.replace(
    REAL,
    run_id="3" * 32,
    family="xgboost",
    started=RUN.started + 50,
    metrics={"test_rmse": 4.8, "test_mse": 23.0, "validation_rmse": 4.7},
)
APRIL = dataclasses.replace(
    REAL,
    run_id="4" * 32,
    family="xgboost",
    rows="april",
    test_partitions="2024-04",
    started=RUN.started + 40,
    metrics={"test_rmse": 3.0, "test_mse": 9.0, "validation_rmse": 3.0},
)
#: The newest first; the best errors are of generated trips, and of another month.
RUNS = (REAL, BETTER, APRIL, dataclasses.replace(RUN, rows="sample", metrics={"test_rmse": 1.0}))


def chart(make_sources: MakeSources, page: str, name: str) -> Chart:
    """Draw one chart of a page."""
    charts = PAGES[page](make_sources(families=RUNS, registry=REGISTRY), {}).charts
    return next(one for one in charts if one.name == name)


def test_the_best_family_is_the_best_on_the_same_rows(make_sources: MakeSources) -> None:
    """Errors on another month and on generated trips are left out, and that is said."""
    drawn = chart(make_sources, "overview", "rmse_by_model")
    assert [row[0] for row in drawn.table.rows] == ["xgboost", "Lasso"]
    assert [row[2] for row in drawn.table.rows] == [4.8, 5.6]
    assert "on real data (tlc), test months 2024-03" in drawn.about
    assert "Left out: 2 runs of other rows or another source." in drawn.about
    assert len(chart(make_sources, "overview", "metric_distribution").table.rows) == 2


def test_over_time_published_and_generated_trips_are_apart(make_sources: MakeSources) -> None:
    """The months of one source follow each other; those of another are not drawn beside them."""
    drawn = chart(make_sources, "overview", "mse_over_time")
    assert {row[5] for row in drawn.table.rows} == {
        "real data (tlc), test months 2024-03",
        "real data (tlc), test months 2024-04",
    }


def test_the_comparison_ranks_within_the_same_rows(make_sources: MakeSources) -> None:
    """The newest rows first, by their errors; recipe, moment, source and months stand beside."""
    drawn = chart(make_sources, "models", "comparison")
    table = [dict(zip(drawn.table.columns, row, strict=True)) for row in drawn.table.rows]
    assert [row["test RMSE"] for row in table] == [4.8, 5.6, 3.0, 1.0]
    assert [row["source"] for row in table] == [*["real data (tlc)"] * 3, "SAMPLE data"]
    assert table[0]["recipe"] == "booking native, asked when a ride is booked"
    assert table[0]["test months"] == "2024-03"


def test_versions_and_history_say_what_they_are_of(make_sources: MakeSources) -> None:
    """A version of generated trips is named as one, and so is the word that let it move."""
    remark = "SAMPLE data accepted by accept_generated_data in place of real data (tlc)"
    before, after = Deployment(champion=2), Deployment(champion=3)
    entry = HistoryEntry("promote", 3, "ada", "demo", before, after, 1.7e9, "r", remarks=remark)
    registry = dataclasses.replace(REGISTRY, history=(entry,))
    sources = make_sources(families=(RUN,), registry=registry)
    page = PAGES["models"](sources, {})
    html = render(page, PageContext(sources, "green", may_promote=True))
    assert "SAMPLE data" in html
    assert html.count(remark) >= 1
    card = next(
        one for one in PAGES["overview"](sources, {}).cards if one.label.startswith("Champion (")
    )
    assert remark in card.detail
    assert "SAMPLE data" in card.detail

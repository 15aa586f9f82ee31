"""Charts as a document of its own, as MLflow shows it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from model_loop.charts.document import document
from model_loop.charts.models import model_charts
from model_loop.charts.wording import Wording
from trip_duration.charts.months import month_charts
from trip_duration.dataset import TRIPS

CHROMIUM = shutil.which("chromium")
#: Bytes, nearly all of Plotly's script: every run of a model and of a month has such a document.
MOST_BYTES = 2_100_000

WORDS = Wording.of(TRIPS)


def test_every_chart_is_in_it(numbers: dict[str, Any], profile: dict[str, Any]) -> None:
    """Once, by its name, if it has data; the whole stays small."""
    for charts in (model_charts(numbers, WORDS), month_charts(profile)):
        html = document("green", charts)
        for chart in charts:
            drawn = bool(chart.table.rows and chart.figure)
            assert html.count(f'<figure id="{chart.name}">') == drawn, chart.name
        assert len(html.encode()) < MOST_BYTES


def test_names_are_no_markup(profile: dict[str, Any]) -> None:
    """Neither of the document nor of Plotly."""
    evil = "</script><a href='https://elsewhere'>now</a>"
    (chart,) = (one for one in month_charts(profile) if one.name == "missing_values")
    assert chart.figure is not None
    figure = {**chart.figure, "layout": {"title": evil}}
    html = document(evil, [dataclasses.replace(chart, title=evil, about=evil, figure=figure)])
    assert "elsewhere" in html
    assert "<a href" not in html
    assert html.count("</script>") == document("green", [chart]).count("</script>") == 4


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_it_is_drawn_in_a_frame_that_loads_nothing(numbers: dict[str, Any], tmp_path: Path) -> None:
    """MLflow's frame has no origin; a machine may have no internet."""
    charts = [chart for chart in model_charts(numbers, WORDS) if chart.table.rows and chart.figure]
    (tmp_path / "figures.html").write_text(document("xgboost", charts), encoding="utf-8")
    frame = '<iframe sandbox="allow-scripts" src="figures.html" width=900 height=9000></iframe>'
    (tmp_path / "mlflow.html").write_text(frame)
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 9_100})
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith(("file:", "data:")) else faults.append(asked.url)
            ),
        )
        page.goto((tmp_path / "mlflow.html").as_uri())
        plots = page.frame_locator("iframe").locator(".plot.drawn")
        expect(plots).to_have_count(len(charts), timeout=60_000)
        browser.close()
    assert faults == []

from __future__ import annotations

import dataclasses
import json
import re
import threading

import pytest
from tests.dashboard.conftest import REGISTRY, RUN, Documents, MakeSources

from model_loop.background_cache import BackgroundCache
from model_loop.charts.chart import ChartTable
from model_loop.charts.numbers import numbers_of
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.rendering import PageContext, render
from model_loop.dashboard.types import RegistryState, TrialRun, WindowRun
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.monitoring.health.types import (
    Answers,
    Champion,
    DagHealth,
    ServiceHealth,
    Traffic,
)
from model_loop.monitoring.interval_days import IntervalDay, days_to_json
from model_loop.training_set.types import TrainingSet


@pytest.fixture(scope="module")
def trained(sample_training_set: TrainingSet) -> TrainedModel:
    """A family that was searched and judged."""
    request = SearchRequest(max_evaluations=3, threads=1)
    return train(tune("xgboost", sample_training_set, request), sample_training_set, request)


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_loop_says_what_to_run(make_sources: MakeSources, name: str) -> None:
    """Each chart without data says why, and links the DAG that fills it."""
    sources = make_sources()
    page = PAGES[name](sources, {})
    html = render(page, PageContext(sources, "green"))
    assert html.count('class="empty') >= len(list(page.charts))
    assert "data-airflow" in html
    assert not page.waiting


@pytest.mark.parametrize("name", PAGES)
def test_nonsense_in_the_address_is_ignored(make_sources: MakeSources, name: str) -> None:
    """An unknown parameter gives the default page, without markup from the address."""
    asked = dict.fromkeys(
        ("metric", "month", "run", "line", "window", "service", "map"), "<script>"
    )
    sources = make_sources(families=(RUN,), registry=REGISTRY)
    html = render(
        PAGES[name](sources, asked), PageContext(sources, "green", query=asked, may_promote=True)
    )
    assert "<script>" not in html.replace('<script type="application/json">', "")


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_page_comes_back_for_news_of_what_is_old(
    make_sources: MakeSources, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """It shows what it knows meanwhile; of what is new enough, it leaves it at that."""
    monkeypatch.setattr("model_loop.dashboard.page_data._OLD_SECONDS", seconds)
    looked, go_on = threading.Event(), threading.Event()

    def look() -> RegistryState:
        if looked.is_set():
            go_on.wait(20)
        looked.set()
        return REGISTRY

    sources = dataclasses.replace(
        make_sources(families=(RUN,)),
        registry=BackgroundCache(look, fresh_seconds=0, stale_seconds=60),
    )
    assert sources.look("registry").registry == REGISTRY
    known = sources.look("registry", "families")
    go_on.set()
    assert (known.registry, known.waiting) == (REGISTRY, seconds == 0)


def test_the_health_of_the_service_is_told(make_sources: MakeSources) -> None:
    """Latency, losses, errors, ages, the last success of each DAG, and what cannot be had."""
    now = 1_700_000_000.0
    health = ServiceHealth(
        "green",
        now,
        traffic=Traffic(120, {0.5: 0.001, 0.99: 0.0042}, now - 10, 3),
        answers=Answers({200: 110, 401: 5, 500: 2}, 7),
        champion=Champion(3, enabled=True, promoted=now - 7_200, newest_month="2024-03"),
        dags=(DagHealth("retraining", paused=False, last_success=now - 3_600, failed_since=1),),
        problems={"products": "the storage does not answer"},
    )
    page = PAGES["monitoring"](make_sources(health=health), {})
    charts = {chart.name: chart for chart in page.charts}
    told = {what: value for what, value in charts["service_health"].table.rows}  # noqa: C416 - typed
    assert told["latency, quantile 0.99 (ms)"] == "4.2"
    assert told["predictions that were answered and not logged"] == "3"
    assert (told["of them refused (4xx)"], told["of them failed (5xx)"]) == ("5", "2")
    assert (told["champion"], told["champion since"]) == ("version 3", "2 hours ago")
    assert told["products"] == "cannot be had: the storage does not answer"
    assert charts["dag_health"].table.rows == [("retraining", "2023-11-14 21:13", 1, "no")]
    assert not charts["product_freshness"].table.rows


def test_models_show_what_training_logs(
    make_sources: MakeSources, trained: TrainedModel, sample_training_set: TrainingSet
) -> None:
    """Every chart of the page is filled by the numbers of a real training, which are small JSON."""
    text = json.dumps(numbers_of(trained, sample_training_set), allow_nan=False)
    assert len(text) < 150_000
    documents = Documents(
        {f"{RUN.run_id}/numbers.json": json.loads(text)},
        (TrialRun(0, "FINISHED", {"max_depth": "6", "eta": "0.1"}, {"validation_rmse": 4.4}),),
    )
    sources = make_sources(documents, families=(RUN,), registry=REGISTRY)
    page = PAGES["models"](sources, {})
    filled = {chart.name for chart in page.charts if chart.table.rows}
    assert filled == {chart.name for chart in page.charts} - {"history"}
    force = next(chart for chart in page.charts if chart.name == "shap_force")
    shap = json.loads(text)["shap"]
    total = shap["base"] + sum(row[1] for row in force.table.rows)
    assert total == pytest.approx(shap["base"] + sum(shap["added"][0]))
    html = render(page, PageContext(sources, "green", may_promote=True))
    assert 'data-action="rollback"' in html
    assert "data-action" not in render(page, PageContext(sources, "green"))


def test_windows_are_drawn_against_their_thresholds(make_sources: MakeSources) -> None:
    """Figures of the windows are lines by feature, below the thresholds of the settings."""
    window = WindowRun("2" * 32, 3, "request_log", "2024-02-01", 1.7e9, "warn", "", "", {})
    windows = tuple(
        dataclasses.replace(
            window, end=1.7e9 + day, label=str(day), metrics={"psi.hour": day / 10, "rmse.all": 0.1}
        )
        for day in range(3)
    )
    page = PAGES["monitoring"](make_sources(windows=windows, registry=REGISTRY), {})
    psi = next(chart for chart in page.charts if chart.name == "psi")
    assert [row[2:] for row in psi.table.rows] == [("hour", 0.0), ("hour", 0.1), ("hour", 0.2)]
    assert psi.figure is not None
    assert [shape["y0"] for shape in psi.figure["layout"]["shapes"]] == [0.1, 0.25]
    assert page.extra["window"].label == "2"


def test_intervals_are_drawn_by_day(make_sources: MakeSources) -> None:
    """Coverage, misses, scores and correction of the days that the window's run holds."""
    window = WindowRun("2" * 32, 3, "request_log", "2024-02-01", 1.7e9, "warn", "", "", {})
    day = IntervalDay(
        "2024-02-01", 90, 0.88, 0.02, 0.1, 0.7, 9.5, 14.0, "hour 8", 0.5, 0.2, 1.1, 0.4, 7
    )
    later = dataclasses.replace(day, day="2024-02-02", score=None, width=None, correction=8)
    stored = json.loads(days_to_json([day, later]))
    found = {f"{window.run_id}/intervals/interval_days.json": stored}
    page = PAGES["monitoring"](
        make_sources(Documents(found), windows=(window,), registry=REGISTRY), {}
    )
    charts = {chart.name: chart for chart in page.charts}
    assert charts["interval_coverage"].table.rows[0] == (
        ("2024-02-01", 90, 0.88, 0.7, 0.5, "hour 8", 7)
    )
    assert "Worst on 2024-02-02: hour 8, 50%." in charts["interval_coverage"].about
    assert charts["interval_misses"].table.rows[1][2:4] == (0.02, 0.1)
    assert charts["interval_score"].table.rows[1][2:4] == (None, None)
    assert "Correction 8, after 2024-02-02." in charts["interval_correction"].about
    bare = PAGES["monitoring"](make_sources(windows=(window,), registry=REGISTRY), {})
    none = next(chart for chart in bare.charts if chart.name == "interval_coverage")
    assert none.table.rows == []


def test_a_server_that_fails_is_told(make_sources: MakeSources) -> None:
    """The page comes all the same, with what cannot be had and why."""
    sources = make_sources()

    def fail() -> None:
        message = "no answer"
        raise OSError(message)

    sources.families._load = fail  # type: ignore[assignment]
    sources.families._entry = dataclasses.replace(sources.families._entry, value=None, at=-1e9)
    page = PAGES["overview"](sources, {})
    assert page.notes == ["Training runs (MLflow): OSError: no answer"]


def test_a_spreadsheet_runs_nothing() -> None:
    """Text that looks like a formula is given as text; numbers stay numbers."""
    table = ChartTable(("who", "minutes"), [("=HYPERLINK(1)", -1.5), ('a "b", c', None)])
    assert table.csv() == 'who,minutes\n\'=HYPERLINK(1),-1.5\n"a ""b"", c",\n'


def test_a_document_that_cannot_be_had_is_told(make_sources: MakeSources) -> None:
    """The page comes all the same, and the document is asked for again the next time."""
    documents = Documents()

    def fail(*_: str) -> None:
        message = "no answer"
        raise OSError(message)

    documents.numbers = fail  # type: ignore[method-assign, assignment]  # a server that is down
    documents.trials = fail  # type: ignore[method-assign, assignment]  # the same
    sources = make_sources(documents, families=(RUN,), registry=REGISTRY)
    assert PAGES["models"](sources, {}).notes == [
        "A document of a run (MLflow): OSError: no answer"
    ]
    sources.numbers._read = lambda *_: {"test": {}}
    sources.trials._read = lambda *_: ()
    assert PAGES["models"](sources, {}).notes == []


def test_what_others_have_named_is_no_markup(make_sources: MakeSources) -> None:
    """Neither in the page nor in what Plotly takes for markup."""
    evil = '<a href="https://elsewhere">now</a>'
    run = dataclasses.replace(RUN, family=evil, recipe=evil, source=evil, settings={evil: evil})
    trials = tuple(
        TrialRun(number, "FINISHED", {"a": f"{evil}{number}"}, {"validation_rmse": 4.0})
        for number in range(2)
    )
    sources = make_sources(Documents({}, trials), families=(run,), registry=REGISTRY)
    for name in ("overview", "models"):
        html = render(PAGES[name](sources, {}), PageContext(sources, "green", may_promote=True))
        assert "elsewhere" in html
        assert '<a href="https' not in html
        drawn = re.findall(r'<script type="application/json">(.*?)</script>', html)
        assert any("&lt;a" in text for text in map(str, map(json.loads, drawn)))
        assert not any("<a" in text for text in map(str, map(json.loads, drawn)))

"""Pages about values that are unknown, not comparable, or bad news."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.dashboard.conftest import REGISTRY, RUN, Documents, MakeSources

from model_loop.background_cache import BackgroundCache
from model_loop.charts import figures
from model_loop.dashboard.page import Page
from model_loop.dashboard.page_data import PageSources
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.rendering import PageContext, asset, render
from model_loop.dashboard.types import (
    DagRuns,
    LastRun,
    LoggedPartition,
    RegistryState,
    VersionRow,
    WindowRun,
)
from model_loop.models.intervals import ErrorSums, measured_errors
from model_loop.serving.comparison.report import AbReport, VersionErrors
from model_loop.tracking.deployments import Deployment, HistoryEntry
from model_loop.tracking.names import NUMBERS
from model_loop.tracking.sources import ACCEPT_GENERATED

WINDOW = WindowRun("2" * 32, 3, "request_log", "2024-02-01", 1.7e9, "ok", "", "", {})
#: What is said of something that was looked for and is not there.
NOTHING = (
    "none yet",
    "was trained yet",
    "is registered yet",
    "was promoted yet",
    "was prepared yet",
    "has not looked at a window",
    "has not run yet",
    "No alarm is open",
    "One version answers",
    "Train a model",
)


def html_of(page: Page, sources: PageSources) -> str:
    """Render a page."""
    return render(page, PageContext(sources, "green"))


def card(page: Page, label: str) -> Any:
    """Find a card."""
    return next(one for one in page.cards if one.label == label)


@pytest.fixture
def hanging() -> Any:
    """Look something up that does not come while the test lasts."""
    go_on = threading.Event()
    yield lambda: go_on.wait(20)
    go_on.set()


@pytest.mark.parametrize("name", ["overview", "models", "monitoring", "data"])
@pytest.mark.parametrize("fails", [True, False], ids=["fails", "hangs"])
def test_what_is_not_known_is_not_said_to_be_nothing(
    make_sources: MakeSources,
    monkeypatch: pytest.MonkeyPatch,
    hanging: Callable[[], Any],
    name: str,
    *,
    fails: bool,
) -> None:
    """While it is looked up, and when that failed, the page says so and never "none"."""
    monkeypatch.setattr("model_loop.dashboard.page_data._PATIENCE_SECONDS", 0.05)

    def fail() -> None:
        message = "no answer"
        raise OSError(message)

    look: Any = fail if fails else hanging
    names = ("families", "partitions", "registry", "windows", "live", "dags", "health")
    parts: dict[str, Any] = {part: BackgroundCache(look, fresh_seconds=1e6) for part in names}
    sources = dataclasses.replace(make_sources(), **parts)
    sources.begin()
    page = PAGES[name](sources, {})
    html = html_of(page, sources)
    assert [words for words in NOTHING if words in html] == []
    assert {one.value for one in page.cards} & {"none", "never", "0"} == set()
    assert ("cannot be read now" if fails else "is being read") in html
    assert page.waiting is not fails


@pytest.mark.parametrize(
    ("windows", "level", "said"),
    [
        ((), "", "has not looked yet"),
        ((dataclasses.replace(WINDOW, level="unknown"),), "", "could not tell"),
        ((dataclasses.replace(WINDOW, version=2),), "", "has not looked yet"),
        ((WINDOW,), "ok", "No drift"),
    ],
)
def test_nobody_has_looked_is_no_good_news(
    make_sources: MakeSources, windows: tuple[WindowRun, ...], level: str, said: str
) -> None:
    """Green is what monitoring has found to be well, of the champion."""
    dags = DagRuns(last=(LastRun("retraining", "a", "success", 1.7e9),))
    page = PAGES["overview"](make_sources(windows=windows, registry=REGISTRY, dags=dags), {})
    found = card(page, "Open alarms")
    assert (found.level, said in found.detail) == (level, True)


def test_a_canary_is_shown_where_people_look_first(make_sources: MakeSources) -> None:
    """Its share stands beside the champion, and A/B does not say that one version answers."""
    standing = Deployment(champion=3, challenger=4, shadow=5, share=0.3)
    registry = RegistryState({"booked": standing, "ended": Deployment()}, REGISTRY.versions)
    sources = make_sources(families=(RUN,), registry=registry)
    told = card(PAGES["overview"](sources, {}), "Champion (booked)").detail
    assert "canary: version 4 answers 30.0 %" in told
    assert "shadow: version 5" in told
    html = html_of(PAGES["monitoring"](sources, {}), sources)
    assert "One version answers" not in html
    assert "version 4 (canary, 30.0 % of the requests)" in html


def test_a_reason_that_reads_ok_is_text(make_sources: MakeSources) -> None:
    """Only a level is drawn as one."""
    entry = HistoryEntry(
        kind="promote",
        version=3,
        who="warn",
        why="ok",
        before=Deployment(),
        after=Deployment(champion=3),
        at=1.7e9,
        run_id="a",
    )
    registry = RegistryState(REGISTRY.standings, REGISTRY.versions, (entry,))
    sources = make_sources(families=(RUN,), registry=registry)
    html = html_of(PAGES["models"](sources, {}), sources)
    assert "badge ok" not in html
    assert "badge warn" not in html
    windows = (dataclasses.replace(WINDOW, level="warn"),)
    sources = make_sources(windows=windows, registry=REGISTRY)
    html = html_of(PAGES["monitoring"](sources, {}), sources)
    assert '<span class="badge warn">warn</span>' in html


def test_more_than_seven_of_a_kind_are_told_apart() -> None:
    """No colour stands for two parts of a ring, and no line looks like another."""
    names = [f"family {number}" for number in range(20)]
    ring = figures.share(names, range(1, 21))
    (trace,) = ring["data"]
    assert len(set(trace["marker"]["colors"])) == len(trace["labels"]) == len(figures.COLORS)
    assert sum(trace["values"]) == sum(range(1, 21))
    assert trace["labels"][-1] == "9 others"
    drawn = figures.lines({name: [(0, 1)] for name in names}, title="")["data"]
    assert len({(one["line"]["color"], one["line"]["dash"]) for one in drawn}) == 20
    parts = figures.stacked(["a"], {name: [1.0] for name in names}, title="")["data"]
    assert len(parts) == 20


def test_one_day_is_no_axis_of_milliseconds() -> None:
    """The bars of a few days stand at names of days."""
    days = ["2024-03-01", "2024-03-02"]
    few = figures.stacked(days, {"completed": [1, 2]}, title="runs")["layout"]["xaxis"]
    many = figures.stacked(
        [f"2024-03-{day:02d}" for day in range(1, 20)], {"completed": [1] * 19}, title="runs"
    )["layout"]["xaxis"]
    assert few["type"] == "category"
    assert "type" not in many


def test_one_window_is_no_axis_of_milliseconds(make_sources: MakeSources) -> None:
    """Bars of windows stand at their names, however few there are."""
    page = PAGES["monitoring"](make_sources(windows=(WINDOW,)), {})
    (levels,) = (
        chart for section in page.sections for chart in section.charts if chart.name == "levels"
    )
    assert levels.figure is not None
    assert levels.figure["layout"]["xaxis"]["type"] == "category"
    assert levels.figure["data"][0]["x"] == [WINDOW.label]


def test_what_a_card_says_it_says_once(make_sources: MakeSources) -> None:
    """That the champion has learned from generated trips stands in its history, too."""
    before, after = Deployment(), Deployment(champion=3)
    moved = HistoryEntry("promote", 3, "me", "", before, after, 1.7e9, "", "booked")
    moved = dataclasses.replace(moved, remarks="SAMPLE data; gate passed over")
    run = dataclasses.replace(RUN, source="sample")
    registry = dataclasses.replace(REGISTRY, history=(moved,))
    page = PAGES["overview"](make_sources(families=(run,), registry=registry), {})
    told = next(one.detail for one in page.cards if one.label.startswith("Champion"))
    assert told.count("SAMPLE data") == 1
    assert "gate passed over" in told


def test_every_champion_has_its_figures_and_its_alarms(make_sources: MakeSources) -> None:
    """One for each moment: with recipe and moment, its errors, its alarms, its zones."""
    ended = dataclasses.replace(
        RUN, run_id="5" * 32, recipe="rich native", metrics={"test_rmse": 3.25}, moment="ended"
    )
    booked = dataclasses.replace(RUN, recipe="booking native", moment="booked")
    versions = (VersionRow(5, ended.run_id, "xgboost", 1.7e9), *REGISTRY.versions)
    registry = RegistryState(
        {"booked": Deployment(champion=3), "ended": Deployment(champion=5)}, versions
    )
    sums = {0: ErrorSums(900, 0.0, 900.0, 900 * 4.75**2, 1.0)}
    one = VersionErrors(version=3, moment="booked", **dataclasses.asdict(measured_errors(sums)))
    live = AbReport((one, dataclasses.replace(one, version=5, moment="ended", rmse=3.5)), ())
    drifted = dataclasses.replace(WINDOW, version=5, level="act", found="PSI(trip_distance) = 0.5")
    zones = {"test": {"zones": [{"zone": 74, "trips": 50, "mae": 2.5}]}}
    month = LoggedPartition("7" * 32, "green", "2024-03", "sample", 1.7e9, {})
    documents = Documents(
        {
            f"{ended.run_id}/{NUMBERS}": zones,
            f"{month.run_id}/profile.json": {
                "zones": [{"zone": 74, "trips": 50, "mean_duration": 9.0}]
            },
        }
    )
    sources = make_sources(
        documents=documents,
        families=(ended, booked),
        registry=registry,
        live=live,
        windows=(WINDOW, drifted),
        partitions=(month,),
        dags=DagRuns(last=(LastRun("retraining", "a", "success", 1.7e9),)),
    )
    page = PAGES["overview"](sources, {})
    for moment, recipe, test, now in (
        ("booked", "booking native, asked when a ride is booked", "4.50", "4.75"),
        ("ended", "rich native, asked when the trip has ended", "3.25", "3.50"),
    ):
        judged = card(page, f"RMSE on the test trips ({moment})")
        assert judged.value.startswith(test)
        assert recipe in judged.detail
        assert card(page, f"RMSE live ({moment})").value.startswith(now)
        assert recipe in card(page, f"Champion ({moment})").detail
    assert card(page, "Open alarms").level == "act"
    (alarms,) = (one for one in page.charts if one.name == "alarms")
    assert [row[1] for row in alarms.table.rows] == ["version 5 (ended), 2024-02-01"]
    only_booked = make_sources(registry=registry, windows=(WINDOW,))
    told = card(PAGES["overview"](only_booked, {}), "Open alarms")
    assert (told.level, "of the champion (ended)" in told.detail) == ("", True)
    (drawn,) = (
        one for one in PAGES["data"](sources, {"map": "error_ended"}).charts if one.name == "zones"
    )
    assert [row[3] for row in drawn.table.rows] == [2.5]
    assert "champion (ended)" in drawn.title
    (nothing,) = (
        one for one in PAGES["data"](sources, {"map": "error_booked"}).charts if one.name == "zones"
    )
    assert not nothing.table.rows


def test_the_word_for_generated_data_can_be_given_on_the_page(make_sources: MakeSources) -> None:
    """It is offered when a refusal names the field, and not before."""
    sources = make_sources(families=(RUN,), registry=REGISTRY)
    page = PAGES["models"](sources, {})
    html = render(page, PageContext(sources, "green", may_promote=True))
    assert '<label id="confirm-accept-label" hidden>' in html
    assert '<input id="confirm-accept" type="checkbox">' in html
    path = asset("promotion.js")
    assert path is not None
    assert f'const ACCEPT = "{ACCEPT_GENERATED}";' in path.read_text()
    assert "confirm-accept" not in html_of(page, sources)

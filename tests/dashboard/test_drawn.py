"""Pages as a browser draws them, without a stack around them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright
from starlette.testclient import TestClient
from tests.dashboard.conftest import REGISTRY, Documents, MakeSources, dashboard_of
from tests.dashboard.test_declared import FOREIGN, PARTITION
from tests.dashboard.test_declared import PROFILE as HEATING_PROFILE
from tests.dashboard.test_declared import RUN as HEATING_RUN
from tests.dashboard.test_fields import LEARNED
from tests.dashboard.test_maps import MONTH, PROFILE, square, zone_file
from tests.heating import heating

from model_loop.dashboard.app import Dashboard

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

HOST = "http://dashboard.test"


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1000, "height": 900})
        browser.close()


def shown(page: Page, dashboard: Dashboard) -> list[str]:
    """Answer a browser by the pages; return the list to which its faults are added."""
    client = TestClient(dashboard.app())

    def answer(route: Route) -> None:
        found = client.get(route.request.url.removeprefix(HOST))
        headers = {
            name: value
            for name, value in found.headers.items()
            if name not in {"content-encoding", "content-length"}
        }
        route.fulfill(status=found.status_code, headers=headers, body=found.content)

    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    page.route("**/*", answer)
    return faults


def test_all_pages_of_a_declared_table_are_walked_through(
    make_sources: MakeSources, page: Page
) -> None:
    """By the menu, in one dataset: no error, no word of another table, nothing too wide."""
    heating()
    sources = make_sources(
        Documents({f"{PARTITION.run_id}/profile.json": HEATING_PROFILE}, kept_columns=LEARNED),
        variant="heating",
        families=(HEATING_RUN,),
        partitions=(PARTITION,),
        registry=REGISTRY,
    )
    pages = dataclasses.replace(
        dashboard_of(sources, rights={"look": ("heating",)}), default="green"
    )
    faults = shown(page, pages)
    page.goto(f"{HOST}/overview?dataset=heating")
    for title in ("Overview", "Data", "Models", "Monitoring", "Playground"):
        page.get_by_role("link", name=title, exact=True).click()
        expect(page.locator("h1")).to_have_text(title)
        page.wait_for_selector("html[data-ready]", state="attached")
        expect(page.locator(".switch select")).to_have_value("heating")
        page.evaluate("document.querySelectorAll('.plot:not(.drawn)').forEach(plots.draw)")
        assert FOREIGN.findall(page.locator("body").inner_text()) == [], title
        assert page.evaluate("document.documentElement.scrollWidth") <= 1000, title
    assert page.url == f"{HOST}/playground?variant=heating"
    expect(page.locator("input[name=temperature]")).to_have_value("12.1235")
    assert faults == []


def test_zones_are_filled_in_the_colours_of_the_theme(
    make_sources: MakeSources, tmp_path: Path, page: Page
) -> None:
    """Each by its value; the tooltip names the zone; the legend has its scale."""
    file = zone_file(
        tmp_path,
        *(
            square("LocationID", zone, -73.95 + number / 20, 40.7)
            for number, zone in enumerate((74, 75, 166))
        ),
    )
    documents = Documents({f"{MONTH.run_id}/profile.json": PROFILE})

    sources = make_sources(documents, file, partitions=(MONTH,))
    faults = shown(page, dashboard_of(sources))
    page.emulate_media(color_scheme="light")
    page.goto(f"{HOST}/data?map=duration")
    plot = page.locator("#zones .plot")
    plot.scroll_into_view_if_needed()
    fills = plot.locator(".fills .js-fill")
    expect(fills).to_have_count(3)

    def colors() -> list[str]:
        found: list[str] = fills.evaluate_all("all => all.map(one => getComputedStyle(one).fill)")
        return found

    light = colors()
    assert len(set(light)) == 3
    # The highest is the first row of the table, the darkest on light ground.
    assert light[0] == "rgb(0, 34, 78)"
    expect(plot.locator(".colorbar")).to_have_count(1)
    box = fills.first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(plot.locator(".hovertext")).to_contain_text("mean duration (min): 20")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert colors() == light[::-1]
    assert faults == []

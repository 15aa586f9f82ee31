"""The map as a browser draws it, without a stack around it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright
from starlette.testclient import TestClient
from tests.dashboard.conftest import Documents, MakeSources, dashboard_of
from tests.dashboard.test_maps import MONTH, PROFILE, square, zone_file

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


def test_zones_are_filled_in_the_colours_of_the_theme(
    make_sources: MakeSources, tmp_path: Path, page: Page
) -> None:
    """Each by its value; whoever points at one is told which it is; the legend has its scale."""
    file = zone_file(
        tmp_path,
        *(
            square("LocationID", zone, -73.95 + number / 20, 40.7)
            for number, zone in enumerate((74, 75, 166))
        ),
    )
    documents = Documents({f"{MONTH.run_id}/profile.json": PROFILE})

    sources = make_sources(documents, file, partitions=(MONTH,))
    client = TestClient(dashboard_of(sources).app())

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

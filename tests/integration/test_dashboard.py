"""The dashboard in a real browser: behind Airflow's login, in its UI, on a loop that has run."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Frame, Page, expect, sync_playwright
from tests.integration.closed_loop import process_id
from tests.integration.conftest import RunningStack
from tests.integration.test_serving import TRIP
from tests.servers import free_port, wait_for

from model_loop.local.airflow_api import FINISHED
from model_loop.orchestration.web.mounting import URL_PREFIX
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt install chromium)"),
]

PAGES = ("overview", "data", "models", "monitoring", "playground")
THEMES = ("light", "dark")
#: Pictures for the documentation are taken where this names a folder.
PICTURES = os.environ.get("DASHBOARD_PICTURES", "")
MOST_MEGABYTES = 150
GRAVE = {"serious", "critical"}


@dataclass(frozen=True)
class Loop:
    """A loop that has run, and where its dashboard is."""

    running: RunningStack
    promoter: Promoter

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"{self.running.stack.airflow_url}{URL_PREFIX}/dashboard"

    def token(self, user: str) -> str:
        """A token of a user."""
        login = {"username": user, "password": self.running.stack.password_of(user)}
        answer = requests.post(
            f"{self.running.stack.airflow_url}/auth/token", json=login, timeout=60
        )
        token: str = answer.json()["access_token"]
        return token

    def memory(self) -> int:
        """Bytes of the api-server in memory."""
        found = process_id(self.running, "airflow-api-server")
        assert found is not None
        return memory_of(psutil.Process(found))


def memory_of(started: psutil.Process) -> int:
    """Bytes of an api-server in memory; what it has started besides ends by itself."""
    processes = [started, *started.children(recursive=True)]
    # As it was called, or as it calls itself.
    named = [one for one in processes if re.search("api[-_]server", " ".join(one.cmdline()))]
    return max(one.memory_info().rss for one in named)


@contextlib.contextmanager
def server_without_us(running: RunningStack, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The same Airflow's api-server without our plugin."""
    stack, port = running.stack, free_port()
    command = shlex.split(stack.programs()["airflow-api-server"])
    command[command.index("--port") + 1] = str(port)
    environment = {**stack.environment(), "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder)}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/api/v2/monitor/health", server, folder / "server.log")
        yield url, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def loop(running: RunningStack, results: list[dict[str, Any]]) -> Loop:
    """Champion and challenger, a month that was monitored, and predictions with feedback."""
    assert results
    tracker = Tracker(running.stack.mlflow_url, "trip-duration-promotion")
    promoter = Promoter(tracker, "green", "ended")
    versions = {
        family["family"]: int(family["model_uri"].rpartition("/")[2])
        for result in results
        for family in result["families"]
    }
    # Whatever the tests before have left.
    best = versions.pop("xgboost")
    other = next(iter(versions.values()))
    standing = promoter.standing()
    if standing.champion != best:
        promoter.act(Action("promote", "green", best, who="test", why="first"), "dashboard/first")
    if not standing.enabled:
        promoter.act(Action("enable", "green", who="test"), "dashboard/enable")
    if (standing.challenger, standing.share) != (other, 0.5):
        promoter.act(Action("canary", "green", other, who="test", share=0.5), "dashboard/canary")
    running.api.send("PATCH", "/dags/monitoring", json={"is_paused": False})
    watching = running.api.trigger(
        "monitoring", {"window_source": "month", "months": ["2024-03"], "act": False}
    )
    made = Loop(running, promoter)
    feedback(made)
    deadline = time.monotonic() + 300
    while (state := running.api.run_state("monitoring", watching)) not in FINISHED:
        assert time.monotonic() < deadline, "monitoring does not end"
        time.sleep(1)
    assert state == "success"
    return made


def feedback(loop: Loop) -> None:
    """Predict some trips, by both versions, and say how long they took."""
    url = f"{loop.running.stack.airflow_url}{URL_PREFIX}"
    bearer = {"Authorization": f"Bearer {loop.token('operator')}"}
    deadline = time.monotonic() + 90
    while requests.get(f"{url}/readyz", timeout=90).status_code != 200:
        assert time.monotonic() < deadline, "no champion answers"
        # The first prediction begins to look for one.
        requests.post(f"{url}/predict", json=TRIP, headers=bearer, timeout=90)
        time.sleep(0.5)
    actual = []
    for number in range(40):
        answer = requests.post(
            f"{url}/predict", json={**TRIP, "key": f"k{number}"}, headers=bearer, timeout=90
        )
        (one,) = answer.json()
        took = max(one["minutes"] + number % 7 - 3, 1.0)
        actual.append({"prediction_id": one["prediction_id"], "actual_minutes": took})
    told = requests.post(f"{url}/feedback", json=actual, headers=bearer, timeout=90)
    if told.status_code != 200:
        pytest.fail(told.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Visit:
    """A page of a browser that somebody is logged in with, and what goes wrong in it."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def watch(self, host: str) -> None:
        """Note errors of the console, failed requests, and requests to elsewhere."""
        own = (host, "data:", "blob:", "about:")
        self.page.on(
            "console",
            lambda message: self.faults.append(message.text) if message.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith(own) else self.faults.append(f"asks {asked.url}")
            ),
        )
        self.page.on(
            "response",
            lambda answer: (
                self.faults.append(f"{answer.status} {answer.url}")
                if answer.status >= 400
                else None
            ),
        )

    def open(self, address: str) -> None:
        """Open a page of the dashboard, and draw all of its charts."""
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]", state="attached")
        self.page.wait_for_selector("body:not([data-waiting])")
        self.page.evaluate("document.querySelectorAll('.plot:not(.drawn)').forEach(plots.draw)")
        for plot in self.page.locator(".plot").all():
            expect(plot.locator(".main-svg").first).to_be_attached()


def visit(
    loop: Loop, browser: Browser, user: str, theme: str = "light", width: int = 1280
) -> Visit:
    """Log in by Airflow's own page."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
    )
    made = Visit(context.new_page())
    made.page.goto(f"{loop.running.stack.airflow_url}/auth/login")
    made.page.fill("input[name=username]", user)
    made.page.fill("input[name=password]", loop.running.stack.password_of(user) or "")
    made.page.click("button[type=submit]")
    made.page.wait_for_selector("a[href='/plugin/model-loop']")
    made.page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    made.watch(loop.running.stack.airflow_url)
    return made


@pytest.fixture(scope="module")
def visits(loop: Loop, browser: Browser) -> dict[str, Visit]:
    """The administrator in both themes."""
    return {theme: visit(loop, browser, "admin", theme) for theme in THEMES}


def picture(page: Page, name: str, height: int = 1_500) -> None:
    """Take a picture of a page for the documentation, where that is wanted."""
    if PICTURES:
        page.wait_for_timeout(400)
        width = page.viewport_size["width"] if page.viewport_size else 1_280
        clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": height}
        taken = page.screenshot(full_page=True, clip=clip)
        # So few colours are enough, and a third of the bytes.
        small = Image.open(io.BytesIO(taken)).convert("RGB").quantize(96, dither=Image.Dither.NONE)
        small.save(Path(PICTURES) / f"{name}.png", optimize=True)


def test_nobody_sees_it_without_a_login_or_a_role(loop: Loop) -> None:
    """Every route answers 401 without a login, and 403 to a role that may not look."""
    stranger = {"Authorization": f"Bearer {loop.token('nobody')}"}
    for path in (
        "", "/overview", "/data", "/models", "/monitoring", "/playground", "/overview/alarms.csv",
        "/static/0/plotly.js", f"/evidently/{'0' * 32}", "/for?dag_id=monitoring", "/no/such",
    ):  # fmt: skip
        assert requests.get(f"{loop.url}{path}", timeout=60).status_code == 401, path
        refused = requests.get(f"{loop.url}{path}", headers=stranger, timeout=60)
        assert refused.status_code == 403, path
    assert requests.post(f"{loop.url}/explain", json=TRIP, timeout=60).status_code == 401
    viewer = {"Authorization": f"Bearer {loop.token('viewer')}"}
    asked = requests.post(f"{loop.url}/explain", json=TRIP, headers=viewer, timeout=60)
    assert asked.status_code == 403
    assert requests.get(f"{loop.url}/overview", headers=viewer, timeout=60).status_code == 200


@pytest.mark.parametrize("name", PAGES)
def test_a_page_renders(loop: Loop, visits: dict[str, Visit], name: str) -> None:
    """No error, nothing from elsewhere, all charts, their data, no grave fault for anybody."""
    for theme, made in visits.items():
        made.faults.clear()
        made.open(f"{loop.url}/{name}")
        page = made.page
        assert page.get_attribute("html", "data-theme") == theme
        expect(page.locator("h1")).to_have_text(name.capitalize())
        grave = [
            (fault["id"], [node["target"] for node in fault["nodes"][:3]])
            for fault in Axe().run(page).response["violations"]
            if fault["impact"] in GRAVE
        ]
        assert grave == []
        picture(page, f"{name}-{theme}")
        assert made.faults == []
    for empty in page.locator("figure > p.empty").all():
        assert empty.inner_text()
    links = page.locator("a.csv")
    if name != "playground":
        assert links.count() >= 4
    for place in range(min(links.count(), 4)):
        answer = page.request.get(links.nth(place).evaluate("link => link.href"))
        assert answer.headers["content-type"].startswith("text/csv")
        assert len(answer.text().splitlines()) > 1


def test_the_charts_show_what_has_run(loop: Loop, visits: dict[str, Visit]) -> None:
    """Models, months, monitoring and versions of the loop are on their pages."""
    made, page = visits["light"], visits["light"].page
    made.open(f"{loop.url}/overview")
    assert page.locator("#rmse_by_model .plot .bar, #rmse_by_model .plot .point").count()
    expect(page.locator(".card").first).to_contain_text("version")
    made.open(f"{loop.url}/models")
    for chart in ("trials", "residuals", "permutation_importance", "shap_bar", "shap_summary"):
        assert page.locator(f"#{chart} .plot.drawn").count() == 1, chart
    made.open(f"{loop.url}/monitoring")
    assert page.locator("#psi .plot.drawn").count() == 1
    assert page.locator("#ab_errors .plot.drawn").count() == 1
    page.locator("details.evidently summary").click()
    report = page.frame_locator(".frame iframe")
    expect(report.locator("body")).to_contain_text("drift", ignore_case=True, timeout=30_000)


def test_it_lies_in_the_navigation_and_follows_the_theme(
    loop: Loop, visits: dict[str, Visit]
) -> None:
    """Airflow frames it, its theme is Airflow's, also while that changes, and links lead out."""
    page = visits["dark"].page
    page.goto(loop.running.stack.airflow_url)
    page.get_by_role("link", name=re.compile("Model loop")).first.click()
    frame = framed(page)
    expect(frame.locator("h1")).to_have_text("Overview")
    assert frame.get_attribute("html", "data-theme") == "dark"
    page.evaluate("document.documentElement.classList.replace('dark', 'light')")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")
    frame.get_by_role("link", name="Models").click()
    expect(frame.locator("h1")).to_have_text("Models")
    frame.locator("a[data-airflow]").first.click()
    page.wait_for_url("**/dags/promotion*")
    page.goto(f"{loop.running.stack.airflow_url}/dags/monitoring/plugin/model-loop-dag")
    expect(framed(page).locator("h1")).to_have_text("Monitoring")


def framed(page: Page) -> Frame:
    """The frame that Airflow shows the dashboard in."""
    handle = page.wait_for_selector("iframe")
    assert handle is not None
    frame = handle.content_frame()
    assert frame is not None
    frame.wait_for_selector("html[data-ready]", state="attached")
    return frame


def test_the_playground_predicts(loop: Loop, visits: dict[str, Visit]) -> None:
    """It answers with an interval, by both versions, and says why."""
    made, page = visits["light"], visits["light"].page
    made.faults.clear()
    made.open(f"{loop.url}/playground")
    page.select_option("select[name=pickup_zone]", "132")
    page.fill("input[name=trip_distance]", "17.5")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".answer")).to_have_count(2, timeout=60_000)
    expect(page.locator(".answer.champion .value")).to_contain_text("min")
    expect(page.locator(".answer.champion .interval")).to_contain_text("to")
    expect(page.locator("#reasons figure")).to_have_count(2, timeout=90_000)
    assert page.locator("#reasons .plot.drawn").count() >= 1
    picture(page, "playground-light")
    assert made.faults == []


def test_a_viewer_cannot_promote_and_an_operator_can(loop: Loop, browser: Browser) -> None:
    """Buttons are for those whose role allows it; Airflow's audit log has their name."""
    made = visit(loop, browser, "viewer")
    made.open(f"{loop.url}/models")
    assert made.page.locator("button[data-action]").count() == 0
    api = f"{loop.running.stack.airflow_url}/api/v2"
    bearer = {"Authorization": f"Bearer {loop.token('viewer')}"}
    body = {"logical_date": None, "conf": {"action": "rollback"}}
    refused = requests.post(f"{api}/dags/promotion/dagRuns", json=body, headers=bearer, timeout=60)
    assert refused.status_code == 403

    made = visit(loop, browser, "operator")
    made.open(f"{loop.url}/models")
    before = loop.promoter.standing()
    versions = [
        int(button.get_attribute("data-version") or 0)
        for button in made.page.locator("button[data-action=canary]").all()
    ]
    wanted = next(
        one
        for one in versions
        if one not in {before.champion, before.challenger}
        and loop.promoter.versions.moment(one) == loop.promoter.moment
    )
    made.page.click(f"button[data-action=canary][data-version='{wanted}']")
    made.page.fill("#confirm-share", "25")
    made.page.fill("#confirm-why", "seen on the dashboard")
    made.page.click("#confirm-yes")
    row = made.page.locator(f".versions tr:has(button[data-version='{wanted}'])")
    expect(row).to_contain_text("challenger 25%", timeout=60_000)
    after, (latest, *_) = loop.promoter.standing(), loop.promoter.history()
    assert (after.challenger, after.share) == (wanted, 0.25)
    assert (latest.who, latest.why) == ("operator", "seen on the dashboard")
    audit = loop.running.api.get("/eventLogs?dag_id=promotion&order_by=-when&limit=20")
    assert "operator" in {entry["owner"] for entry in audit["event_logs"]}


def test_it_is_usable_on_a_phone(loop: Loop, browser: Browser) -> None:
    """Nothing is wider than the screen."""
    made = visit(loop, browser, "viewer", width=390)
    for name in PAGES:
        made.open(f"{loop.url}/{name}")
        assert made.page.evaluate("document.documentElement.scrollWidth") <= 390, name
    made.open(f"{loop.url}/overview")
    picture(made.page, "phone", 844)


def test_the_api_server_stays_small(loop: Loop, tmp_path: Path) -> None:
    """Predictions and all pages take little memory, against a server that has neither."""
    bearer = {"Authorization": f"Bearer {loop.token('admin')}"}
    for name in PAGES * 3:
        assert requests.get(f"{loop.url}/{name}", headers=bearer, timeout=60).status_code == 200
    with server_without_us(loop.running, tmp_path) as (url, server):
        # What Airflow itself loads when it is asked.
        for path in ("dags", "dags/~/dagRuns", "dags/~/dagRuns/~/taskInstances", "plugins") * 10:
            answer = requests.get(f"{url}/api/v2/{path}", headers=bearer, timeout=60)
            assert answer.status_code == 200
        without = memory_of(server)
    grown = (loop.memory() - without) / 2**20
    print(f"api-server: {without / 2**20:.0f} MB without us, with us {grown:.0f} MB more")  # noqa: T201 - for -s
    assert grown < MOST_MEGABYTES

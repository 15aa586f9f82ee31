"""The playground answers with a class: its probabilities as bars, and the threshold beside."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Route, expect, sync_playwright
from starlette.testclient import TestClient
from tests.dashboard.conftest import MakeSources
from tests.dashboard.test_drawn import HOST, shown

from model_loop.dashboard.app import Dashboard
from model_loop.dashboard.page_data import PageSources
from model_loop.dashboard.types import RegistryState, VersionRow
from model_loop.datasets.classes import Classes
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.models.classification.class_sets import set_scores
from model_loop.models.classification.decision import Decision
from model_loop.scoring.outcomes import DecisionRules
from model_loop.serving.models.manager import ActiveModels, MomentVersions
from model_loop.serving.models.predictor import ServedVersion
from model_loop.tracking.deployments import Deployment

CHROMIUM = shutil.which("chromium")
TOML = """
name = "{name}"
title = "Patients"
source = "patients.csv"
target = "ill"
[task]
kind = "{kind}"
{positive}
[columns.ill]
type = "category"
[columns.age]
type = "number"
"""
#: Whole numbers, which JSON sorts by themselves: the positive one is the smaller.
TWO = Classes((1, 0), 0)
THREE = Classes(("a", "b", "c"))


def served(classes: Classes, probabilities: Any, decision: Decision | None = None) -> ServedVersion:
    """Return a version that gives every row the same probabilities."""
    answer = np.array([probabilities])
    deciding = DecisionRules(classes, 0.4, decision)
    return ServedVersion(3, ("age",), (0,), lambda _: answer, deciding=deciding, plain="a test")


def pages(sources: PageSources, version: ServedVersion) -> Dashboard:
    """Return the pages of a server at which a version answers."""
    now = ActiveModels({"request": MomentVersions(Deployment(champion=3), champion=version)})
    service: Any = SimpleNamespace(live=SimpleNamespace(looked=True, now=now))

    async def allowed(*_: Any) -> frozenset[str]:
        return frozenset({sources.dataset.name})

    return Dashboard(sources.service, lambda _: sources, {sources.service: service}, allowed)


def known(make_sources: MakeSources, name: str, kind: str, positive: str = "") -> PageSources:
    """Return the sources of a table with a champion."""
    text = TOML.format(name=name, kind=kind, positive=positive)
    use_dataset(dataset_of(parse_declaration(text, "patients.toml")))
    registry = RegistryState(
        {"request": Deployment(champion=3)}, (VersionRow(3, "1" * 32, "xgboost", 1.7e9),)
    )
    return make_sources(variant=name, registry=registry)


@pytest.fixture
def two(make_sources: MakeSources) -> Dashboard:
    """Pages of a yes-or-no question."""
    sources = known(make_sources, "ill_patients", "binary", "positive_class = 0")
    return pages(sources, served(TWO, 0.42))


@pytest.fixture
def three(make_sources: MakeSources) -> Dashboard:
    """Pages of a question with three answers, and sets of them."""
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet((1, 2, 3), 400)
    actual = np.array([draw.choice(3, p=each) for each in probabilities], dtype=float)
    decision = Decision(THREE.labels, set_scores=set_scores(actual, probabilities))
    sources = known(make_sources, "kinds_of_patients", "multiclass")
    return pages(sources, served(THREE, [0.2, 0.5, 0.3], decision))


def asked(dashboard: Dashboard, **row: Any) -> dict[str, Any]:
    """Return the only answer to a row."""
    client = TestClient(dashboard.app())
    (answer,) = client.post("/explain", json={"age": 40, **row}).json()["answers"]
    return dict(answer)


def test_two_classes_have_a_threshold(two: Dashboard) -> None:
    """The answer is the positive one though the other is likelier, and it is said why."""
    answer = asked(two)
    assert answer["prediction"] == 0
    assert answer["probabilities"] == pytest.approx({"1": 0.58, "0": 0.42})
    assert (answer["threshold"], answer["positive"]) == (0.4, "0")
    assert (answer["lower"], answer["level"], answer["classes"]) == (None, None, None)
    assert answer["how"] == "From a probability of 40.0 % on, the answer is 0."
    assert "Level of" not in TestClient(two.app()).get("/playground").text


def test_several_classes_have_a_set(three: Dashboard) -> None:
    """It is larger at a higher level, and the page asks for one."""
    low, high = asked(three, level=50), asked(three, level=99)
    assert low["prediction"] == "b"
    assert set(low["classes"]) < set(high["classes"])
    assert (high["level"], high["threshold"], high["positive"]) == (99, None, None)
    assert high["how"] == "In 99 % of the cases, such a set holds the true class."
    assert "Level of the set of classes (%)" in TestClient(three.app()).get("/playground").text


def test_a_version_without_sets_says_so(make_sources: MakeSources) -> None:
    """Its likeliest class is the answer."""
    sources = known(make_sources, "kinds_of_patients", "multiclass")
    answer = asked(pages(sources, served(THREE, [0.2, 0.5, 0.3])))
    assert (answer["classes"], answer["how"]) == (None, "The likeliest class is the answer.")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(("kind", "bars"), [("two", ["1", "0"]), ("three", ["b", "c", "a"])])
def test_probabilities_are_bars(kind: str, bars: list[str], request: Any) -> None:
    """The likeliest first; the answer stands out, and that of two is marked at the threshold."""
    dashboard: Dashboard = request.getfixturevalue(kind)
    answer = asked(dashboard)
    served_answer = {
        **{name: answer[name] for name in ("prediction", "probabilities", "unit", "moment")},
        "lower": None,
        "upper": None,
        "level": None,
        "model_version": 3,
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 420, "height": 900})
        faults = shown(page, dashboard)
        client = TestClient(dashboard.app())

        def post(route: Route) -> None:
            if route.request.method != "POST":
                route.fallback()
                return
            address, body = route.request.url.removeprefix(HOST), route.request.post_data
            if not address.startswith("/explain"):
                route.fulfill(json=[served_answer])
                return
            found = client.post(address, content=body)
            route.fulfill(status=found.status_code, json=found.json())

        page.route("**/*", post)
        page.goto(f"{HOST}/playground")
        page.locator("input[name=age]").fill("40")
        page.get_by_role("button", name="Predict").click()
        chosen = answer["prediction"]
        share = 100 * answer["probabilities"][str(chosen)]
        said = page.locator("#said")
        expect(said).to_contain_text(f"answers ill = {chosen} ({share:g} %)")
        lines = page.locator(".probabilities li")
        assert lines.locator(".name").all_text_contents() == bars
        assert page.locator(".answer-class .name").all_text_contents() == [str(chosen)]
        expect(page.locator(".probabilities .mark")).to_have_count(1 if kind == "two" else 0)
        widths = lines.locator(".bar").evaluate_all("all => all.map(bar => bar.style.width)")
        assert [float(width.removesuffix("%")) for width in widths] == pytest.approx(
            sorted((100 * each for each in answer["probabilities"].values()), reverse=True)
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        browser.close()
    assert json.dumps(faults) == "[]"

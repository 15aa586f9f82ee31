"""Pages of a table whose target is a class: by log loss, with shares and probabilities."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect, sync_playwright
from tests.dashboard.conftest import Documents, MakeSources, dashboard_of
from tests.dashboard.test_drawn import HOST, shown

from model_loop.charts.class_numbers import class_numbers
from model_loop.charts.groups import DISCLAIMER
from model_loop.dashboard.page_data import PageSources
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.rendering import PageContext, render
from model_loop.dashboard.types import (
    FamilyRun,
    LoggedPartition,
    RegistryState,
    TrialRun,
    VersionRow,
    WindowRun,
)
from model_loop.datasets.classes import Classes
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.models.groups import as_records, rates_by_group
from model_loop.serving.comparison.report import AbReport, VersionComparison, VersionErrors
from model_loop.tracking.deployments import Deployment

CHROMIUM = shutil.which("chromium")
#: Folder for pictures of charts, and the charts that docs/how-to/classification.md shows.
PICTURES = os.environ.get("CLASS_PICTURES", "")
PICTURED = (
    *("roc_curve", "precision_recall_curve", "confusion_by_threshold"),
    *("reliability", "recall_by_age"),
)
TOML = """
name = "tests_of_patients"
title = "Patients"
source = "patients.csv"
target = "ill"
[task]
kind = "binary"
positive_class = "yes"
[columns.ill]
type = "category"
[columns.age]
type = "number"
group_report = true
"""
RUN = FamilyRun(
    run_id="1" * 32,
    pipeline="sklearn_training",
    dag_run="manual",
    family="ensemble.RandomForestClassifier",
    service="tests_of_patients",
    recipe="request",
    source="folder",
    status="FINISHED",
    started=1.7e9,
    metrics={
        "test_log_loss": 0.3456,
        "validation_log_loss": 0.3333,
        "naive_test_log_loss": 0.6369,
        "test_roc_auc": 0.91,
        "test_average_precision": 0.8,
        "test_accuracy": 0.84,
        "test_recall": 0.7,
        "test_precision": 0.75,
    },
    settings={},
    moment="request",
    test_partitions="whole",
    rows="digest",
)
WORSE = dataclasses.replace(
    RUN,
    run_id="2" * 32,
    family="linear_model.LogisticRegression",
    metrics={**RUN.metrics, "test_log_loss": 0.5},
)
PARTITION = LoggedPartition(
    "3" * 32,
    "tests_of_patients",
    "whole",
    "folder",
    1.7e9,
    {"rows": 60.0, "rows_quarantined": 3.0, "share_no": 0.75, "share_yes": 0.25},
)
WINDOW = WindowRun(
    run_id="4" * 32,
    version=3,
    source="request_log",
    label="2024-04",
    end=1.71e9,
    level="warn",
    found="log loss",
    outcome="",
    metrics={
        "log_loss.all": 0.1,
        "recall.all": 0.05,
        "class_drift.all": 0.02,
        "mean_probability.yes": 0.03,
        "prediction_drift.all": 0.01,
    },
)
#: Log losses stand in the place of absolute errors.
LIVE = AbReport(
    (
        VersionErrors(
            500, 0.413, 0.413, 0.5, None, (0.4, 0.42), None, 0.3, version=3, moment="request"
        ),
    ),
    (),
)
REGISTRY = RegistryState(
    {"request": Deployment(champion=3)}, (VersionRow(3, RUN.run_id, RUN.family, 1.7e9),)
)


def numbers() -> dict[str, Any]:
    """Return the numbers of a run."""
    draw = np.random.default_rng(0)
    probability = draw.beta(2, 4, 400)
    actual = (draw.random(400) < probability).astype(float)
    groups = pd.Series(np.where(draw.random(400) < 0.3, "below 30", "30 and more"))
    rates = as_records(rates_by_group(groups, actual == 1, probability >= 0.4, probability))
    test = {
        **class_numbers(actual, probability, Classes(("no", "yes"), "yes"), 0.4),
        "slices": [{"slice": "age", "value": "below 30", "rows": 9, "log_loss": 0.4}],
        "intervals": {"log_loss": [0.31, 0.38]},
        "threshold_reason": "the dataset states it",
        "groups": [{"column": "age", "class": "yes", "rates": rates}],
    }
    stored: dict[str, Any] = json.loads(json.dumps({"family": RUN.family, "test": test}))
    return stored


@pytest.fixture
def sources(make_sources: MakeSources) -> PageSources:
    """Pages that know two runs, one of which is the champion."""
    use_dataset(dataset_of(parse_declaration(TOML, "patients.toml")))
    trial = TrialRun(0, "FINISHED", {"max_depth": "6"}, {"validation_log_loss": 0.35})
    return make_sources(
        Documents({f"{RUN.run_id}/numbers.json": numbers()}, (trial,)),
        variant="tests_of_patients",
        families=(WORSE, RUN),
        partitions=(PARTITION,),
        registry=REGISTRY,
        windows=(WINDOW,),
        live=LIVE,
    )


@pytest.mark.parametrize("name", ["overview", "data", "models", "playground", "monitoring"])
def test_no_page_speaks_of_errors_of_numbers(sources: PageSources, name: str) -> None:
    """A class has no RMSE, no residual and no unit."""
    html = render(PAGES[name](sources, {}), PageContext(sources, "green", [sources.dataset]))
    text = re.sub(r"<script type=.*?</script>|<[^>]*>", " ", html)
    assert re.findall(r"R?MSE|MAE|R²|median alone|[Rr]esidual", text) == []


def test_the_overview_ranks_by_log_loss(sources: PageSources) -> None:
    """The champion's beside that of the shares alone; the best run is named."""
    page = PAGES["overview"](sources, {})
    cards = {card.label: card for card in page.cards}
    test = cards["Log loss on the test rows"]
    assert test.value == "0.346"
    assert "ROC AUC 0.910" in test.detail
    assert test.detail.endswith("the share of the classes alone: 0.637")
    charts = {chart.name: chart for chart in page.charts}
    assert "Best: RandomForest, 0.346." in charts["log_loss_by_model"].about
    assert [row[3] for row in charts["log_loss_over_time"].table.rows] == [0.5, 0.3456]
    assert page.choices[0].value == "test_log_loss"
    assert "test_roc_auc" in dict(page.choices[0].options)
    assert cards["Log loss live"].value == "0.413"
    assert "95 %: 0.400 to 0.420 · 500 rows with feedback" in cards["Log loss live"].detail
    other = PAGES["overview"](sources, {"metric": "test_roc_auc"})
    distribution = {chart.name: chart for chart in other.charts}["metric_distribution"]
    assert {row[1] for row in distribution.table.rows} == {0.91}


def test_the_models_page_tells_classes_apart(sources: PageSources) -> None:
    """Scores beside the share of the most frequent class; groups with their sentence."""
    page = PAGES["models"](sources, {})
    cards = {card.label: card for card in page.cards}
    test = numbers()["test"]
    always = max(test["counts"]) / test["rows"]
    assert cards["Accuracy on the test rows, threshold 0.4"].value == "0.840"
    assert f"always no: {always:.3f}" in cards["Accuracy on the test rows, threshold 0.4"].detail
    assert cards["Log loss on the test rows"].detail.startswith("95 %: 0.310 to 0.380 · ")
    assert "on validation 0.333" in cards["Log loss on the test rows"].detail
    charts = {chart.name: chart for chart in page.charts}
    assert "ill = yes, as the dataset states it." in charts["confusion_by_threshold"].about
    ranked = charts["comparison"].table
    assert [row[0] for row in ranked.rows] == ["RandomForest", "LogisticRegression"]
    assert ranked.columns[5:9] == (
        *("validation log loss", "test log loss", "test ROC AUC", "test average precision"),
    )
    assert charts["trials"].table.columns[-2] == "validation log loss"
    sections = {section.heading: section for section in page.sections}
    assert sections["How it treats groups"].about == DISCLAIMER
    names = {chart.name for chart in sections["How it treats groups"].charts}
    assert names == {
        f"{measure}_by_age_yes"
        for measure in ("selection", "recall", "false_positive", "calibration")
    }
    assert page.extra["versions"][0]["error"] == 0.3456


def test_no_groups_no_section(sources: PageSources) -> None:
    """A run of a table that marks no column has none."""
    page = PAGES["models"](sources, {"run": WORSE.run_id})
    assert "How it treats groups" not in {section.heading for section in page.sections}


def test_the_data_page_shows_the_share_of_the_positive_class(sources: PageSources) -> None:
    """Of each partition, and of the one that is chosen."""
    page = PAGES["data"](sources, {})
    assert {card.label: card.value for card in page.cards}["ill = yes"] == "25.0 %"
    charts = {chart.name: chart for chart in page.charts}
    assert charts["classes_by_partition"].table.columns == ("table", "ill = yes")
    assert charts["classes_by_partition"].table.rows == [("whole", 0.25)]
    assert "share with ill = yes" in charts["partitions"].table.columns
    assert charts["partitions"].table.rows[0][5] == 0.25


def test_monitoring_shows_scores_of_classes(sources: PageSources) -> None:
    """Log loss, calibration, precision, recall and shares of classes; no interval, no error."""
    page = PAGES["monitoring"](sources, {})
    cards = {card.label: card.value for card in page.cards}
    assert cards["Live log loss"] == "0.413"
    charts = {chart.name: chart for chart in page.charts}
    for name, subject in (
        *(("log_loss", "all"), ("recall", "all"), ("class_drift", "all")),
        *(("mean_probability", "yes"), ("prediction_drift", "all")),
    ):
        assert [row[2] for row in charts[name].table.rows] == [subject], name
    assert {"calibration", "precision", "label_shift", "slice_log_loss"} <= set(charts)
    assert not {"rmse", "mae", "bias", "interval_evidence"} & set(charts)
    versions = charts["ab_errors"].table
    assert versions.columns == ("version", "moment", "rows", "log loss", "from", "to")
    assert versions.rows == [(3, "request", 500, 0.413, 0.4, 0.42)]
    assert "Difference of the log losses of versions" in charts["ab_comparison"].about


def test_versions_are_shown_with_their_cost(make_sources: MakeSources) -> None:
    """It is shown for a dataset that declares one; each measure has a row with its name."""
    pair = VersionComparison(
        4, 3, 0.21, (0.1, 0.32), 55.0, "2024-03-01", "version 3 costs less", 12, 900, 0, 0.1, 9
    )
    live = AbReport(
        (dataclasses.replace(LIVE.versions[0], cost=1.25, cost_interval=(1.0, 1.5)),),
        tuple(
            dataclasses.replace(pair, measure=measure, confidence=0.975)
            for measure in ("log_loss", "cost")
        ),
    )
    use_dataset(dataset_of(parse_declaration(TOML, "patients.toml")))
    page = PAGES["monitoring"](make_sources(variant="tests_of_patients", live=live), {})
    charts = {chart.name: chart for chart in page.charts}
    assert charts["ab_errors"].title == "Log losses and costs of the versions that answer"
    assert charts["ab_errors"].table.columns[-3:] == ("cost", "from", "to")
    assert charts["ab_errors"].table.rows[0][-3:] == (1.25, 1.0, 1.5)
    compared = charts["ab_comparison"]
    assert "log losses and the costs of versions" in compared.about
    assert compared.table.columns[2] == "confidence sequence of 97.5 %"
    assert [row[0] for row in compared.table.rows] == [
        "4 against 3 by log loss",
        "4 against 3 by cost",
    ]


def test_several_classes_have_a_share_each(make_sources: MakeSources) -> None:
    """And the most frequent of each partition is named."""
    text = TOML.replace("tests_of_patients", "kinds_of_illness").replace(
        'kind = "binary"\npositive_class = "yes"', 'kind = "multiclass"'
    )
    use_dataset(dataset_of(parse_declaration(text, "patients.toml")))
    partition = dataclasses.replace(PARTITION, service="kinds_of_illness")
    page = PAGES["data"](make_sources(variant="kinds_of_illness", partitions=(partition,)), {})
    charts = {chart.name: chart for chart in page.charts}
    assert charts["classes_by_partition"].table.columns == ("table", "ill = no", "ill = yes")
    assert charts["partitions"].table.columns[5] == "most frequent class"
    assert charts["partitions"].table.rows[0][5] == "no"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_charts_of_classes_are_drawn(sources: PageSources) -> None:
    """`CLASS_PICTURES` names the folder of the pictures in docs/how-to/classification.md."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 760, "height": 900}, color_scheme="light")
        faults = shown(page, dashboard_of(sources))
        page.goto(f"{HOST}/models")
        for name in PICTURED:
            # Charts of a group have the class behind their name.
            figure = page.locator(f'[id^="{name}"]').first
            figure.scroll_into_view_if_needed()
            expect(figure.locator(".plot.drawn")).to_be_visible()
            if PICTURES:
                figure.screenshot(path=f"{PICTURES}/{name}.png")
        browser.close()
    assert faults == []


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_slider_is_on_the_page(sources: PageSources) -> None:
    """It moves the matrix, and another theme leaves it where it is."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 420, "height": 900}, color_scheme="light")
        faults = shown(page, dashboard_of(sources))
        page.goto(f"{HOST}/models")
        figure = page.locator("#confusion_by_threshold")
        figure.scroll_into_view_if_needed()
        slider = figure.get_by_role("slider", name="Threshold")
        expect(figure.locator("output")).to_have_text("0.4 (in force)")
        slider.press("ArrowRight")
        expect(figure.locator("output")).to_have_text("0.41")
        cells = figure.locator(".heatmap-label").all_text_contents()
        page.emulate_media(color_scheme="dark")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(figure.locator("output")).to_have_text("0.41")
        assert figure.locator(".heatmap-label").all_text_contents() == cells
        page.evaluate("document.querySelectorAll('.plot:not(.drawn)').forEach(plots.draw)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        browser.close()
    assert faults == []

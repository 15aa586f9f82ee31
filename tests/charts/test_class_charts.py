"""The charts of a classifier say what its answers on the test rows were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect, sync_playwright

from model_loop.charts.chart import Chart
from model_loop.charts.class_numbers import MOST_CLASSES, THRESHOLDS, class_numbers
from model_loop.charts.classes import class_charts
from model_loop.charts.document import document
from model_loop.charts.explanations import feature_name
from model_loop.charts.groups import FEW, group_charts, group_table
from model_loop.charts.wording import Wording
from model_loop.datasets.classes import Classes
from model_loop.models.groups import as_records, rates_by_group

CHROMIUM = shutil.which("chromium")
WORDS = Wording("outcome", "", "patients", "patient")
TWO = Classes(("no", "yes"), "yes", false_alarm=1.0, miss=5.0)
KINDS = Classes(("a", "b", "c"))
#: Bytes of the numbers, which every page of a model reads.
MOST_BYTES = 60_000


def answers(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of two classes and probabilities of the second."""
    draw = np.random.default_rng(seed)
    probability = draw.beta(2, 4, rows)
    return (draw.random(rows) < probability).astype(float), probability


def stored(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return numbers as they are read again."""
    read: dict[str, Any] = json.loads(json.dumps(numbers, allow_nan=False))
    return read


def binary(rows: int = 2_000, threshold: float = 1 / 6) -> dict[str, Any]:
    """Return the numbers of a classifier of two classes."""
    return stored(class_numbers(*answers(rows), TWO, threshold))


def several(rows: int = 2_000) -> dict[str, Any]:
    """Return the numbers of a classifier of three classes."""
    draw = np.random.default_rng(1)
    probabilities = draw.dirichlet((1, 2, 3), rows)
    actual = [draw.choice(3, p=each) for each in probabilities]
    return stored(class_numbers(np.array(actual, float), probabilities, KINDS, None))


def named(charts: list[Chart], name: str) -> Chart:
    """Return a chart by its name."""
    return next(chart for chart in charts if chart.name == name)


def test_numbers_stay_small() -> None:
    """Any number of rows and classes."""
    draw = np.random.default_rng(0)
    many = Classes(tuple(f"class {number}" for number in range(30)))
    probabilities = draw.dirichlet(np.ones(30), 5_000)
    numbers = class_numbers(draw.choice(30, 5_000).astype(float), probabilities, many, None)
    assert len(numbers["curves"]) == MOST_CLASSES
    assert len(json.dumps(binary(200_000))) < MOST_BYTES
    assert len(json.dumps(numbers)) < 2 * MOST_BYTES
    charts = class_charts(stored(numbers), WORDS)
    assert f"{30 - MOST_CLASSES} rarer classes are left out" in named(charts, "roc_curve").about


def test_the_threshold_in_force_is_a_step_of_the_slider() -> None:
    """Its counts are those of the answers, and it is where the slider begins."""
    actual, probability = answers(2_000)
    numbers = binary()
    confusion = numbers["confusion"]
    called = probability >= 1 / 6
    assert confusion["thresholds"][confusion["in_force"]] == 1 / 6
    true_negative, false_positive, false_negative, true_positive = confusion["counts"][
        confusion["in_force"]
    ]
    assert true_positive == (called & (actual == 1)).sum()
    assert false_positive == (called & (actual == 0)).sum()
    assert false_negative == (~called & (actual == 1)).sum()
    assert true_negative == (~called & (actual == 0)).sum()
    chart = named(class_charts(numbers, WORDS), "confusion_by_threshold")
    assert chart.figure is not None
    slider = chart.figure["slider"]
    assert len(slider["steps"]) == len(THRESHOLDS) + 1
    step = slider["steps"][slider["start"]]
    assert step["value"] == "0.1667"
    assert chart.figure["data"][0]["z"] == step["z"]
    assert f"{called.mean():.1%}".replace("%", " %") in step["said"]
    cost = (false_positive + 5 * false_negative) / 2_000
    assert step["said"].startswith("In force.")
    assert f"Mean cost {cost:.4g}." in step["said"]


def test_a_threshold_that_calls_nothing_says_so() -> None:
    """There is no precision then, and no division by nothing."""
    actual, probability = answers(100)
    chart = named(
        class_charts(stored(class_numbers(actual, probability, TWO, 1.0)), WORDS),
        "confusion_by_threshold",
    )
    assert chart.figure is not None
    said = chart.figure["slider"]["steps"][-1]["said"]
    assert "0.0 % are called positive: nothing is called positive." in said
    assert chart.table.rows[-1][5] is None


def test_no_cost_is_told_where_none_is_declared() -> None:
    """Mistakes have no price then."""
    numbers = class_numbers(*answers(500), Classes(("no", "yes"), "yes"), 0.5)
    chart = named(class_charts(stored(numbers), WORDS), "confusion_by_threshold")
    assert "cost" not in chart.table.columns
    assert "cost" not in json.dumps(chart.figure)


def test_bins_hold_all_rows() -> None:
    """Their shares are drawn over the band of chance, and their rows below."""
    numbers = binary()
    chart = named(class_charts(numbers, WORDS), "reliability")
    assert sum(row[-1] for row in chart.table.rows) == numbers["rows"]
    observed = sum(row[2] * row[-1] for row in chart.table.rows)
    assert observed == pytest.approx(numbers["counts"][1], abs=0.5)
    assert chart.figure is not None
    traces = {each.get("name"): each for each in chart.figure["data"]}
    assert traces["rows"]["y"] == [row[-1] for row in chart.table.rows]
    assert traces["by chance (95 %)"]["y"] == [row[4] for row in chart.table.rows]
    lines = named(class_charts(several(), WORDS), "reliability").figure
    assert lines is not None
    assert [each["name"] for each in lines["data"]] == ["as predicted", "a", "b", "c"]


def test_many_rows_are_thinned_for_reliability() -> None:
    """It draws their classes many times."""
    numbers = binary(120_000)
    assert sum(each["rows"] for each in numbers["reliability"]["bins"]) == 50_000


def test_the_baseline_of_precision_is_the_share_of_positives() -> None:
    """It is drawn across, and said."""
    numbers = binary()
    share = numbers["counts"][1] / numbers["rows"]
    chart = named(class_charts(numbers, WORDS), "precision_recall_curve")
    assert chart.figure is not None
    baseline = chart.figure["data"][-1]
    assert baseline["y"] == [share, share]
    assert f"{share:.1%}".replace("%", " %") in baseline["name"]


def test_lift_of_few_rows_is_not_drawn() -> None:
    """It is chance; of all rows, it is 1."""
    chart = named(class_charts(binary(), WORDS), "lift")
    assert chart.table.rows[0][0] >= 30 / 2_000
    assert chart.table.rows[-1] == (1.0, 1.0)


def test_a_single_class_is_said_and_not_drawn() -> None:
    """No curve, and no error."""
    _, probability = answers(40)
    charts = class_charts(stored(class_numbers(np.zeros(40), probability, TWO, 0.5)), WORDS)
    for name in ("roc_curve", "precision_recall_curve", "cumulative_gains", "lift"):
        chart = named(charts, name)
        assert not chart.table.rows
        assert chart.empty.why.startswith("All 40 test patients are of the class no:")
    assert named(charts, "confusion_by_threshold").table.rows
    assert document("one class", charts)


def test_a_class_without_rows_is_named() -> None:
    """The others have their curves."""
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet((1, 2, 3), 60)
    numbers = stored(class_numbers(draw.choice(2, 60).astype(float), probabilities, KINDS, None))
    chart = named(class_charts(numbers, WORDS), "roc_curve")
    assert {row[0] for row in chart.table.rows} == {"a", "b"}
    assert "No test patient is of the class c." in chart.about


def test_linesclasses_are_each_against_the_rest() -> None:
    """One curve each, and a matrix of all of them that is read row by row."""
    numbers = several()
    charts = class_charts(numbers, WORDS)
    roc = named(charts, "roc_curve")
    assert roc.figure is not None
    assert [trace["name"][0] for trace in roc.figure["data"][:3]] == ["a", "b", "c"]
    matrix = named(charts, "confusion")
    assert matrix.figure is not None
    counts = np.array([row[1:] for row in matrix.table.rows])
    assert counts.sum(axis=1).tolist() == numbers["counts"]
    assert counts.sum(axis=0).tolist() == numbers["predicted_counts"]
    shares = np.array(matrix.figure["data"][0]["z"])
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert not {"lift", "cumulative_gains"} & {chart.name for chart in charts}


def test_slices_have_their_scores() -> None:
    """The worst is named."""
    slices = [
        {"slice": "age", "value": value, "rows": 50, "log_loss": loss, "recall": 0.5}
        for value, loss in (("below 40", 0.3), ("40 and more", 0.7))
    ]
    chart = named(class_charts({**binary(), "slices": slices}, WORDS), "scores_by_age")
    assert chart.table.columns == ("age", "patients", "log loss", "recall")
    assert "worst: 40 and more, 0.700. Recall and precision are in the table." in chart.about
    alike = [{**each, "accuracy": 0.8} for each in slices]
    for each in alike:
        del each["recall"]
    chart = named(class_charts({**several(), "slices": alike}, WORDS), "scores_by_age")
    assert chart.about.endswith("Accuracy is in the table.")


def test_a_run_without_numbers_has_empty_charts() -> None:
    """It has not ended."""
    assert not any(chart.table.rows for chart in class_charts({}, WORDS))


def test_means_of_classes_are_named_by_their_labels() -> None:
    """Of several classes; a column whose own name ends in a number keeps it otherwise."""
    assert feature_name("mean__island_2.0", ("a", "b", "c")) == "share of c by island"
    assert feature_name("mean__floor_7", ("a", "b", "c")) == "mean by floor_7"
    assert feature_name("mean__floor_1", ("no", "yes")) == "mean by floor_1"
    assert feature_name("category__floor_1", ("a", "b", "c")) == "floor_1"


def groups() -> list[dict[str, Any]]:
    """Return a report by group, of which one is small."""
    actual, probability = answers(400)
    names = pd.Series(np.where(np.arange(400) < FEW - 1, "small", "large"))
    rates = rates_by_group(names, actual == 1, probability >= 0.4, probability)
    return [{"column": "region", "class": "yes", "rates": stored({"": as_records(rates)})[""]}]


def test_groups_of_few_rows_say_so() -> None:
    """In every chart, in its table and in the table of the card."""
    reports = groups()
    charts = group_charts(reports, WORDS)
    assert [chart.name.partition("_by_")[0] for chart in charts] == [
        *("selection", "recall", "false_positive", "calibration"),
    ]
    for chart in charts:
        assert "small" in chart.about
        assert [row[-1] for row in chart.table.rows if row[0] == "small"] == [f"few: below {FEW}"]
    selection = charts[0].figure
    assert selection is not None
    few = selection["data"][1]
    assert few["y"] == ["small"]
    assert few["marker"]["color"] != selection["data"][0]["marker"]["color"]
    _, rows = group_table(reports[0])
    assert [row[0] for row in rows] == ["all rows", "large", "small (few)"]


def test_the_table_of_groups_says_how_far_they_are_from_all() -> None:
    """In points of the rate; all rows themselves have no difference."""
    reports = groups()
    everything, large, _ = reports[0]["rates"]
    _, rows = group_table(reports[0])
    less = 100 * (large["selection"]["value"] - everything["selection"]["value"])
    assert rows[1][2].endswith(f"), {less:+.1f}")
    assert rows[0][2].endswith(")")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_slider_moves_the_matrix(tmp_path: Path) -> None:
    """By the keyboard too; the way back is a button, and nothing is loaded."""
    numbers = binary()
    charts = [*class_charts(numbers, WORDS), *group_charts(groups(), WORDS)]
    (tmp_path / "figures.html").write_text(document("classes", charts), encoding="utf-8")
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 9_000})
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((tmp_path / "figures.html").as_uri())
        figure = page.locator("#confusion_by_threshold")
        slider = figure.get_by_role("slider", name="Threshold")
        expect(figure.locator("output")).to_have_text("0.1667 (in force)", timeout=60_000)
        cells = figure.locator(".heatmap-label")
        before = cells.all_text_contents()
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(figure.locator("output")).to_have_text("0.17")
        assert cells.all_text_contents() != before
        expect(slider).to_have_attribute("aria-valuetext", page_text(numbers, 0.17))
        figure.get_by_role("button", name="Back to 0.1667").click()
        expect(figure.locator("output")).to_have_text("0.1667 (in force)")
        assert cells.all_text_contents() == before
        browser.close()
    assert faults == []


def page_text(numbers: dict[str, Any], threshold: float) -> str:
    """Return what a screen reader says of a threshold."""
    chart = named(class_charts(numbers, WORDS), "confusion_by_threshold")
    assert chart.figure is not None
    steps = chart.figure["slider"]["steps"]
    said = next(each["said"] for each in steps if float(each["value"]) == threshold)
    return f"{threshold}. {said}"

"""The figures of a model."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from model_loop.charts import models
from model_loop.models.evaluation import Evaluation, errors_by_slice, measure
from model_loop.models.explanation import OTHERS, ShapValues
from model_loop.models.search import Trial, TuningResult

RANDOM = np.random.default_rng(0)
ACTUAL = RANDOM.uniform(1, 60, 500)
PREDICTED = ACTUAL + RANDOM.normal(0, 4, 500)
TRIPS = pd.DataFrame(
    {
        "PULocationID": RANDOM.integers(1, 264, 500),
        "trip_distance": RANDOM.exponential(3, 500),
        "pickup_datetime": pd.Timestamp("2024-03-01")
        + pd.to_timedelta(RANDOM.integers(0, 86_400, 500), unit="s"),
    }
)
EVALUATION = Evaluation(
    metrics=measure(ACTUAL, PREDICTED),
    naive=measure(ACTUAL, np.full(500, 30.0)),
    slices=errors_by_slice(TRIPS, ACTUAL, PREDICTED, described=True),
    predictions=pd.DataFrame({"actual": ACTUAL, "predicted": PREDICTED}),
)
TRIALS = (
    Trial(0, {}, EVALUATION.metrics, 0.0, 1.0, curve=(9.0, 6.0), steps=(2, 4)),
    Trial(1, {}, EVALUATION.metrics, 0.0, 1.0, curve=(9.5,), steps=(2,), stopped="median"),
    Trial(2, {}, EVALUATION.metrics, 0.0, 1.0, curve=(8.0, 5.0), steps=(2, 4)),
)


def can_be_saved(figure: Figure) -> bool:
    """Whether a figure becomes a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", list(models.FIGURES))
def test_evaluations_are_drawn(name: str) -> None:
    """Every figure of an evaluation becomes a picture."""
    assert can_be_saved(models.FIGURES[name](EVALUATION))


def test_residuals_are_the_errors() -> None:
    """All trips are in the bars; the title says how far off half of them are."""
    axes = models.residuals(EVALUATION).axes[0]
    heights = [bar.get_height() for bar in axes.patches]  # type: ignore[attr-defined]  # a bar
    assert sum(heights) == len(ACTUAL)
    middle = np.median(np.abs(PREDICTED - ACTUAL))
    assert f"{middle:.1f} minutes" in axes.get_title("left")


def test_every_slice_has_its_bar() -> None:
    """There is one bar for each line of the table."""
    figure = models.errors_by_slice(EVALUATION)
    assert sum(len(axes.patches) for axes in figure.axes) == len(EVALUATION.slices)


def test_the_best_trial_stands_out() -> None:
    """The best trial, one that was given up and another are told apart."""
    axes = models.learning_curves(TuningResult("some", TRIALS[2], TRIALS, 3.0)).axes[0]
    assert len({str(line.get_color()) for line in axes.lines}) == len(TRIALS)
    assert axes.lines[2].get_linewidth() > axes.lines[0].get_linewidth()


def test_no_curves() -> None:
    """A family without curves says so."""
    still = dataclasses.replace(TRIALS[0], curve=(), steps=())
    axes = models.learning_curves(TuningResult("some", still, (still,), 1.0)).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no curves"]


def test_importances_are_ordered() -> None:
    """The most needed column is on top."""
    table = pd.DataFrame({"column": ["a", "b"], "increase": [2.0, 0.1], "spread": [0.1, 0.0]})
    figure = models.importances(table)
    assert can_be_saved(figure)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["b", "a"]


@pytest.mark.parametrize("name", list(models.SHAP_FIGURES))
def test_shap_values_are_drawn(name: str) -> None:
    """Every figure of SHAP values becomes a picture, sums of columns included."""
    names = ["distance", "hour", OTHERS]
    columns = pd.DataFrame(RANDOM.normal(size=(50, 3)), columns=names).assign(**{OTHERS: np.nan})
    minutes = pd.DataFrame(RANDOM.normal(size=(50, 3)), columns=names)
    assert can_be_saved(models.SHAP_FIGURES[name](ShapValues(14.0, minutes, columns)))

"""Figures of a model: how far off it is, and where."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from model_loop.charts import style
from model_loop.models.evaluation import Evaluation
from model_loop.models.explanation import OTHERS, ShapValues
from model_loop.models.search import TuningResult

#: Minutes beyond which residuals are drawn together.
_FARTHEST = 20
#: Curves are cut off where they are so many times the best.
_WORST_SHOWN = 2.0
#: Columns of a SHAP figure.
_SHAP_SHOWN = 15


def residuals(evaluation: Evaluation) -> Figure:
    """Draw the distribution of the errors."""
    table = evaluation.predictions
    errors = (table.predicted - table.actual).clip(-_FARTHEST, _FARTHEST)
    figure, axes = style.figure(
        f"Half of the trips are predicted to within {errors.abs().median():.1f} minutes"
    )
    counts, edges = np.histogram(errors, bins=np.arange(-_FARTHEST, _FARTHEST + 1))
    style.bars(axes, edges[:-1].tolist(), counts.tolist(), 1.0)
    axes.axvline(0, color=style.ORANGE, linewidth=1)
    style.label(axes, f"predicted less actual minutes (±{_FARTHEST} and more together)", "trips")
    return figure


def predicted_and_actual(evaluation: Evaluation) -> Figure:
    """Predictions against what happened."""
    table = evaluation.predictions
    figure, axes = style.figure("Predicted and actual minutes", height=5.6)
    longest = float(max(table.actual.max(), table.predicted.max()))
    drawn = axes.hexbin(
        table.actual, table.predicted, gridsize=60, bins="log", mincnt=1, cmap=style.SCALE
    )
    axes.plot([0, longest], [0, longest], color=style.ORANGE, linewidth=1)
    figure.colorbar(drawn, ax=axes, label="trips", shrink=0.8)
    style.label(axes, "actual minutes", "predicted minutes")
    return figure


def errors_by_slice(evaluation: Evaluation) -> Figure:
    """Errors by hour, borough, distance and duration."""
    slices = evaluation.slices
    names = list(dict.fromkeys(slices["slice"]))
    figure, first = style.figure("Mean absolute error, in minutes", height=1.0 + 2.2 * len(names))
    first.remove()
    figure.suptitle("Mean absolute error (minutes)", x=0.01, ha="left", fontsize=11)
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(len(names), 1, place)
        part = slices[slices["slice"] == name]
        axes.bar(part.value, part.mae, color=style.BLUE)
        axes.axhline(evaluation.metrics.mae, color=style.ORANGE, linewidth=1)
        axes.set_title(f"by {name}", loc="left", fontsize=9)
        axes.tick_params(colors=style.GREY, labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def learning_curves(tuned: TuningResult) -> Figure:
    """The validation error of each trial while it was fitted."""
    curves = [trial for trial in tuned.trials if trial.curve]
    figure, axes = style.figure(f"{tuned.family}: learning curves of {len(curves)} trials")
    if not curves:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no curves", ha="center", va="center", transform=axes.transAxes)
        return figure
    for trial in curves:
        chosen = trial.number == tuned.best.number
        color = style.ORANGE if chosen else style.GREY if trial.stopped else style.BLUE
        axes.plot(
            trial.steps,
            trial.curve,
            color=color,
            linewidth=2.0 if chosen else 0.8,
            marker=".",
            markersize=3,
            zorder=3 if chosen else 2,
        )
    best = min(min(trial.curve) for trial in curves)
    axes.set_ylim(best * 0.97, best * _WORST_SHOWN)
    style.label(
        axes, "steps (orange: the best trial, grey: given up)", "validation error (minutes)"
    )
    return figure


def importances(table: pd.DataFrame) -> Figure:
    """Draw the importance of the raw columns of a model; see `models.explanation`."""
    ordered = table.sort_values("increase")
    figure, axes = style.figure("What a column is worth: added error when it is shuffled")
    axes.barh(ordered.column, ordered.increase, xerr=ordered.spread, color=style.BLUE)
    style.label(axes, "added RMSE (minutes)", "")
    return figure


def shap_summary(found: ShapValues) -> Figure:
    """Draw the minutes that each column adds to each of the trips, one dot a trip."""
    import shap

    with _shap_figure() as figure:
        shap.plots.beeswarm(_to_shap(found), max_display=_SHAP_SHOWN, show=False, plot_size=None)
        figure.axes[0].set_xlabel("minutes that the column adds to a prediction")
    return figure


def shap_bar(found: ShapValues) -> Figure:
    """Draw the mean of the minutes that each column adds or takes."""
    import shap

    with _shap_figure() as figure:
        shap.plots.bar(_to_shap(found), max_display=_SHAP_SHOWN, show=False)
        figure.axes[0].set_xlabel("minutes that the column adds or takes, on average")
    return figure


def shap_force(found: ShapValues) -> Figure:
    """Draw the contributions to the longest of the predictions."""
    import shap

    trip = int(found.minutes.sum(axis=1).argmax())
    with _shap_figure():
        figure: Figure = shap.plots.force(
            found.base,
            found.minutes.to_numpy()[trip],
            found.columns.iloc[trip].astype(float).round(2),
            matplotlib=True,
            show=False,
            figsize=(2 * style.WIDTH, 3),
            text_rotation=20,
            contribution_threshold=0.08,
        )
    return figure


def _to_shap(found: ShapValues) -> Any:  # noqa: ANN401 - shap has no types
    import shap

    return shap.Explanation(
        found.minutes.to_numpy(),
        base_values=np.full(len(found.minutes), found.base),
        # The columns that were added up have no value to be coloured by.
        data=found.columns.fillna({OTHERS: 0.0}).to_numpy(dtype=float),
        feature_names=list(found.minutes.columns),
    )


@contextlib.contextmanager
def _shap_figure() -> Iterator[Figure]:
    """The figure that shap draws into: it knows only matplotlib's current one."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    figure = plt.figure(figsize=(style.WIDTH, 5.6), dpi=style.RESOLUTION, layout="constrained")
    try:
        yield figure
    finally:
        plt.close("all")


#: The figures of SHAP values, by the name of their file.
SHAP_FIGURES: Mapping[str, Callable[[ShapValues], Figure]] = MappingProxyType(
    {"shap_summary": shap_summary, "shap_bar": shap_bar, "shap_force": shap_force}
)

#: The figures of an evaluation, by the name of their file.
FIGURES: Mapping[str, Callable[[Evaluation], Figure]] = MappingProxyType(
    {
        "residuals": residuals,
        "predicted_and_actual": predicted_and_actual,
        "errors_by_slice": errors_by_slice,
    }
)

"""Search for the best settings of a family."""

from __future__ import annotations

import math
from collections.abc import Sequence

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import plain
from model_loop.charts.wording import Wording
from model_loop.dashboard.types import TrialRun

_NO_TRIALS = Empty("No trial of this model was logged.", "sklearn_training")

#: Axes of the parallel coordinates beside that of the error.
_AXES = 8
#: Settings that span more than this are shown by their logarithm.
_LOGARITHMIC = 50
_ENDED = {"FINISHED": "ended", "KILLED": "given up", "FAILED": "failed"}


def trials_chart(trials: Sequence[TrialRun], words: Wording) -> Chart:
    """Parallel coordinates of the trials."""
    metric, title = f"validation_{words.metric}", f"validation {words.error}"
    judged = [trial for trial in trials if metric in trial.metrics]
    names = sorted({name for trial in judged for name in trial.settings})
    varied = [name for name in names if len({trial.settings.get(name) for trial in judged}) > 1]
    shown = (varied or names)[:_AXES]
    axes: dict[str, list[float | None]] = {}
    ticks: dict[str, list[tuple[float, str]]] = {}
    for name in shown:
        axes[name], ticks[name] = _axis([trial.settings.get(name) for trial in judged])
    errors = [trial.metrics[metric] for trial in judged]
    axes[title], ticks[title] = _axis([str(error) for error in errors])
    best = min(judged, key=lambda trial: trial.metrics[metric], default=None)
    return Chart(
        "trials",
        "Trials",
        words.axis(f"settings and {title}"),
        f"A line for each of {len(judged)} trials; the thick one is the best: trial {best.number}, "
        f"{words.amount(best.metrics[metric], 3)}."
        if best
        else "",
        ChartTable(
            ("trial", *names, words.axis(title), "state"),
            [
                (
                    trial.number,
                    *(trial.settings.get(name) for name in names),
                    round(trial.metrics[metric], 4),
                    _ENDED.get(trial.status, trial.status.lower()),
                )
                for trial in judged
            ],
        ),
        _NO_TRIALS,
        figures.parallel(
            axes, ticks, errors, [f"trial {trial.number}" for trial in judged], bar=title
        ),
        wide=True,
        height=380,
    )


def _axis(values: Sequence[str | None]) -> tuple[list[float | None], list[tuple[float, str]]]:
    """Places of values between 0 and 1, and what stands at some of them."""
    numbers = [_number(value) for value in values]
    parts = [number for number in numbers if number is not None]
    if len(parts) == sum(value is not None for value in values) and parts:
        low, high = min(parts), max(parts)
        logarithmic = low > 0 and high / low > _LOGARITHMIC
        scale = math.log if logarithmic else float
        span = scale(high) - scale(low) or 1.0
        places = [
            None if number is None else (scale(number) - scale(low)) / span for number in numbers
        ]
        return places, [(0.0, plain(low)), (1.0, plain(high))] if low < high else [
            (0.0, plain(low))
        ]
    words = sorted({value for value in values if value is not None})
    at = {word: place / max(len(words) - 1, 1) for place, word in enumerate(words)}
    return (
        [None if value is None else at[value] for value in values],
        [(place, word) for word, place in at.items()],
    )


def _number(value: str | None) -> float | None:
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def trials_table(trials: Sequence[TrialRun]) -> Chart:
    """Tabulate the ends of the trials."""
    counts = {
        state: sum(trial.status == status for trial in trials) for status, state in _ENDED.items()
    }
    seconds = sum(trial.metrics.get("fit_seconds", 0.0) for trial in trials)
    return Chart(
        "trial_states",
        "How the trials ended",
        "trials",
        f"{len(trials)} trials, {seconds:.1f} seconds of fitting.",
        ChartTable(
            ("state", "trials"), [(state, count) for state, count in counts.items() if trials]
        ),
        _NO_TRIALS,
        figures.bars(
            list(counts),
            list(counts.values()),
            title="trials",
            horizontal=True,
            labels=[str(count) for count in counts.values()],
        ),
        wide=True,
        height=150,
    )

"""Findings of monitoring: drift and live errors, window by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import UNKNOWN, date_of, plain
from model_loop.dashboard.page import Card, ChartGroup, Page, PageField
from model_loop.dashboard.page_data import LoadedParts, PageSources
from model_loop.dashboard.pages.ab import ab_charts
from model_loop.dashboard.pages.health import health_charts
from model_loop.dashboard.pages.intervals import interval_charts, set_charts
from model_loop.dashboard.pages.overview import asked_at, live_error
from model_loop.dashboard.types import WindowRun
from model_loop.monitoring.interval_days import INTERVAL_EVIDENCE
from model_loop.monitoring.levels import ALL

_NOTHING = Empty("Monitoring has not looked at a window yet.", "monitoring")
_NO_LABELS = Empty(
    "No true values are known yet: they come with feedback, with labels, or with a partition.",
    "monitoring",
)

#: Charts over time: metric, title, unit, and description.
_OVER_TIME = (
    (
        "psi",
        "PSI by feature",
        "PSI",
        "PSI of each feature against the training set; what chance alone gives is taken off.",
    ),
    ("psi_average", "PSI, mean of all features", "PSI", "The mean over all features."),
    (
        "shap_drift",
        "SHAP drift",
        "share of the explanation",
        "Change of the mean absolute SHAP value of each feature, as a share of what all add.",
    ),
    (
        "prediction_drift",
        "Drift of the predictions",
        "PSI",
        "Population stability index of what the version predicts.",
    ),
    (
        "drift_distance",
        "Distance of the distributions",
        "standard deviations",
        "Wasserstein distance, by Evidently.",
    ),
    (
        "unseen_share",
        "Unseen categories",
        "share of the rows",
        "Rows with a category that training never saw.",
    ),
    (
        "missing_change",
        "Change of missing values",
        "share of the rows",
        "How far the share of missing values is from that of the training set.",
    ),
)
#: Metrics of classifiers alone.
_CLASSES_OVER_TIME = (
    (
        "class_drift",
        "Drift of the predicted classes",
        "PSI",
        "PSI of the shares of predicted classes.",
    ),
    (
        "mean_probability",
        "Change of the mean probability",
        "share",
        "Change beyond chance of the mean probability of a class, as a share of that of training.",
    ),
)
_ERRORS = (
    ("rmse", "Live RMSE against the test rows", "added share"),
    ("mae", "Live MAE against the test rows", "added share"),
    ("bias", "Bias against the MAE of the test rows", "share"),
    ("slice_rmse", "RMSE of the worst slice", "added share"),
)
#: Metrics of classifiers, in the same form.
_SCORES = (
    (
        "log_loss",
        "Live log loss against the test rows",
        "added share",
        "As a share of the log loss on the test rows; 0 is as good as then.",
    ),
    (
        "calibration",
        "Calibration error",
        "beyond chance",
        "Expected calibration error beyond that of perfect probabilities.",
    ),
    (
        "precision",
        "Precision against the test rows",
        "decrease",
        "Decrease of the precision at the threshold of the version; 0 is as good as then.",
    ),
    (
        "recall",
        "Recall against the test rows",
        "decrease",
        "Decrease of the recall at the threshold of the version; 0 is as good as then.",
    ),
    (
        "label_shift",
        "Label shift",
        "PSI",
        "PSI of the shares of true classes against those of training.",
    ),
    (
        "slice_log_loss",
        "Log loss of the worst slice",
        "added share",
        "As a share of the log loss of the slice on the test rows; 0 is as good as then.",
    ),
)
_ACTING = {"ok": 0, "unknown": 1, "warn": 2, "act": 3}
_LISTED = 60
#: With so few windows, the bars would be as wide as the page.
_FEW = 6


def monitoring_page(sources: PageSources, query: Mapping[str, str]) -> Page:
    """The page of monitoring."""
    parts = sources.look("windows", "live", "registry", "health")
    lines = sorted({(one.version, one.source) for one in parts.windows}, reverse=True)
    named = {f"{version}/{source}": (version, source) for version, source in lines}
    champion = parts.registry.standing.champion
    usual = next((name for name, one in named.items() if one[0] == champion), next(iter(named), ""))
    line = query.get("line", "")
    line = line if line in named else usual
    windows = [one for one in parts.windows if (one.version, one.source) == named.get(line)]
    labels = {one.label: one for one in windows}
    window = labels.get(query.get("window", "")) or (windows[-1] if windows else None)
    return Page(
        name="monitoring",
        title="Monitoring",
        lead=f"Whether the {sources.words.rows} are still those that the model has learned "
        "from, and how far off it is now.",
        cards=_cards(window, parts)
        if window
        else [parts.card("Monitoring", ["windows"], _no_window)],
        choices=[
            PageField(
                "line",
                "Version and source",
                line,
                [
                    (name, f"{asked_at(parts, version)}, {source.replace('_', ' ')}")
                    for name, (version, source) in named.items()
                ],
            ),
            PageField(
                "window",
                "Window",
                window.label if window else "",
                [(one.label, one.label) for one in reversed(windows[-_LISTED:])],
            ),
        ],
        sections=[
            ChartGroup("Windows", parts.charts(["windows"], [_levels(windows)])),
            *(_of_windows(windows, parts) if windows else ()),
            # Two classes have neither limits nor sets.
            *(
                _intervals(window, windows, parts)
                if window and sources.dataset.target.kind != "binary"
                else ()
            ),
            ChartGroup(
                "Versions side by side (A/B)",
                parts.charts(["live", "registry"], ab_charts(parts.live, parts.registry, sources)),
            ),
            ChartGroup(
                "Service health", parts.charts(["health"], health_charts(parts.health, sources))
            ),
        ],
        notes=parts.problems,
        extra={
            "window": window,
            "window_rows": _findings(window, parts) if window else [],
            "evidently": window.run_id if window else "",
        },
        waiting=parts.waiting,
    )


def _of_windows(windows: Sequence[WindowRun], parts: LoadedParts) -> list[ChartGroup]:
    """Return drift and live errors, window by window."""
    classified = parts.sources.words.is_classified
    since_test = (
        f"As a share of the error on the test {parts.sources.words.rows}; 0 is as good as then."
    )
    return [
        ChartGroup(
            "Drift",
            [
                _over_time(windows, metric, title, unit, about, parts)
                for metric, title, unit, about in (
                    *_OVER_TIME,
                    *(_CLASSES_OVER_TIME if classified else ()),
                )
            ],
        ),
        ChartGroup(
            "Live scores" if classified else "Live error",
            [
                _over_time(windows, metric, title, unit, about, parts, _NO_LABELS)
                for metric, title, unit, about in (
                    _SCORES if classified else [(*error, since_test) for error in _ERRORS]
                )
            ],
        ),
    ]


def _intervals(
    window: WindowRun, windows: Sequence[WindowRun], parts: LoadedParts
) -> list[ChartGroup]:
    """Return intervals, or sets, by day, and the evidence that they do not hold, by window."""
    classified = parts.sources.words.is_classified
    kind = "sets" if classified else "intervals"
    about = (
        f"Evidence that {kind} as registered cover less than their level by more than two "
        "points; it may be read every day."
    )
    evidence = _over_time(
        windows, INTERVAL_EVIDENCE, f"Evidence against {kind}", "e-value", about, parts
    )
    charts = set_charts(window, parts) if classified else interval_charts(window, parts)
    return [ChartGroup("Sets of classes" if classified else "Intervals", [*charts, evidence])]


def _no_window(parts: LoadedParts) -> Card:
    dag_id = parts.sources.dag_id("monitoring")
    return Card("Monitoring", UNKNOWN, f"Run the DAG {dag_id}.", "warn")


def _cards(window: WindowRun, parts: LoadedParts) -> list[Card]:
    level = window.level if window.level in {"ok", "warn", "act"} else ""
    return [
        Card(
            "Level",
            {"act": "act", "warn": "look"}.get(window.level, window.level),
            window.found or "nothing beyond a threshold",
            level,
        ),
        Card(
            "Window",
            window.label,
            f"until {date_of(window.end)} UTC · {window.source.replace('_', ' ')}",
        ),
        Card(
            "PSI, mean", plain(window.metrics.get("psi_average.all")), _limits(parts, "psi_average")
        ),
        _live_card(window, parts),
        Card("Outcome", window.outcome or UNKNOWN, "what became of the alarm"),
    ]


def _live_card(window: WindowRun, parts: LoadedParts) -> Card:
    live = next((one for one in parts.live.versions if one.version == window.version), None)
    words = parts.sources.words
    return Card(
        f"Live {words.error}",
        words.score(live_error(live, words)[0] if live else None),
        f"{live.rows:,} {words.rows} with feedback" if live else "no feedback",
    )


def _limits(parts: LoadedParts, metric: str) -> str:
    found = parts.sources.thresholds.get(metric)
    return str(found) if found else ""


def _levels(windows: Sequence[WindowRun]) -> Chart:
    rows = [(one.label, date_of(one.end), one.level, one.found, one.outcome) for one in windows]
    grave = sum(one.level in {"warn", "act"} for one in windows)
    colors = {"ok": figures.GREEN, "warn": figures.ORANGE, "act": figures.RED}
    trace = {
        "type": "bar",
        "x": [one.label for one in windows],
        "y": [_ACTING.get(one.level, 1) + 0.15 for one in windows],
        "marker": {"color": [colors.get(one.level, figures.GREY) for one in windows]},
        "text": [one.level for one in windows],
        "textposition": "none",
        **({"width": 0.3} if len(windows) < _FEW else {}),
        "hovertemplate": "%{x}: %{text}<extra></extra>",
    }
    return Chart(
        "levels",
        "Level of each window",
        "level",
        f"{len(windows)} windows, {grave} with a warning or worse.",
        ChartTable(("window", "until (UTC)", "level", "found", "outcome"), rows),
        _NOTHING,
        {
            "data": [trace],
            "layout": {
                "showlegend": False,
                # On an axis of dates, the bar of a single window is a millisecond wide.
                "xaxis": {"type": "category", "automargin": True},
                "yaxis": {
                    "tickvals": [0.15, 1.15, 2.15, 3.15],
                    "ticktext": ["ok", "unknown", "warn", "act"],
                    "range": [0, 3.4],
                },
            },
        },
        wide=True,
        height=220,
    )


def _over_time(
    windows: Sequence[WindowRun],
    metric: str,
    title: str,
    unit: str,
    about: str,
    parts: LoadedParts,
    empty: Empty = _NOTHING,
) -> Chart:
    prefix = f"{metric}."
    rows = [
        (date_of(one.end), one.label, name.removeprefix(prefix), value)
        for one in windows
        for name, value in sorted(one.metrics.items())
        if name.startswith(prefix)
    ]
    subjects = sorted({row[2] for row in rows}, key=lambda name: (name != ALL, name))
    series = {
        subject: [(row[0], round(row[3], 5)) for row in rows if row[2] == subject]
        for subject in subjects
    }
    thresholds = parts.sources.thresholds.get(metric)
    limits = {"warn": thresholds.warn, "act": thresholds.act} if thresholds else {}
    last = max(
        (row for row in rows if rows and row[0] == rows[-1][0]),
        key=lambda row: row[3],
        default=None,
    )
    said = f" Latest and highest: {last[2]}, {last[3]:.3g}." if last else ""
    return Chart(
        metric,
        title,
        unit,
        f"{about}{said}",
        ChartTable(("until (UTC)", "window", "of", title), rows),
        empty,
        figures.lines(series, title=unit, dates=True, limits=limits, zero=metric != "bias"),
        wide=metric == "psi",
    )


def _findings(window: WindowRun, parts: LoadedParts) -> list[tuple[str, str, str, str]]:
    """Every figure of a window, with the level that it comes to."""
    found = []
    for name, value in window.metrics.items():
        metric, _, subject = name.partition(".")
        thresholds = parts.sources.thresholds.get(metric)
        if thresholds is not None:
            level = thresholds.level(value)
            found.append(
                (
                    level.rank,
                    value / (thresholds.act or 1.0),
                    (
                        f"{metric.replace('_', ' ')} of {subject}",
                        plain(value),
                        level.value,
                        str(thresholds),
                    ),
                )
            )
    return [row for _, _, row in sorted(found, key=lambda one: (-one[0], -one[1]))]

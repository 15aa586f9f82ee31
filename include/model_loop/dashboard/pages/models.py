"""The models: how they were found, how far off they are and where, and which of them answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.classes import class_charts
from model_loop.charts.explanations import explanation_charts
from model_loop.charts.formatting import UNKNOWN, date_of, plain, short
from model_loop.charts.groups import DISCLAIMER, group_charts
from model_loop.charts.models import curves_chart, evaluation_charts
from model_loop.charts.wording import Wording
from model_loop.dashboard.comparable import (
    judged_on,
    model_input,
    same_rows,
    source_of,
    span_of,
)
from model_loop.dashboard.page import Card, ChartGroup, Page, PageField
from model_loop.dashboard.page_data import LoadedParts, PageSources
from model_loop.dashboard.pages.searches import trials_chart, trials_table
from model_loop.dashboard.types import FamilyRun
from model_loop.models.search import metric_title
from model_loop.tracking.names import NUMBERS

_NO_RUNS = Empty("No model was trained yet.", "sklearn_training")
_NO_VERSIONS = Empty("Nothing is registered yet.", "sklearn_training")
_NO_HISTORY = Empty("No version was promoted yet.", "promotion")

#: Runs that are compared, and those that can be chosen.
_COMPARED, _OFFERED, _LISTED = 24, 60, 30


def models_page(sources: PageSources, query: Mapping[str, str]) -> Page:
    """The page of the models."""
    parts = sources.look("families", "registry")
    runs = [run for run in parts.families if run.service == sources.service]
    chosen = _chosen(parts, runs, query.get("run", ""), query.get("dag_run", ""))
    numbers = parts.numbers(chosen.run_id, NUMBERS) if chosen else None
    trials = parts.trials(chosen.run_id) if chosen else ()
    test = (numbers or {}).get("test") or {}
    name = _called(chosen, parts) if chosen else ""
    words = sources.words
    return Page(
        name="models",
        title="Models",
        lead="Trained models, their search, their errors overall and by slice, and the version "
        "that answers.",
        cards=_cards(chosen, parts, test)
        if chosen
        else [parts.card("Models", ["families"], _no_models)],
        choices=[
            PageField(
                "run", "Model", chosen.run_id if chosen else "", _offered(runs, parts, chosen)
            )
        ],
        sections=[
            ChartGroup("Comparison", parts.charts(["families"], [_comparison(runs, parts)])),
            ChartGroup(
                f"How {name} was found" if name else "How it was found",
                [
                    trials_chart(trials, words),
                    curves_chart(numbers, words),
                    trials_table(trials),
                ],
            ),
            *_judged(test, words),
            ChartGroup(
                "What it needs to know",
                explanation_charts(numbers, words),
            ),
            ChartGroup("Registry", parts.charts(["registry"], [_history(parts)])),
        ],
        notes=parts.problems,
        extra={
            "versions": _versions(parts),
            "led": [
                moment
                for moment, standing in parts.registry.standings.items()
                if standing.champion is not None
            ],
        },
        waiting=parts.waiting,
    )


def _judged(test: Mapping[str, Any], words: Wording) -> list[ChartGroup]:
    """Return the charts of the test rows; of a classifier with groups, theirs after them."""
    if not words.is_classified:
        return [ChartGroup("How far off it is", evaluation_charts(test, words))]
    groups = ChartGroup(
        "How it treats groups", group_charts(test.get("groups", ()), words), DISCLAIMER
    )
    return [
        ChartGroup("How well it tells the classes apart", class_charts(test, words)),
        *([groups] if groups.charts else []),
    ]


def _chosen(
    parts: LoadedParts, runs: Sequence[FamilyRun], run_id: str, dag_run: str
) -> FamilyRun | None:
    """The run that is asked for; else the champion's; else the newest that has ended."""
    champion = parts.registry.version(parts.registry.standing.champion)
    wanted = [
        next((run for run in runs if run.run_id == run_id), None),
        next((run for run in runs if dag_run and run.dag_run == dag_run), None),
        next((run for run in runs if champion and run.run_id == champion.run_id), None),
        next((run for run in runs if run.status == "FINISHED"), None),
        next(iter(runs), None),
    ]
    return next((run for run in wanted if run is not None), None)


def _called(run: FamilyRun, parts: LoadedParts) -> str:
    version = next((one for one in parts.registry.versions if one.run_id == run.run_id), None)
    number = f" (version {version.number})" if version else ""
    return f"{short(run.family)}{number}"


def _offered(
    runs: Sequence[FamilyRun], parts: LoadedParts, chosen: FamilyRun | None
) -> list[tuple[str, str]]:
    offered = list(runs[:_OFFERED])
    if chosen is not None and chosen not in offered:
        offered.append(chosen)
    return [(run.run_id, f"{_called(run, parts)}, {date_of(run.started)}") for run in offered]


def _no_models(parts: LoadedParts) -> Card:
    trainings = " or ".join(map(parts.sources.dag_id, ("sklearn_training", "xgboost_training")))
    return Card("Models", "none", f"Run the DAG {trainings}.", "warn")


def _cards(chosen: FamilyRun, parts: LoadedParts, test: Mapping[str, Any]) -> list[Card]:
    metrics = chosen.metrics
    version = next((one for one in parts.registry.versions if one.run_id == chosen.run_id), None)
    roles = parts.registry.parts(version.number) if version else []
    aliases = [f"{part}{parts.sources.at_moment(moment)}" for part, moment, _ in roles]
    return [
        Card(
            "Model",
            short(chosen.family),
            f"{model_input(chosen)} · {source_of(chosen)} · {chosen.pipeline}",
        ),
        Card(
            "Version",
            str(version.number) if version else UNKNOWN,
            ", ".join(aliases) or ("in the registry" if version else "not registered"),
            "ok" if aliases else "",
        ),
        *(
            _class_cards(metrics, test, parts.sources.words)
            if parts.sources.words.is_classified
            else _error_cards(metrics, parts)
        ),
    ]


def _error_cards(metrics: Mapping[str, float], parts: LoadedParts) -> list[Card]:
    test, with_unit = f"on the test {parts.sources.words.rows}", parts.sources.with_unit
    return [
        Card(
            f"RMSE {test}",
            with_unit(metrics.get("test_rmse")),
            f"MAE {with_unit(metrics.get('test_mae'))}",
        ),
        Card(
            "RMSE on validation",
            with_unit(metrics.get("validation_rmse")),
            f"MAE {with_unit(metrics.get('validation_mae'))}",
        ),
        Card(
            f"R² {test}",
            plain(metrics.get("test_r2")),
            f"median alone: RMSE {with_unit(metrics.get('naive_test_rmse'))}",
        ),
    ]


def _class_cards(
    metrics: Mapping[str, float], test: Mapping[str, Any], words: Wording
) -> list[Card]:
    on = f"on the test {words.rows}"

    def score(name: str) -> str:
        return words.score(metrics.get(name))

    def within(name: str) -> str:
        ends = test.get("intervals", {}).get(name)
        return f"95 %: {words.score(ends[0])} to {words.score(ends[1])} · " if ends else ""

    at, always = "", ""
    if test:
        share, label = max(zip(test["counts"], test["classes"], strict=True))
        always = f"always {label}: {words.score(share / test['rows'])} · "
        always = f"{within('accuracy')}{always}"
        at = "" if test["threshold"] is None else f", threshold {plain(test['threshold'])}"
    return [
        Card(
            f"Log loss {on}",
            score("test_log_loss"),
            f"{within('log_loss')}{words.constant} alone: {score('naive_test_log_loss')} · "
            f"on validation {score('validation_log_loss')}",
        ),
        Card(
            f"ROC AUC {on}",
            score("test_roc_auc"),
            f"{within('roc_auc')}average precision {score('test_average_precision')} · Brier score "
            f"{score('test_brier')}",
        ),
        Card(
            f"Accuracy {on}{at}",
            score("test_accuracy"),
            f"{always}recall {score('test_recall')} · precision {score('test_precision')}",
        ),
    ]


#: Columns of the comparison by metric, the first of which ranks.
_COMPARED_BY = {
    "rmse": ("validation_rmse", "test_rmse", "test_mae", "test_r2"),
    "log_loss": (
        *("validation_log_loss", "test_log_loss", "test_roc_auc", "test_average_precision"),
    ),
}


def _comparison(runs: Sequence[FamilyRun], parts: LoadedParts) -> Chart:
    numbers = {version.run_id: version.number for version in parts.registry.versions}
    words = parts.sources.words
    compared, unit = _ranked(runs[:_COMPARED], words.metric), words.unit
    errors = f"errors in {unit}" if unit else "errors"
    if words.is_classified:
        errors = "a lower log loss is better"
    columns = _COMPARED_BY[words.metric]
    rows = [
        (
            short(run.family),
            numbers.get(run.run_id),
            model_input(run),
            source_of(run),
            span_of(run.test_partitions) or None,
            *(_rounded(run.metrics.get(name)) for name in columns),
            _rounded(run.metrics.get("tuning_seconds"), 1),
            run.status.lower(),
            date_of(run.started),
        )
        for run in compared
    ]
    return Chart(
        "comparison",
        "Comparison of the newest models",
        "",
        f"The newest {len(rows)} runs; {errors}. Ranked among those of the same test rows "
        "and source, the newest rows first; those of other rows cannot be compared.",
        ChartTable(
            (
                "family",
                "version",
                "recipe",
                "source",
                f"test {parts.sources.dataset.partitions[0]}",
                *(f"{part} {metric_title(name)}" for part, _, name in map(_parted, columns)),
                "tuning (s)",
                "status",
                "trained (UTC)",
            ),
            rows,
        ),
        _NO_RUNS,
        wide=True,
    )


def _parted(metric: str) -> tuple[str, str, str]:
    return metric.partition("_")


def _ranked(runs: Sequence[FamilyRun], metric: str) -> list[FamilyRun]:
    """Sort runs by their test error within each group of the same rows, the newest group first."""
    ranked: list[FamilyRun] = []
    left = list(runs)
    while left:
        group = same_rows(left)
        ranked += sorted(group, key=lambda run: run.metrics.get(f"test_{metric}", float("inf")))
        left = [run for run in left if run not in group]
    return ranked


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def _versions(parts: LoadedParts) -> list[dict[str, Any]]:
    runs, metric = {run.run_id: run for run in parts.families}, parts.sources.words.metric
    found = []
    for version in parts.registry.versions[:_LISTED]:
        run = runs.get(version.run_id)
        found.append(
            {
                "number": version.number,
                "family": short(version.family) or "from elsewhere",
                "registered": date_of(version.registered),
                "error": run.metrics.get(f"test_{metric}") if run else None,
                "recipe": model_input(run) if run else "not known",
                "judged_on": judged_on(run) if run else "not known",
                "run_id": version.run_id,
                "parts": parts.registry.parts(version.number),
                "retired": version.retired,
            }
        )
    return found


def _history(parts: LoadedParts) -> Chart:
    rows = [
        (
            date_of(entry.at),
            entry.kind,
            entry.moment or "all",
            entry.version,
            entry.after.champion,
            f"{entry.after.challenger} ({entry.after.share:.0%})"
            if entry.after.challenger
            else None,
            entry.who,
            entry.approver or None,
            entry.why,
            entry.remarks,
        )
        for entry in parts.registry.history
    ]
    return Chart(
        "history",
        "What was done",
        "",
        "Every move of a version, the latest first; Airflow's audit log has the same runs.",
        ChartTable(
            (
                "at (UTC)",
                "action",
                "moment",
                "version",
                "champion",
                "challenger",
                "who",
                "approver",
                "why",
                "remarks",
            ),
            rows,
        ),
        _NO_VERSIONS if not parts.registry.versions else _NO_HISTORY,
        wide=True,
    )

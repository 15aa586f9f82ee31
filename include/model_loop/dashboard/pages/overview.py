"""Overview of the whole loop: champion, alarms, models over time, runs."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import UNKNOWN, age_of, date_of, percent, plain, short
from model_loop.charts.wording import Wording
from model_loop.dashboard.comparable import (
    judged_on,
    left_out,
    model_input,
    same_kind,
    same_rows,
    source_of,
)
from model_loop.dashboard.page import Card, ChartGroup, Page, PageField
from model_loop.dashboard.page_data import LoadedParts, PageSources
from model_loop.dashboard.types import FamilyRun, WindowRun
from model_loop.models.search import metric_title
from model_loop.serving.comparison.report import VersionErrors
from model_loop.tracking.deployments import Deployment

_NO_RUNS = Empty("No model was trained yet.", "sklearn_training")
TRAININGS = ("sklearn_training", "xgboost_training")

#: Metrics of a training run that can be compared, by what they are called; `metrics_of`.
_METRICS = {
    "test_rmse": "RMSE on the test {rows}",
    "validation_rmse": "RMSE on the validation {rows}",
    "test_mae": "MAE on the test {rows}",
    "validation_mae": "MAE on the validation {rows}",
    "test_r2": "R² on the test {rows}",
    "tuning_seconds": "seconds of tuning",
    "training_seconds": "seconds of training",
}
_OF_TARGET = ("rmse", "mae")
#: Those of classifiers, on the test and on the validation rows; the first ranks.
_OF_CLASSES = (
    *("log_loss", "roc_auc", "average_precision", "brier", "accuracy", "balanced_accuracy"),
    *("precision", "recall", "f1", "mcc"),
)


def metrics_of(words: Wording) -> dict[str, str]:
    """Return the metrics of a training run that can be compared, with their names for people."""
    if not words.is_classified:
        return {metric: name.format(rows=words.rows) for metric, name in _METRICS.items()}
    judged = {
        f"{part}_{name}": f"{metric_title(name)} on the {part} {words.rows}"
        for part in ("test", "validation")
        for name in _OF_CLASSES
    }
    return judged | {name: _METRICS[name] for name in ("tuning_seconds", "training_seconds")}


def overview_page(sources: PageSources, query: Mapping[str, str]) -> Page:
    """The first page."""
    parts = sources.look("families", "partitions", "registry", "windows", "live", "dags")
    metrics = metrics_of(sources.words)
    first = next(iter(metrics))
    metric = query.get("metric", first)
    metric = metric if metric in metrics else first
    runs = _own_runs(parts)
    return Page(
        name="overview",
        title="Overview",
        lead=f"{sources.title}: what answers now, how well, and what has run.",
        cards=_cards(parts),
        choices=[PageField("metric", "Metric of the distribution", metric, list(metrics.items()))],
        sections=[
            ChartGroup("Alarms", parts.charts(("dags", "windows", "registry"), [_alarms(parts)])),
            ChartGroup(
                "Models",
                parts.charts(
                    ["families"],
                    [
                        _error_by_model(runs, sources.words),
                        _losses_over_time(runs, sources.words)
                        if sources.words.is_classified
                        else _mse_over_time(runs, sources.words),
                        _share_by_model(runs),
                        _runs_by_model(runs),
                        _distribution(runs, metric, sources.words),
                    ],
                ),
            ),
            ChartGroup(
                "Runs of the DAGs",
                parts.charts(["dags"], [_days(parts, job) for job in TRAININGS]),
            ),
        ],
        notes=parts.problems,
        waiting=parts.waiting,
    )


def _own_runs(parts: LoadedParts) -> list[FamilyRun]:
    return [run for run in parts.families if run.service == parts.sources.service]


def _cards(parts: LoadedParts) -> list[Card]:
    words = parts.sources.words
    return [
        *_by_moment(parts, "Champion", ["registry"], _champion_card),
        *_by_moment(
            parts,
            f"{words.capitalized} on the test {words.rows}",
            ["registry", "families"],
            _test_card,
        ),
        *_by_moment(parts, f"{words.capitalized} live", ["registry", "live"], _live_card),
        parts.card("Last retraining", ["dags", "families"], _retraining_card),
        parts.card("Open alarms", ["dags", "windows", "registry"], _alarms_card),
        parts.card("Data until", ["partitions"], _age_card),
    ]


def _by_moment(
    parts: LoadedParts,
    label: str,
    needed: Iterable[str],
    make: Callable[[str, Deployment, LoadedParts], Card],
) -> Iterator[Card]:
    """Yield a card for the champion of each moment; where there is none, one that says so."""
    led = parts.registry.led
    if not led:
        none = Card(label, UNKNOWN, "no champion")
        if make is _champion_card:
            dag_id = parts.sources.dag_id("promotion")
            none = Card(label, "none", f"Train a model, then run the DAG {dag_id}.", "warn")
        yield parts.card(label, needed, lambda _: none)
    for moment, standing in led.items():
        named = f"{label}{parts.sources.at_moment(moment)}"
        # For the moment of this iteration.
        yield parts.card(named, needed, functools.partial(make, named, standing))


def _champion_card(label: str, standing: Deployment, parts: LoadedParts) -> Card:
    version = parts.registry.version(standing.champion)
    moved = next(
        (
            entry
            for entry in parts.registry.history
            if entry.after.champion == standing.champion != entry.before.champion
        ),
        None,
    )
    family = short(version.family) if version and version.family else ""
    since = f"since {date_of(moved.at)} UTC" if moved else ""
    why = (
        f"{moved.kind} by {moved.who or 'somebody'}{': ' if moved.why else ''}{moved.why}"
        if moved
        else ""
    )
    run = _run_of(parts, standing.champion)
    trained = f"{model_input(run)}, {source_of(run)}" if run else ""
    said = moved.remarks.split("; ") if moved else []
    remarks = "; ".join(one for one in said if one not in trained)
    told = " · ".join(
        part for part in (*_others(standing), family, trained, since, why, remarks) if part
    )
    level = "" if standing.enabled else "act"
    if not standing.enabled:
        told = f"switched off · {told}"
    return Card(label, f"version {standing.champion}", told, level)


def _others(standing: Deployment) -> list[str]:
    """List the versions that answer beside the champion."""
    found = []
    if standing.challenger is not None:
        found.append(f"canary: version {standing.challenger} answers {percent(standing.share)}")
    if standing.shadow is not None:
        found.append(f"shadow: version {standing.shadow}")
    return found


def _test_card(label: str, standing: Deployment, parts: LoadedParts) -> Card:
    run = _run_of(parts, standing.champion)
    words = parts.sources.words
    test = run.metrics.get(f"test_{words.metric}") if run else None
    naive = run.metrics.get(f"naive_test_{words.metric}") if run else None
    beside = f"{words.constant} alone: {words.score(naive)}" if naive is not None else "not tested"
    if run and words.is_classified:
        beside = f"ROC AUC {words.score(run.metrics.get('test_roc_auc'))} · {beside}"
    of = f"{model_input(run)}; {judged_on(run)} · " if run else ""
    return Card(label, words.score(test), f"{of}{beside}")


def _live_card(label: str, standing: Deployment, parts: LoadedParts) -> Card:
    live = next((one for one in parts.live.versions if one.version == standing.champion), None)
    if live is None:
        return Card(label, UNKNOWN, "No true value is known yet: send feedback.")
    words, (error, interval) = parts.sources.words, live_error(live, parts.sources.words)
    digits = 3 if words.is_classified else 2
    within = f"95 %: {interval[0]:.{digits}f} to {interval[1]:.{digits}f} · " if interval else ""
    run = _run_of(parts, standing.champion)
    of = f"{model_input(run)} · " if run else ""
    count = f"{live.rows:,} {words.rows} with feedback"
    return Card(label, words.score(error), f"{of}{within}{count}")


def live_error(live: VersionErrors, words: Wording) -> tuple[float, tuple[float, float] | None]:
    """Return the RMSE of a version with its interval; of classes the log loss."""
    if words.is_classified:
        return live.mae, live.mae_interval
    return live.rmse, live.rmse_interval


def _run_of(parts: LoadedParts, number: int | None) -> FamilyRun | None:
    """Find the run that made a version."""
    version = parts.registry.version(number)
    return next((one for one in parts.families if version and one.run_id == version.run_id), None)


def _retraining_card(parts: LoadedParts) -> Card:
    last = parts.dags.last_of(parts.sources.dag_id("retraining"))
    if last is None:
        trained = max((run.started for run in parts.families), default=None)
        if trained is None:
            return Card("Last retraining", "never", "Nothing was trained yet.", "warn")
        return Card("Last training", age_of(trained), f"{date_of(trained)} UTC, by hand")
    level = "ok" if last.state == "success" else "act"
    return Card(
        "Last retraining", age_of(last.ended), f"{last.state} · {date_of(last.ended)} UTC", level
    )


def _alarms_card(parts: LoadedParts) -> Card:
    windows = open_alarms(parts)
    failing = _failing(parts)
    count = len(windows) + len(failing)
    if not count and (why := _not_seen(parts)):
        return Card(
            "Open alarms",
            "none",
            f"No DAG fails. Monitoring {why} {parts.sources.words.rows} have drifted.",
        )
    if not count:
        return Card("Open alarms", "none", "No drift, and no DAG fails.", "ok")
    grave = bool(failing) or any(window.level == "act" for window in windows)
    told = [f"failing DAGs: {len(failing)}"] if failing else []
    told += [f"windows with findings: {len(windows)}"] if windows else []
    return Card("Open alarms", str(count), " · ".join(told), "act" if grave else "warn")


def _age_card(parts: LoadedParts) -> Card:
    service = parts.sources.service
    own = [one for one in parts.partitions if one.service == service and not one.refused]
    many, single = parts.sources.dataset.partitions
    last = max((run.test_partitions for run in _own_runs(parts)), default="").rpartition(",")[2]
    if not own and last:
        return Card("Data until", last, f"the newest test {single} of a training")
    if not own:
        return Card("Data until", UNKNOWN, f"No {single} was prepared yet.", "warn")
    newest = own[-1]
    kind = "sample data" if newest.source == "sample" else newest.source
    count = f"{len(own)} {many if len(own) > 1 else single}"
    return Card(
        "Data until", newest.partition, f"{count} · prepared {age_of(newest.logged)} · {kind}"
    )


def _not_seen(parts: LoadedParts) -> str:
    """Name the champions that were not checked, or could not be: that is no good news."""
    led = parts.registry.led
    for moment, standing in led.items():
        looked = [one for one in parts.windows if one.version == standing.champion]
        if not any(one.level == "ok" for one in looked):
            of = f", of the champion ({moment})," if len(led) > 1 else ""
            return f"could not tell{of} whether" if looked else f"has not looked{of} yet whether"
    return "" if led else "has not looked yet whether"


def _failing(parts: LoadedParts) -> dict[str, int]:
    """Return the failures of the dataset's DAGs whose latest run has failed."""
    failing = parts.dags.failing
    return {dag_id: count for dag_id, count in failing.items() if parts.sources.owns(dag_id)}


def open_alarms(parts: LoadedParts) -> list[WindowRun]:
    """List the latest window of each source of each champion, where something was found in it."""
    champions = {standing.champion for standing in parts.registry.led.values()}
    own = (window for window in parts.windows if window.version in champions)
    latest = {(window.version, window.source): window for window in own}
    return [window for window in latest.values() if window.level in {"warn", "act"}]


def _alarms(parts: LoadedParts) -> Chart:
    rows: list[tuple[str, ...]] = [
        ("DAG", dag_id, "act", f"{count} failed since the last success")
        for dag_id, count in _failing(parts).items()
    ]
    rows += [
        (
            "drift",
            f"{asked_at(parts, window.version)}, {window.label}",
            window.level,
            window.outcome or window.found,
        )
        for window in open_alarms(parts)
    ]
    return Chart(
        "alarms",
        "Open alarms",
        "",
        "DAGs whose latest run has failed, and the latest window of each champion in which "
        "something was found.",
        ChartTable(("kind", "of", "level", "what"), rows),
        Empty("No alarm is open.", "monitoring"),
        wide=True,
        links={dag_id: f"dags/{dag_id}" for dag_id in _failing(parts)},
    )


def asked_at(parts: LoadedParts, version: int) -> str:
    """Name a version, with the moment at which it stands."""
    moments = dict.fromkeys(moment for _, moment, _ in parts.registry.parts(version))
    several = len(parts.sources.dataset.asked_at) > 1
    return f"version {version}" + (f" ({', '.join(moments)})" if moments and several else "")


def by_family(runs: Iterable[FamilyRun], metric: str) -> dict[str, list[float]]:
    """Values of a metric by family, the family with the best value first."""
    found: dict[str, list[float]] = {}
    for run in runs:
        if metric in run.metrics:
            found.setdefault(short(run.family), []).append(run.metrics[metric])
    return dict(sorted(found.items(), key=lambda item: min(item[1])))


def _error_by_model(all_runs: Sequence[FamilyRun], words: Wording) -> Chart:
    runs = same_rows(all_runs)
    metric, digits = words.metric, 3 if words.is_classified else 2
    found = by_family(runs, f"test_{metric}") or by_family(runs, f"validation_{metric}")
    rows = [
        (name, len(values), min(values), sorted(values)[len(values) // 2], values[0])
        for name, values in found.items()
    ]
    best = [row[2] for row in rows]
    return Chart(
        f"{metric}_by_model",
        f"{words.capitalized} by model",
        words.unit,
        f"The best run of each family on {judged_on(runs[0])}; lower is better. "
        f"Best: {rows[0][0]}, {words.score(best[0])}.{left_out(all_runs, runs)}"
        if rows
        else "",
        ChartTable(
            (
                "family",
                "runs",
                *(words.axis(f"{which} {words.error}") for which in ("best", "median", "latest")),
            ),
            rows,
        ),
        _NO_RUNS,
        figures.bars(
            list(found),
            best,
            title=words.axis(words.error),
            horizontal=True,
            labels=[f"{value:.{digits}f}" for value in best],
        ),
    )


def _mse_over_time(all_runs: Sequence[FamilyRun], words: Wording) -> Chart:
    runs, unit = same_kind(all_runs), words.unit
    squared = f" ({unit}²)" if unit else ""
    rows = [
        (date_of(run.started), short(run.family), model_input(run), mse, mse**0.5, judged_on(run))
        for run in sorted(runs, key=lambda run: run.started)
        if (mse := run.metrics.get("test_mse", run.metrics.get("validation_mse"))) is not None
    ]
    names = sorted({row[1] for row in rows})
    series = {name: [(row[0], row[3]) for row in rows if row[1] == name] for name in names}
    return Chart(
        "mse_over_time",
        "MSE by model over time",
        squared.strip(" ()"),
        f"The mean squared error on the test {words.rows} of every run, when it was trained (UTC): "
        f"how errors go on as new {words.rows} come, which ranks nothing, for those of different "
        f"{words.rows} cannot be compared.{left_out(all_runs, runs)}",
        ChartTable(
            (
                *("trained (UTC)", "family", "recipe", f"MSE{squared}"),
                *(words.axis("RMSE"), "judged on"),
            ),
            rows,
        ),
        _NO_RUNS,
        figures.lines(series, title=f"MSE{squared}", dates=True, mode="markers"),
        height=340,
    )


def _losses_over_time(all_runs: Sequence[FamilyRun], words: Wording) -> Chart:
    runs = same_kind(all_runs)
    rows = [
        (date_of(run.started), short(run.family), model_input(run), loss, judged_on(run))
        for run in sorted(runs, key=lambda run: run.started)
        if (loss := run.metrics.get("test_log_loss", run.metrics.get("validation_log_loss")))
        is not None
    ]
    names = sorted({row[1] for row in rows})
    series = {name: [(row[0], row[3]) for row in rows if row[1] == name] for name in names}
    return Chart(
        "log_loss_over_time",
        "Log loss by model over time",
        "",
        f"The log loss on the test {words.rows} of every run, when it was trained (UTC): how it "
        f"goes on as new {words.rows} come, which ranks nothing, for those of different "
        f"{words.rows} cannot be compared.{left_out(all_runs, runs)}",
        ChartTable(("trained (UTC)", "family", "recipe", "log loss", "judged on"), rows),
        _NO_RUNS,
        figures.lines(series, title="log loss", dates=True, mode="markers"),
        height=340,
    )


def _counts(runs: Iterable[FamilyRun]) -> list[tuple[str, int, float]]:
    counts = Counter(short(run.family) for run in runs)
    total = counts.total()
    return [(name, count, count / total) for name, count in counts.most_common()]


def _share_by_model(runs: Sequence[FamilyRun]) -> Chart:
    rows = _counts(runs)
    return Chart(
        "share_by_model",
        "Runs by model",
        "share of the runs",
        ", ".join(f"{name} {percent(part)}" for name, _, part in rows[:7]) + ".",
        ChartTable(("family", "runs", "share"), rows),
        _NO_RUNS,
        figures.share([row[0] for row in rows], [row[1] for row in rows]),
    )


def _runs_by_model(runs: Sequence[FamilyRun]) -> Chart:
    rows = _counts(runs)
    finished = Counter(short(run.family) for run in runs if run.status == "FINISHED")
    table = [(name, finished[name], count - finished[name], count) for name, count, _ in rows]
    return Chart(
        "runs_by_model",
        "Total runs by model",
        "runs",
        f"{len(runs):,} runs of {len(rows)} families, finished and not.",
        ChartTable(("family", "finished", "not finished", "total"), table),
        _NO_RUNS,
        figures.stacked(
            [row[0] for row in table],
            {"finished": [row[1] for row in table], "not finished": [row[2] for row in table]},
            title="runs",
            horizontal=True,
        ),
    )


def _distribution(all_runs: Sequence[FamilyRun], metric: str, words: Wording) -> Chart:
    runs = all_runs if metric.endswith("_seconds") else same_rows(all_runs)
    found = by_family(runs, metric)
    rows = [(name, value) for name, values in found.items() for value in values]
    values = sorted(value for _, value in rows)
    middle = plain(values[len(values) // 2]) if values else ""
    unit = words.unit if metric.rpartition("_")[2] in _OF_TARGET else ""
    shown = f" ({unit})" if unit else ""
    return Chart(
        "metric_distribution",
        f"Distribution: {metrics_of(words)[metric]}",
        unit,
        f"All runs of each family that can be compared; half of all are below {middle}."
        f"{left_out(all_runs, runs)}"
        if rows
        else "",
        ChartTable(("family", f"{metric}{shown}"), rows),
        _NO_RUNS,
        figures.strip(found, title=metrics_of(words)[metric] + shown),
        wide=True,
        height=max(70 * len(found) + 80, 180),
    )


def _days(parts: LoadedParts, job: str) -> Chart:
    dag_id, days = parts.sources.dag_id(job), parts.dags.days
    rows = [(day.day, day.succeeded, day.failed) for day in days if day.dag_id == dag_id]
    succeeded, failed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return Chart(
        f"runs_of_{job}",
        f"Completed and failed runs of {dag_id}",
        "runs per day",
        f"{succeeded:,} completed and {failed:,} failed in the last 30 days with runs (UTC).",
        ChartTable(("day (UTC)", "completed", "failed"), rows),
        Empty(f"{dag_id} has not run yet.", job),
        figures.stacked(
            [row[0] for row in rows],
            {"completed": [row[1] for row in rows], "failed": [row[2] for row in rows]},
            title="runs",
            colors=(figures.GREEN, figures.RED),
        ),
    )

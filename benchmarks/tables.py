"""Tables that the benchmarks fill: which rows and columns each of them records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_FAMILIES = (
    "linear_model.LinearRegression",
    "linear_model.Lasso",
    "svm.LinearSVR",
    "ensemble.ExtraTreesRegressor",
    "ensemble.GradientBoostingRegressor",
    "ensemble.RandomForestRegressor",
    "xgboost",
)
_RECIPES = ("booking", "pair_distance", "rich")


@dataclass(frozen=True)
class ResultTable:
    """Figures that a benchmark records.

    Parameters
    ----------
    rows, columns
        Names; the unit of a column stands behind its last comma.
    published
        Whether figures count on published months alone: those of generated ones are others.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    published: bool = True


_PARTS = ("preparation", "trainings", "promotion", "batch", "monitoring", "all")
_LEVELS = ("warn, %", "act, %", "warn by two of three, %", "act by two of three, %")

#: Later rows on which intervals are measured.
_LATER = (
    *(f"trips, 2023-01+2023-02: {month}" for month in ("2024-01", "2024-02", "2024-03", "2024-04")),
    *(f"trips, 2024-01+2024-02: {month}" for month in ("2024-03", "2024-04")),
    "bikes, request: test",
    "flights, planned: test",
    "flights, departed: test",
)

KNOWN: Mapping[str, ResultTable] = {
    "blend": ResultTable(
        (
            "trips, rich: 2024-03",
            "trips, rich: 2024-04",
            "bikes, request: test",
            "diabetes, request: test",
            "flights, departed: test",
        ),
        (
            "members",
            "chosen",
            *(
                f"{part} {end}, %"
                for part in ("validation", "test")
                for end in ("gain", "from", "to")
            ),
        ),
    ),
    "airflow": ResultTable(("both training DAGs",), ("plain, s", "with Airflow, s", "added, %")),
    "parsing": ResultTable(
        ("one dataset", "fifty datasets, once more"), ("processor time, s",), published=False
    ),
    "batch_scoring": ResultTable(
        ("350,000 rows", "3,500,000 rows", "350,000 rows of CSV"),
        (
            "pyfunc, rows/s",
            "ours, rows/s",
            "faster, times",
            "pyfunc, MB",
            "ours, MB",
            "less beyond the imports, times",
        ),
    ),
    "calibration": ResultTable(
        tuple(
            f"{table}, {rule}"
            for table in ("bikes, request", "flights, planned", "flights, departed")
            for rule in ("validation", "calibration")
        ),
        ("coverage, %", "width", "test RMSE"),
        published=False,
    ),
    "capacity": ResultTable(
        ("training set of 3 x 200,000 trips", "3 evaluations", "final fit"),
        ("processor time, s", "at most, GB"),
        published=False,
    ),
    "cluster": ResultTable(_PARTS, ("make up, s", "one worker, s", "two workers, s")),
    "comparison": ResultTable(
        (
            "two models of bikes",
            "independent normal",
            "autoregressive, 0.3",
            "autoregressive, 0.5",
        ),
        ("as the report does, %", "by a t-test, daily, %"),
        published=False,
    ),
    "comparison days": ResultTable(
        ("0.5 deviations", "1 deviations"), ("decided after, days",), published=False
    ),
    "dashboard": ResultTable(
        ("the very first", "overview", "data", "models", "monitoring", "playground"),
        ("median, s", "slowest, s"),
        published=False,
    ),
    "intervals": ResultTable(
        _LATER,
        (
            "coverage at 80, %",
            "coverage at 90, %",
            "width at 90, in its unit",
            "worst hours at 90, %",
            "worst predictions at 90, %",
            "worst slice at 90, %",
            "first week, %",
            "corrected by day, %",
            "corrected width, in its unit",
        ),
    ),
    "intervals alarms": ResultTable(
        tuple(f"days that follow by {share}" for share in ("0", "0.3", "0.5")),
        ("by evidence of days, %", "by a test of rows, daily, %"),
        published=False,
    ),
    "intervals shift": ResultTable(
        (
            "errors move by 0.7 deviations",
            "errors move by 1.5 deviations",
            "errors are 1.5 times as large",
            "errors are 2.5 times as large",
        ),
        ("coverage after it, %", "said after, days", "covered again after, days"),
        published=False,
    ),
    "intervals sharper": ResultTable(
        _LATER,
        (
            "as it is, in its unit",
            "scale model, in its unit",
            "gain by scale model, %",
            "in sizes of errors, in its unit",
            "gain by sizes, %",
            "kept for this version (1 is yes)",
            "quantile regression, in its unit",
        ),
    ),
    "estimate": ResultTable(
        (
            "2023-01+2023-02, 2024-01: 2024-02",
            "2023-01+2023-02, 2024-01: 2024-03",
            "2023-01+2023-02, 2024-01: 2024-04",
            "2024-01+2024-02, 2024-03: 2024-04",
            "generated: as before",
            "generated: distances half as long again",
            "generated: speed - 25 %, inputs unchanged",
        ),
        (
            "RMSE, min",
            "estimated, min",
            "as on the test month, min",
            "days off by the estimate, min",
            "days off by the test month, min",
            "days nearer",
            "days",
        ),
    ),
    "growth": ResultTable(
        ("56,551 rows", "226,204 rows", "904,816 rows", "3,619,264 rows", "20,000,000 for-hire"),
        (
            "plain, s",
            "ours, s",
            "faster, times",
            "plain, MB",
            "ours, MB",
            "less, times",
            "less beyond the imports, times",
        ),
    ),
    "halving": ResultTable(
        ("as the catalogue says", "at the same share of the stages"),
        ("rank correlation of the first look, rho", "best kept, %", "mean regret, %", "steps, %"),
    ),
    "monitoring": ResultTable(
        (
            "as they are, 1 days",
            "as they are, 7 days",
            "a fifth longer, 1 days",
            "a fifth longer, 7 days",
        ),
        (
            "windows",
            "beyond a threshold",
            "warn or more",
            "act",
            "by two of three",
        ),
    ),
    "monitoring cost": ResultTable(
        ("100,000 predictions",),
        (
            "read, s",
            "SHAP, s",
            "PSI and the rest, s",
            "report, with Evidently's import, s",
            "all, s",
            "at most, MiB",
        ),
        published=False,
    ),
    "monotone": ResultTable(
        ("free", "monotone"), ("test RMSE, min", "a mile longer and predicted shorter, %")
    ),
    "performance": ResultTable(
        (
            "as before",
            "speed - 10 %",
            "speed - 25 %, inputs unchanged",
            "speed + 25 %, inputs unchanged",
            "distances half as long again",
            "half of the pick-ups in quiet zones",
            "rush hours 4 hours later",
        ),
        (*_LEVELS, "RMSE, min"),
        published=False,
    ),
    "population": ResultTable(
        _RECIPES,
        (
            "validation RMSE, min",
            "test RMSE, min",
            "RMSE of all trips, min",
            "left out, %",
            "tuned, s",
        ),
    ),
    "preparation": ResultTable(
        ("two months",),
        (
            "plain, s",
            "ours, s",
            "faster, times",
            *(f"{step}, s" for step in ("fetch", "check", "compare", "load profiles", "encode")),
        ),
    ),
    "quality": ResultTable(_RECIPES, ("ours, min", "FLAML, min", "stacking, min", "each had, s")),
    "quality of tables": ResultTable(
        ("bikes, request", "flights, planned", "flights, departed"),
        ("ours", "FLAML", "ours is higher, %", "each had, s"),
        published=False,
    ),
    "quality of classes": ResultTable(
        ("diabetes, request", "late, planned", "late, departed"),
        (
            "ours, log loss",
            "FLAML, log loss",
            "ours is higher, %",
            "ours, ROC AUC",
            "FLAML, ROC AUC",
            "each had, s",
        ),
        published=False,
    ),
    "distributed": ResultTable(
        ("1 worker", "2 workers", "4 workers"),
        tuple(
            f"{way}, {what}"
            for way in ("shards", "xgboost.dask")
            for what in ("s", "bytes a row", "RMSE is higher, %")
        ),
        published=False,
    ),
    "reasons": ResultTable(_FAMILIES, ("nodes", "median, ms", "p95, ms", "by its library, ms")),
    "serving": ResultTable(
        (
            "/predict",
            "an empty route of FastAPI",
            "/healthz, a bare handler",
            "mlflow models serve",
            "/healthz at half of it",
            "at half of it",
            "the same with a shadow",
        ),
        ("answers, requests/s", "p50, ms", "p99, ms", "/predict is faster, times"),
    ),
    "serving declared": ResultTable(
        tuple(
            row
            for name in ("bikes", "flights", "diabetes")
            for row in (f"/{name}/predict", f"mlflow models serve, {name}")
        ),
        ("answers, requests/s", "p50, ms", "p99, ms", "/predict is faster, times"),
        published=False,
    ),
    "own_code": ResultTable(
        ("/predict, by the runner", "mlflow models serve, from code", "a trained model"),
        (
            "answers, requests/s",
            "/predict is faster, times",
            "environment from a warm cache, s",
            "promotion to first answer, s",
            "change of requests by code beside it, %",
            "change of processor time of an answer by code beside it, %",
        ),
        published=False,
    ),
    "scale": ResultTable(
        tuple(
            f"{millions} million rows, {step}"
            for millions in (1, 5, 20, 60)
            for step in (
                "check",
                "encode",
                "tune",
                "train",
                "evaluate",
                "explain",
                "register",
                "judge",
                "monitor",
            )
        ),
        ("before, s", "before, GB", "all, s", "a round, s", "held, GB", "mapped, GB"),
        published=False,
    ),
    "scale fits": ResultTable(
        tuple(
            f"{millions} million rows, bins in {way}"
            for millions in (1, 5, 20, 40, 60, 100)
            for way in ("memory", "files")
        ),
        ("all, s", "binned, s", "a round, s", "held, GB", "mapped, GB"),
        published=False,
    ),
    "tracking": ResultTable((*_FAMILIES, "all"), ("search, s", "tracked, s", "added, %")),
    "tuning": ResultTable(
        (*_FAMILIES, "all"),
        (
            "plain, s",
            "plain RMSE, min",
            "one_hot, s",
            "one_hot RMSE, min",
            "one_hot faster, times",
            "native, s",
            "native RMSE, min",
            "native faster, times",
        ),
    ),
}

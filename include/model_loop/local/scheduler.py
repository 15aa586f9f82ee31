"""Airflow's scheduler, with the libraries of the tasks imported beforehand.

The local executor forks its workers from the scheduler, and each task from a worker. Imports of
this process are there in every task at once; otherwise each task would spend two to six seconds on
the same imports. XGBoost and scikit-learn are only imported: no thread of theirs runs before the
fork, which would make them hang after it (dmlc/xgboost#2163).
"""

from __future__ import annotations

import importlib
import sys

#: skops comes first: it looks for functions in every module that is loaded already.
PRELOADED = (
    "skops.io",
    "pandas",
    "pyarrow.parquet",
    "scipy.sparse",
    "sklearn.ensemble",
    "sklearn.pipeline",
    "sklearn.svm",
    "hyperopt",
    "xgboost",
    "mlflow.sklearn",
    "mlflow.pyfunc",
    "shap",
    "model_loop.models.tuning",
    "model_loop.models.training",
    "model_loop.training_set.preparation",
    "model_loop.serving.request_log.further_answers",
    "model_loop.tracking.challengers",
    "model_loop.tracking.models",
)


def main() -> None:
    """Import, then become the scheduler."""
    for name in PRELOADED:
        importlib.import_module(name)
    from airflow import __main__ as airflow  # noqa: PLC0415 - skops has to come first
    from mlflow.utils.requirements_utils import (  # noqa: PLC0415 - as above
        warn_dependency_requirement_mismatches,
    )

    # MLflow reads which package holds which module, for a second, and keeps it.
    warn_dependency_requirement_mismatches(["mlflow"])

    sys.argv = ["airflow", "scheduler", *sys.argv[1:]]
    airflow.main()  # type: ignore[no-untyped-call]  # Airflow does not annotate it


if __name__ == "__main__":
    main()

"""Airflow DAGs of the dataset `late`, written by `model-loop datasets add`."""

from model_loop.orchestration.factory import declare_dags

declare_dags("late")

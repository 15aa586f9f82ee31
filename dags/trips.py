"""Airflow DAGs of the dataset `trips`, written by `model-loop datasets add`."""

from model_loop.orchestration.factory import declare_dags

declare_dags("trips")

"""Airflow DAGs of the dataset `flights`, written by `model-loop datasets add`."""

from model_loop.orchestration.factory import declare_dags

declare_dags("flights")

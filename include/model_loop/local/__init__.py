"""Everything on one machine: Airflow, MLflow and a mail sink, started and stopped together."""

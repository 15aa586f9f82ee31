"""The whole loop of a machine-learning product on NYC taxi trips, as a plain Python library.

Data flows one way, and so do imports: `trips` → `training_set` → `models` → `tracking`.
Only `orchestration` knows Airflow.
"""

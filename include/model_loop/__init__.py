"""The whole loop of a machine-learning product for a table, as a plain Python library.

Data flows one way, and so do imports: `datasets` → `tables` → `partitions` → `training_set` →
`models` → `tracking`. Only `orchestration` knows Airflow.
"""

"""Import paths of versions before 0.2 that are stored: in models, and in Airflow's database.

The package is `model_loop` now (docs/renamed.md). Here are the classes and functions that stored
models, waiting tasks and DAGs of old runs name, and nothing else.
"""

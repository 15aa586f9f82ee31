"""The dataset of NYC taxi trips: how long a trip will take.

Here are the services, columns and zones, the contract of the months that TLC publishes, generated
months, and what the loop (`model_loop`) does better with trips than with any table. The modules in
`models`, `orchestration` and `training_set` are import paths of versions before 0.2 that are
stored: in models, and in Airflow's database (docs/renamed.md).
"""

"""One fit of XGBoost on several machines: rows in shards, and the workers of a Dask cluster.

Dask places the work and passes the address of XGBoost's tracker; the workers read their own shards
and talk to each other by XGBoost's collective.
"""

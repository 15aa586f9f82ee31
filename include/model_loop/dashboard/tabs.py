"""Tabs of DAGs in the Airflow UI: the page about a DAG, and its variant."""

from __future__ import annotations

from types import MappingProxyType

from model_loop.datasets.registry import sound_datasets

#: Page by job; see `orchestration.names`.
_PAGE_OF = MappingProxyType(
    {
        "data_preparation": "data",
        "sklearn_training": "models",
        "xgboost_training": "models",
        "promotion": "models",
        "monitoring": "monitoring",
        "prediction": "playground",
    }
)
#: Between the name of a dataset and the job, in the id of a DAG.
_BETWEEN = "__"


def tab_of(dag_id: str) -> tuple[str, str]:
    """Return the page about a DAG, and the key of its variant; empty if unknown."""
    name, _, job = dag_id.rpartition(_BETWEEN)
    for dataset in sound_datasets():
        names = dataset.names
        if names.dag_prefix.removesuffix(_BETWEEN) != name:
            continue
        of_partitions = job.endswith(names.partitions)
        variant = job.removesuffix(names.partitions).rstrip("_")
        keys = (key for key in (variant, f"{dataset.name}.{variant}") if key in dataset.variants)
        # The DAG of one variant alone names it.
        key = next(keys, "") if of_partitions else ""
        page = "data" if of_partitions else _PAGE_OF.get(job, "overview")
        default = "" if not names.dag_prefix else next(iter(dataset.variants))
        return page, key or default
    return "overview", ""

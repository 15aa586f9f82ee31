"""All DAGs of a dataset, declared from its declaration alone.

Nothing here looks at data: a DAG changes with its declaration and with the settings, and with
nothing else, so that Airflow keeps no version of it that nobody has made.
"""

from __future__ import annotations

import logging

from model_loop.datasets.registry import get_dataset, is_left_out
from model_loop.orchestration import connections  # noqa: F401 - tasks look them up in Airflow
from model_loop.orchestration.graphs.batch_scoring import declare_batch_scoring
from model_loop.orchestration.graphs.blending import declare_blend
from model_loop.orchestration.graphs.code import declare_code
from model_loop.orchestration.graphs.labels import declare_labels
from model_loop.orchestration.graphs.monitoring import declare_monitoring
from model_loop.orchestration.graphs.partitions import declare_partitions, declare_watching
from model_loop.orchestration.graphs.prediction import declare_prediction
from model_loop.orchestration.graphs.preparation import declare_preparation
from model_loop.orchestration.graphs.promotion import declare_override, declare_promotion
from model_loop.orchestration.graphs.retraining import declare_retraining
from model_loop.orchestration.graphs.training import (
    declare_sklearn_training,
    declare_xgboost_training,
)

logger = logging.getLogger(__name__)

#: One for each job.
_DECLARED_ONCE = (
    declare_preparation,
    declare_sklearn_training,
    declare_xgboost_training,
    declare_blend,
    declare_retraining,
    declare_promotion,
    declare_override,
    declare_code,
    declare_prediction,
    declare_batch_scoring,
    declare_labels,
    declare_monitoring,
    declare_watching,
)


def declare_dags(name: str) -> None:
    """Declare the DAGs of a dataset; Airflow finds them in the file that calls this.

    A dataset that comes with the package has none where the settings name another folder.

    Parameters
    ----------
    name
        Name of the dataset.

    Raises
    ------
    InvalidInputError
        If there is no such dataset, or its declaration is refused: Airflow shows that as the import
        error of the file, and reads all others.
    """
    if is_left_out(name):
        logger.info("The dataset %s is not in the folder of datasets: it has no DAGs.", name)
        return
    dataset = get_dataset(name)
    for declare in _DECLARED_ONCE:
        declare(dataset)
    if dataset.partition != "whole":
        declare_partitions(dataset)

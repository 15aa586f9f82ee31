"""Names that DAG files and steps share; light, because DAG files import them."""

from __future__ import annotations

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import get_dataset

#: Tag of the DAGs whose callers read the result, and in it their own mistakes.
ANSWERS = "prediction"

#: Task whose result describes a success.
RESULTS = "results"

#: The data tests, each a task of its own; `training_set.data_tests` has them by these names, and a
#: test holds that they are the same.
DATA_TESTS = (
    "rows_are_conserved",
    "nothing_leaks",
    "matrices_match_targets",
    "categories_were_seen",
    "distributions_are_sane",
)
#: Declared tables, in which categories may be new with every partition.
TABLE_TESTS = tuple(name for name in DATA_TESTS if name != "categories_were_seen")

#: Mapped tasks of a step. Airflow refuses more than 1,024, and each takes seconds to begin, so that
#: each works on several partitions where there are more of them.
MAPPED = 50

#: The jobs of every dataset; see `dag_id_of`.
PREPARATION = "data_preparation"
SKLEARN, XGBOOST = "sklearn_training", "xgboost_training"
BLEND = "blend"
RETRAINING = "retraining"
PROMOTION = "promotion"
#: Moves versions past gate and approval.
OVERRIDE = "promotion_override"
PREDICTION = "prediction"
BATCH_SCORING = "batch_scoring"
MONITORING = "monitoring"
LABELS = "labels"
#: Brings in models that are code of their own.
BRING_IN_CODE = "bring_in_code"

#: The jobs that train, each of which `retraining` runs.
TRAININGS = (SKLEARN, XGBOOST)

#: Task whose verdict an approval is based on.
JUDGE = "judge"
#: Task whose contents of a folder with code an approval shows.
INSPECT = "inspect"
#: Variables of Airflow that a form may name as environment values of code begin so.
VALUES_PREFIX = "code_values_"
ASK, MOVE, REJECT = "approval", "move", "reject"
#: Answers to the request for an approval.
CHOICES = (APPROVED, REJECTED) = ("Approve", "Reject")
#: Keys of an answer that lets code in: the digest of what the approval has shown, and the packages
#: of its environment.
SHOWN, LOCKED = "digest", "locked"

#: Between the name of a dataset and the job, in the id of a DAG.
_BETWEEN = "__"


def dag_id_of(dataset: Dataset, job: str) -> str:
    """Return the id of the DAG that does a job for a dataset: ``flights__promotion``."""
    return f"{dataset.names.dag_prefix}{job}"


def job_of(dag_id: str) -> str:
    """Return the job of a DAG: ``promotion``."""
    return dag_id.rpartition(_BETWEEN)[2]


def dataset_of_dag(dag_id: str) -> Dataset | None:
    """Return the dataset of a DAG; None if its id names none.

    Raises
    ------
    InvalidInputError
        If there is no such dataset any more, or its file is refused.
    """
    name, between, _ = dag_id.rpartition(_BETWEEN)
    return get_dataset(name) if between else None


def owner_of(dataset: Dataset) -> str | None:
    """Return the declared owner of a dataset; None if it has none."""
    return dataset.declaration.owner if dataset.declaration else None

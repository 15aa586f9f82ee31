"""Names that DAG files and steps share; light, because DAG files import them."""

from __future__ import annotations

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

#: The DAGs that train, each of which `retraining` runs.
TRAININGS = ("sklearn_training", "xgboost_training")

#: Task whose verdict an approval is based on.
JUDGE = "judge"
ASK, MOVE, REJECT = "approval", "move", "reject"
#: Answers to the request for an approval.
CHOICES = (APPROVED, REJECTED) = ("Approve", "Reject")
#: The DAG that moves versions past gate and approval.
OVERRIDE = "promotion_override"

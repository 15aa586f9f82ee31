"""Settings of training and retraining."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model_loop.settings.part import Part, names


class TrainingSettings(Part):
    """Search for models, and retraining."""

    max_evaluations: int = Field(
        default=50,
        ge=1,
        le=10_000,
        title="Evaluations",
        description="Trials per model family.",
    )
    sklearn_models: str = Field(
        default="",
        title="Families of scikit-learn",
        description="Families that are trained where a form names none, as in a retraining on new "
        "partitions, separated by commas; all six, if empty.",
    )
    blend: bool = Field(
        default=True,
        title="Blend",
        description="Let a weighted mean of the best model of each family be one more candidate "
        "for champion, where it is better than the best family by more than noise.",
    )
    training_queue: str = Field(
        default="default",
        min_length=1,
        title="Queue of trainings",
        description="Celery queue for the tasks that fit models, for large workers of their own. "
        "It has no effect without Celery.",
    )
    xgboost_threads: int = Field(
        default=2,
        ge=1,
        title="XGBoost threads",
        description="Processor threads of one XGBoost fit; it takes as many slots of the pool "
        "`training`.",
    )
    xgboost_device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        title="XGBoost device",
        description="Device that XGBoost computes on: cpu, or cuda on a machine with an NVIDIA "
        "GPU.",
    )
    cluster_address: str = Field(
        default="",
        title="Address of the cluster",
        description="Address of the scheduler of a Dask cluster, such as `tls://host:8786`, on "
        "which XGBoost's final fits of large tables run; none, if empty.",
    )
    cluster_certificates: str = Field(
        default="",
        title="Certificates of the cluster",
        description="Folder with `ca.pem`, `cluster.pem` and `cluster.key` for `tls://`.",
    )
    cluster_rows: int = Field(
        default=20_000_000,
        ge=1,
        title="Rows for the cluster",
        description="Train and validation rows from which on a fit runs on the cluster.",
    )
    cluster_timeout_seconds: int = Field(
        default=600,
        ge=10,
        title="Seconds until a fit on the cluster gives up",
        description="Longest wait for a worker that does not answer, and for other fits to end.",
    )
    watch_partitions: bool = Field(
        default=False,
        validation_alias=names("watch_partitions", "watch_months"),
        title="Watch the source",
        description="Let `watch_months` look for new partitions all the time; each starts "
        "`retraining`. Without it, `new_months` looks when it is triggered. It is for the dataset "
        "of `MODEL_LOOP_VARIANT`.",
    )
    watch_poll_seconds: float = Field(
        default=3_600.0,
        ge=6,
        title="Seconds between looks",
        description="Seconds between two checks of the source for a new partition. A file counts "
        "once two checks in a row agree.",
    )
    watch_failures: int = Field(
        default=24,
        ge=1,
        title="Failed looks",
        description="Number of failed checks in a row after which `new_months` fails, and "
        "`watch_months` starts again.",
    )
    watch_again_hours: float = Field(
        default=24.0,
        gt=0,
        title="Hours until the next try",
        description="Hours after which a partition is announced again if its retraining has not "
        "succeeded.",
    )
    retraining_schedule: str = Field(
        default="",
        title="Schedule of retraining",
        description="Cron expression (UTC) such as `0 5 1 * *`; empty for new partitions and "
        "drift alone. It is for the dataset of `MODEL_LOOP_VARIANT`; others declare `schedule`.",
    )
    retraining_train_partitions: int = Field(
        default=3,
        validation_alias=names("retraining_train_partitions", "retraining_train_months"),
        ge=1,
        le=120,
        title="Train partitions of a retraining",
        description="Number of partitions, such as months, that a retraining learns from; the one "
        "after them is tuned on, and the newest one judges.",
    )
    retry_delay_seconds: float = Field(
        default=30.0,
        gt=0,
        title="Pause before a retry",
        description="Seconds after which a failed task is tried again.",
    )
    approval: bool = Field(
        default=False,
        title="Approval",
        description="Require an approval for a promotion that passed the gate. No form can lower "
        "it; only promotion_override moves versions without one.",
    )
    override_users: str = Field(
        default="",
        title="Users of promotion_override",
        description="Names of the Airflow users, separated by commas, who may trigger the DAG that "
        "moves versions past gate and approval; none, if empty.",
    )
    approval_hours: float = Field(
        default=24.0,
        gt=0,
        title="Hours for an approval",
        description="Hours that a promotion waits for an approval.",
    )
    approval_default: Literal["Approve", "Reject"] = Field(
        default="Reject",
        title="Without an answer",
        description="Answer that a promotion gets if it waits too long.",
    )

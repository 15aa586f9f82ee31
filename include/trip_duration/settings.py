"""Every knob of the package, in one typed place.

Each setting is read from the environment variable ``TRIP_DURATION_<NAME>``; its default is the
one most users want. The trigger forms take their defaults from here.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ENVIRONMENT_PREFIX = "TRIP_DURATION_"


def _default_state() -> Path:
    return Path.cwd() / ".state"


def _default_serving_folder(known: dict[str, Any]) -> Path:
    return Path(known["state"]).resolve() / "serving"


def _default_storage_root() -> str:
    # Not as_uri(): storage libraries take the path as it is, not percent-encoded.
    return f"file://{_default_state() / 'storage'}"


class Settings(BaseSettings):
    """The package's settings."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, frozen=True, populate_by_name=True, extra="ignore"
    )

    storage_root: str = Field(
        default_factory=_default_storage_root,
        title="Storage root",
        description="Where downloads, XCom objects and data products are kept: file:// or s3://.",
    )
    tracking_uri: str = Field(
        default="http://127.0.0.1:5000",
        validation_alias=AliasChoices("TRIP_DURATION_TRACKING_URI", "MLFLOW_TRACKING_URI"),
        title="Tracking server",
        description="Address of the MLflow server that keeps runs and models.",
    )
    experiment: str = Field(
        default="trip-duration",
        title="Experiment",
        description="Name of the MLflow experiment that runs are logged to.",
    )
    source: str = Field(
        default="sample",
        title="Source of the months",
        description="sample (generated trips, always labelled so), tlc (TLC's own site), "
        "a folder, or the s3:// or https:// address of a folder.",
    )
    service: str = Field(
        default="green", title="Service", description="Whose trips: green, yellow or fhvhv."
    )
    train_months: str = Field(
        default="2024-01", title="Train months", description="Months to learn from, as YYYY-MM."
    )
    validation_months: str = Field(
        default="2024-02",
        title="Validation months",
        description="Months to tune on; they follow the train months.",
    )
    test_months: str = Field(
        default="2024-03",
        title="Test months",
        description="Months that tuning never sees; they follow the validation months.",
    )
    minimum_duration: float = Field(
        default=1.0, ge=0, title="Shortest trip", description="Minutes; shorter trips are left out."
    )
    maximum_duration: float = Field(
        default=60.0, gt=0, title="Longest trip", description="Minutes; longer trips are left out."
    )
    quarantine_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        title="Share in quarantine",
        description="A month is refused when more of its rows than this share break the contract.",
    )
    missing_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        title="Share of missing values",
        description="A month is refused when more than this share of a column, such as the "
        "passenger count, is missing.",
    )
    sample_trips_per_month: int = Field(
        default=20_000,
        ge=100,
        title="Sample trips per month",
        description="Size of a generated month, when the source is `sample`.",
    )
    sample_seed: int = Field(
        default=42,
        ge=0,
        title="Sample seed",
        description="Seed of the generated months, when the source is `sample`.",
    )
    request_timeout_seconds: float = Field(
        default=60.0,
        gt=0,
        title="Request timeout",
        description="Seconds to wait for the source of the months to answer.",
    )
    max_age_seconds: int = Field(
        default=86_400,
        ge=0,
        title="Age of a training set",
        description="Seconds for which a training set is used again without asking its source; 0 "
        "always asks. It is rebuilt only if the source has changed.",
    )
    retention_versions: int = Field(
        default=3,
        ge=0,
        title="Versions kept",
        description="Newest training sets of each service, recipe and encoding that maintenance "
        "never removes.",
    )
    retention_days: float = Field(
        default=30.0,
        ge=0,
        title="Days kept",
        description="Maintenance removes older training sets and months only when nobody has used "
        "them for so many days.",
    )
    orphan_grace_seconds: int = Field(
        default=86_400,
        ge=0,
        title="Grace of orphans",
        description="Maintenance removes stored results that no run refers to when they are older.",
    )
    max_evaluations: int = Field(
        default=50,
        ge=1,
        title="Evaluations",
        description="Trials per model family.",
    )
    training_queue: str = Field(
        default="default",
        min_length=1,
        title="Queue of trainings",
        description="Queue of Celery that tasks which fit models go to, for large workers of their "
        "own. Without Celery it says nothing.",
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
        description="Where XGBoost computes: cpu, or cuda on a machine with a GPU of NVIDIA's.",
    )
    watch_poll_seconds: float = Field(
        default=3_600.0,
        ge=6,
        title="Seconds between looks",
        description="How often `new_months` looks whether the source has published a month. What "
        "it finds has to be the same twice.",
    )
    watch_failures: int = Field(
        default=24,
        ge=1,
        title="Failed looks",
        description="When so many in a row have failed, `new_months` fails, and begins anew.",
    )
    watch_again_hours: float = Field(
        default=24.0,
        gt=0,
        title="Hours until the next try",
        description="A month whose retraining has not succeeded by then is announced again.",
    )
    retraining_schedule: str = Field(
        default="0 5 1 * *",
        title="Schedule of retraining",
        description="Cron expression (UTC); empty for new months and drift alone.",
    )
    retraining_train_months: int = Field(
        default=3,
        ge=1,
        title="Train months of retraining",
        description="How many months it learns from; the next one is tuned on, the next one after "
        "that judges.",
    )
    retry_delay_seconds: float = Field(
        default=30.0,
        gt=0,
        title="Pause before a retry",
        description="Seconds after which a task that failed is tried again.",
    )
    approval: bool = Field(
        default=False,
        title="Approval",
        description="Whether a person has to approve a promotion that passed the gate.",
    )
    approval_hours: float = Field(
        default=24.0,
        gt=0,
        title="Hours for an approval",
        description="How long a promotion waits for it.",
    )
    approval_default: Literal["Approve", "Reject"] = Field(
        default="Reject",
        title="Without an answer",
        description="What becomes of a promotion that nobody has answered in time.",
    )
    prediction_inputs: int = Field(
        default=50,
        ge=1,
        title="Trips of a prediction",
        description="The most trips that one run of the DAG prediction takes. Its result has to "
        "fit into the inline XCom size; for more trips there is the DAG batch_scoring.",
    )
    scoring_chunk_rows: int = Field(
        default=250_000,
        ge=1_000,
        title="Rows of a chunk",
        description="Rows of a file that one task of the DAG batch_scoring scores.",
    )
    scoring_folders: str = Field(
        default="",
        title="Folders to score",
        description="Folders and s3:// addresses, separated by commas, whose files the DAG "
        "batch_scoring may read, and where it may write; the storage root always is one.",
    )
    scoring_preprocessing: str = Field(
        default="",
        title="Preprocessing",
        description="Dotted name of a function from DataFrame to DataFrame that every batch of "
        "rows goes through before it is scored.",
    )
    xcom_inline_bytes: int = Field(
        default=16_384,
        ge=0,
        title="Inline XCom size",
        description="Plain JSON results up to this many bytes stay in Airflow's database.",
    )
    state: Path = Field(
        default_factory=_default_state,
        title="State folder",
        description="Where the local stack keeps everything: databases, logs, models, mails.",
    )
    serving_folder: Path = Field(
        default_factory=_default_serving_folder,
        title="Serving folder",
        description="Where the prediction server keeps its tokens, the models that it has loaded "
        "and, on one machine, its request log.",
    )
    serving_tokens: str = Field(
        default="",
        title="Tokens of the serving",
        description="File of the tokens, for servers that share it; empty for tokens.json in the "
        "serving folder.",
    )
    serving_host: str = Field(
        default="127.0.0.1",
        title="Serving address",
        description="Network address that `trip-duration serve` listens on; 0.0.0.0 for all.",
    )
    serving_port: int = Field(
        default=8090,
        ge=1,
        le=65_535,
        title="Serving port",
        description="Port of `trip-duration serve`.",
    )
    serving_refresh_seconds: float = Field(
        default=2.0,
        gt=0,
        title="Refresh of the versions",
        description="Seconds between two looks at the registry and at the tokens.",
    )
    serving_max_bytes: int = Field(
        default=4_194_304,
        ge=1_024,
        title="Largest request",
        description="Bytes; larger bodies are refused.",
    )
    serving_max_trips: int = Field(
        default=10_000,
        ge=1,
        title="Most trips of a request",
        description="Requests with more are refused; whole files are for `batch_scoring`.",
    )
    serving_rate: float = Field(
        default=1_000.0,
        ge=0,
        title="Requests per second",
        description="Of each token that has no rate of its own; 0 sets no limit.",
    )
    request_log_url: str = Field(
        default="",
        title="Request log",
        description="SQLAlchemy address of the database that predictions are logged to, such as "
        "postgresql+psycopg://user@host/name; empty for SQLite in the serving folder.",
    )
    request_log_inputs: bool = Field(
        default=True,
        title="Log the inputs",
        description="Whether the request log holds what was asked, besides what was answered.",
    )
    request_log_days: float = Field(
        default=90.0,
        ge=0,
        title="Days of the request log",
        description="Older predictions and their feedback are removed; 0 keeps all.",
    )
    request_log_buffer: int = Field(
        default=100_000,
        ge=1,
        title="Buffer of the request log",
        description="Predictions that may wait to be written; what comes beyond is dropped and "
        "counted.",
    )
    request_log_flush_seconds: float = Field(
        default=0.02,
        gt=0,
        title="Delay of the request log",
        description="Seconds for which predictions are gathered before they are written: the most "
        "that a killed server loses.",
    )
    monitoring_schedule: str = Field(
        default="0 6 * * *",
        title="Schedule of monitoring",
        description="Cron expression (UTC); empty for runs by hand alone.",
    )
    monitoring_days: float = Field(
        default=7.0,
        gt=0,
        title="Days of a window",
        description="How far a scheduled run of monitoring looks back. Whole weeks: other windows "
        "hold other weekdays than the training did.",
    )
    monitoring_trips: int = Field(
        default=500,
        ge=1,
        title="Least trips of a window",
        description="Of a window with fewer, monitoring says nothing.",
    )
    monitoring_windows: int = Field(
        default=3,
        ge=1,
        title="Windows that are remembered",
        description="Errors are judged over so many of the last windows, the present one among "
        "them.",
    )
    monitoring_windows_needed: int = Field(
        default=2,
        ge=1,
        title="Windows that are needed",
        description="In so many of them the errors have to reach a threshold before it counts.",
    )
    cooldown_hours: float = Field(
        default=168.0,
        ge=0,
        title="Hours between two drifts",
        description="After drift has started a retraining, so long nothing of the same service "
        "starts another one.",
    )
    threshold_psi: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: PSI",
        description="Warn and act; population stability index of one feature.",
    )
    threshold_psi_average: tuple[float, float] = Field(
        default=(0.05, 0.15),
        title="Threshold: average PSI",
        description="Warn and act; of all features.",
    )
    threshold_drift_distance: tuple[float, float] = Field(
        default=(0.1, 0.3),
        title="Threshold: distance",
        description="Warn and act; Wasserstein distance of a number, in its standard deviations "
        "at training.",
    )
    threshold_unseen_share: tuple[float, float] = Field(
        default=(0.01, 0.03),
        title="Threshold: unseen categories",
        description="Warn and act; share of the trips whose zone, vendor, … training never saw.",
    )
    threshold_missing_change: tuple[float, float] = Field(
        default=(0.05, 0.2),
        title="Threshold: missing values",
        description="Warn and act; change of the share of a feature that is missing.",
    )
    threshold_shap_drift: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: SHAP drift",
        description="Warn and act; change of what a feature adds to predictions, as a share of "
        "what all add.",
    )
    threshold_prediction_drift: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: predictions",
        description="Warn and act; PSI of the predicted minutes.",
    )
    threshold_rmse: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: RMSE",
        description="Warn and act; by which share the RMSE is above that of the test months.",
    )
    threshold_mae: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: MAE",
        description="Warn and act; by which share the MAE is above that of the test months.",
    )
    threshold_bias: tuple[float, float] = Field(
        default=(0.25, 0.5),
        title="Threshold: bias",
        description="Warn and act; the mean error, whatever its sign, as a share of the MAE of the "
        "test months.",
    )
    threshold_slice_rmse: tuple[float, float] = Field(
        default=(0.25, 0.5),
        title="Threshold: worst slice",
        description="Warn and act; as RMSE, of the slice that has become worse the most. It is "
        "never more than a warning.",
    )
    airflow_port: int = Field(
        default=8080, ge=1, le=65_535, title="Airflow port", description="Of the local Airflow UI."
    )
    execution_port: int = Field(
        default=8081,
        ge=1,
        le=65_535,
        title="Execution port",
        description="Of the local Airflow's API for running tasks.",
    )
    mlflow_port: int = Field(
        default=5000, ge=1, le=65_535, title="MLflow port", description="Of the local MLflow UI."
    )
    mail_port: int = Field(
        default=1025,
        ge=1,
        le=65_535,
        title="Mail port",
        description="Of the local mail sink, which keeps mails in the state folder.",
    )
    mail_to: str = Field(
        default="ml-team@example.com",
        title="Mail to",
        description="Who is told of failures: addresses separated by commas.",
    )
    mail_from: str = Field(
        default="airflow@example.com", title="Mail from", description="Sender of the mails."
    )
    alert_failure: bool = Field(
        default=True, title="Alert: failure", description="A task failed for good."
    )
    alert_success: bool = Field(
        default=False,
        title="Alert: success",
        description="A training run ended well: families, errors, links.",
    )
    alert_deadline: bool = Field(
        default=True, title="Alert: deadline", description="A run is not done in time."
    )
    alert_gate_refused: bool = Field(
        default=True, title="Alert: gate", description="A challenger did not pass the gate."
    )
    alert_drift: bool = Field(
        default=True, title="Alert: drift", description="The trips, or the errors, have changed."
    )
    alert_promotion: bool = Field(
        default=True, title="Alert: promotion", description="Another version became champion."
    )
    alert_rollback: bool = Field(
        default=True, title="Alert: rollback", description="A former version is champion again."
    )
    alert_window_seconds: int = Field(
        default=300,
        ge=0,
        title="Window of a storm",
        description="Longest pause between two mails when many things fail at once; what fails in "
        "the pause is bundled into one mail. 0 bundles nothing.",
    )
    preparation_deadline_hours: float = Field(
        default=3.0,
        gt=0,
        title="Deadline of a preparation",
        description="Hours after which a run of data_preparation is reported as late.",
    )
    training_deadline_hours: float = Field(
        default=12.0,
        gt=0,
        title="Deadline of a training",
        description="Hours after which a training run is reported as late.",
    )


@functools.cache
def get_settings() -> Settings:
    """The settings of this process, read once from the environment."""
    return Settings()

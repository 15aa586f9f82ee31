"""Settings of sources and of storage."""

from __future__ import annotations

from pydantic import AliasChoices, Field, field_validator

from model_loop.masking import mask_logins
from model_loop.settings.part import Part, default_state, names


def _default_storage_root() -> str:
    # Not as_uri(): storage libraries take the path as it is, not percent-encoded.
    return f"file://{default_state() / 'storage'}"


class DataSettings(Part):
    """Settings of sources and storage."""

    @field_validator("source", "allowed_sources")
    @classmethod
    def _without_login(cls, value: str) -> str:
        if mask_logins(value) != value:
            # The forms show it, and every run keeps it.
            raise ValueError("carries a login, which belongs into ~/.netrc or the environment")
        return value

    storage_root: str = Field(
        default_factory=_default_storage_root,
        title="Storage root",
        description="Folder or bucket of downloads, XCom objects and data products: file:// or s3://.",
    )
    datasets_folder: str = Field(
        default="",
        title="Folder of datasets",
        description="Folder with one TOML file for each table, besides the datasets of installed "
        "packages. Empty: the folder `datasets` beside the package.",
    )
    dags_folder: str = Field(
        default="",
        validation_alias=AliasChoices("MODEL_LOOP_DAGS_FOLDER", "AIRFLOW__CORE__DAGS_FOLDER"),
        title="Folder of DAG files",
        description="Folder into which `datasets add` writes the file by which Airflow finds the "
        "DAGs of a dataset. Empty: the folder `dags` of the checkout, for datasets of its own "
        "folder, and none for others.",
    )
    tracking_uri: str = Field(
        default="http://127.0.0.1:5000",
        validation_alias=AliasChoices("MODEL_LOOP_TRACKING_URI", "MLFLOW_TRACKING_URI"),
        title="Tracking server",
        description="Address of the MLflow server with the runs and models.",
    )
    experiment: str = Field(
        default="",
        title="Experiment",
        description="Name of the MLflow experiment that runs of all datasets are logged to. "
        "Empty: each dataset has one of its own name, and a dataset of an installed package "
        "may name another. Runs in the experiments of earlier versions are found as well.",
    )
    source: str = Field(
        default="",
        title="Source of the partitions",
        description="A folder, or the s3:// or https:// address of a folder, for datasets that "
        "name no source of their own. Without a login: that belongs into ~/.netrc or the "
        "environment.",
    )
    allowed_sources: str = Field(
        default="",
        title="Sources that runs may name",
        description="Folders, s3:// and https:// addresses, separated by commas, that a form may "
        "name, with everything below them. The source of the settings, the storage root and the "
        "sources that a dataset itself names are always allowed. * allows any, which is the "
        "default of `make up`.",
    )
    variant: str = Field(
        default="",
        validation_alias=names("variant", "service"),
        title="Variant",
        description="Key of the variant that commands mean where none is named, and that the "
        "prediction server answers for at its root.",
    )
    partitions_schedule: str = Field(
        default="",
        validation_alias=names("partitions_schedule", "months_schedule"),
        title="Schedule of partitions",
        description="Cron expression (UTC) such as `0 6 1 * *`, by which the DAG of the "
        "variant's partitions (of months: `<variant>_months`) prepares the newest one that is "
        "published; empty for runs by hand and backfills alone.",
    )
    quarantine_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        title="Share in quarantine",
        description="A partition is refused when more of its rows than this share break the "
        "contract.",
    )
    missing_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        title="Share of missing values",
        description="A partition is refused when more than this share of a column is missing.",
    )
    request_timeout_seconds: float = Field(
        default=60.0,
        gt=0,
        title="Request timeout",
        description="Seconds to wait for the source of the partitions to answer.",
    )
    cache_bytes: int = Field(
        default=20 * 2**30,
        ge=0,
        title="Size of the cache (bytes)",
        description="Bytes of all fetched files together. Of more, those that were used least "
        "recently are removed, before a download and by the DAG maintenance; they are fetched "
        "again when they are needed. 0 sets no bound.",
    )
    cache_minimum_seconds: float = Field(
        default=86_400.0,
        ge=0,
        title="Grace of the cache (seconds)",
        description="Seconds since its last use within which a fetched file is never removed.",
    )
    max_age_seconds: int = Field(
        default=86_400,
        ge=0,
        title="Age of a training set (seconds)",
        description="Age up to which a training set is reused without checking its source; 0 "
        "always checks. It is rebuilt only if the source has changed.",
    )
    retention_versions: int = Field(
        default=3,
        ge=0,
        title="Versions kept",
        description="Number of the newest training sets of each variant, recipe and encoding that "
        "are never removed.",
    )
    retention_days: float = Field(
        default=30.0,
        ge=0,
        title="Days kept",
        description="Older training sets and partitions are kept if they were used within this "
        "many days.",
    )
    log_retention_days: float = Field(
        default=30.0,
        gt=0,
        title="Days of logs kept",
        description="Days without a write after which a log is removed.",
    )
    orphan_grace_seconds: int = Field(
        default=86_400,
        ge=0,
        title="Grace of orphans",
        description="Age (seconds) from which maintenance removes stored results that no run "
        "refers to.",
    )

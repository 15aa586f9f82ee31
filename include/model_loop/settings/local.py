"""The stack of one machine."""

from __future__ import annotations

from pydantic import Field

from model_loop.settings.part import Part


class LocalSettings(Part):
    """The stack of one machine."""

    airflow_users: str = Field(
        default="admin:admin",
        pattern=r"^admin:admin(,[\w.-]+:(viewer|user|op|admin)?)*$",
        title="Airflow logins",
        description="Names and roles of the local Airflow, such as admin:admin,ann:viewer,bob:op. "
        "Airflow makes a password for each and stores it in passwords.json of the state "
        "folder.",
    )
    airflow_port: int = Field(
        default=8080,
        ge=1,
        le=65_535,
        title="Airflow port",
        description="Port of the local Airflow UI.",
    )
    execution_port: int = Field(
        default=8081,
        ge=1,
        le=65_535,
        title="Execution port",
        description="Port of the local Airflow's API for running tasks.",
    )
    mlflow_port: int = Field(
        default=5000,
        ge=1,
        le=65_535,
        title="MLflow port",
        description="Port of the local MLflow UI.",
    )
    mail_port: int = Field(
        default=1025,
        ge=1,
        le=65_535,
        title="Mail port",
        description="Port of the local mail sink, which stores mails in the state folder.",
    )

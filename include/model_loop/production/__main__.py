"""Commands of a deployment; docker-compose.yaml and the Makefile call them."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
from cyclopts import App, CycloptsError
from rich.console import Console

from model_loop.cluster.certificates import write_certificates
from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.production.buckets import make_bucket
from model_loop.production.databases import Database, make_databases, migrate_mlflow
from model_loop.production.environment import example, fresh_environment
from model_loop.production.scraping import PROMETHEUS, airflow_token, serving_token
from model_loop.settings import get_settings
from model_loop.settings.servers import PATIENT_WORKERS

BAD_INPUT = 2
FAILED = 1

_POOL_IS = "Processor cores for fitting models"

app = App(name="python -m model_loop.production", help=__doc__)
console = Console(soft_wrap=True, highlight=False)


def main() -> None:
    """Run a command; what goes wrong ends it with one message, no traceback."""
    try:
        sys.exit(app(exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except (ModelLoopError, CycloptsError) as error:
        Console(stderr=True, soft_wrap=True).print(f"Error: {error}", markup=False)
        sys.exit(BAD_INPUT)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode or FAILED)


@app.command(name="env")
def print_env() -> None:
    """Print an environment file with fresh secrets."""
    sys.stdout.write(fresh_environment())


@app.command(name="env-example")
def print_env_example() -> None:
    """Print every variable of the compose file, with no secret in it."""
    sys.stdout.write(example())


@app.command
def init() -> None:
    """Make what is missing: databases, bucket, pool, logins, tokens. Safe to repeat."""
    from model_loop.serving.http.server import token_file  # noqa: PLC0415 - other commands need no server

    make_databases(
        _needed("POSTGRES_ADMIN_URL"),
        [
            Database("airflow", "airflow", _needed("AIRFLOW_DB_PASSWORD")),
            Database("mlflow", "mlflow", _needed("MLFLOW_DB_PASSWORD")),
            Database("mlflow_auth", "mlflow", _needed("MLFLOW_DB_PASSWORD")),
            Database("requests", "requests", _needed("REQUESTS_DB_PASSWORD")),
        ],
    )
    console.print("Databases: there")
    bucket = _needed("S3_BUCKET")
    console.print(f"Bucket {bucket}: {'made' if make_bucket(bucket) else 'there'}")
    _run("airflow", "db", "migrate")
    _run("airflow", "pools", "set", "training", _needed("TRAINING_SLOTS"), _POOL_IS)
    _login("admin", "Admin", _needed("AIRFLOW_ADMIN_PASSWORD"))
    _login(PROMETHEUS, "Viewer", _needed("PROMETHEUS_PASSWORD"))
    made = serving_token(
        token_file(get_settings()), Path(_needed("SCRAPE_FOLDER"), "serving.token")
    )
    console.print(f"Token of Prometheus: {'made' if made else 'there'}")
    if folder := get_settings().cluster_certificates:
        certificates(Path(folder))


@app.command
def certificates(folder: Path, /) -> None:
    """Make the certificates that the members of a Dask cluster show each other.

    Parameters
    ----------
    folder
        Folder for the three files; those that are there stay.
    """
    written = write_certificates(folder)
    console.print(f"Certificates of the cluster: {'made' if written else 'there'}")


@app.command(name="mlflow")
def run_mlflow(*, host: str = "0.0.0.0", port: int = 5000) -> None:  # noqa: S104 - inside its container
    """Become an MLflow server behind logins; databases and store come from the environment.

    Parameters
    ----------
    host
        Network address to listen on.
    port
        Port to listen on.
    """
    rules = configparser.RawConfigParser()
    # The password of the first login comes from the environment, not from a file.
    rules["mlflow"] = {
        "default_permission": "READ",
        "database_uri": _needed("MLFLOW_AUTH_DATABASE_URL"),
        "admin_username": "admin",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # Else each request pays for a key derivation; changed passwords count a minute later.
        "auth_cache_ttl_seconds": "60",
    }
    folder = Path(tempfile.mkdtemp(prefix="mlflow-"))
    file = folder / "auth.ini"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        rules.write(out)
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(file)
    migrate_mlflow(_needed("MLFLOW_DATABASE_URL"))
    command = ["mlflow", "server", "--app-name", "basic-auth", "--workers", "2"]
    command += ["--host", host, "--port", str(port)]
    command += ["--backend-store-uri", _needed("MLFLOW_DATABASE_URL")]
    command += ["--artifacts-destination", _needed("MLFLOW_ARTIFACTS")]
    command += ["--allowed-hosts", _needed("MLFLOW_HOSTS")]
    command += ["--uvicorn-opts", PATIENT_WORKERS]
    os.execvp(command[0], command)  # noqa: S606 - our own words


@app.command
def scrape_token(*, every_seconds: float = 21_600.0) -> None:
    """Fetch a new token of Airflow for Prometheus, again and again.

    Parameters
    ----------
    every_seconds
        Pause between two; tokens end after a day.
    """
    target = Path(_needed("SCRAPE_FOLDER"), "airflow.token")
    while True:
        try:
            airflow_token(_needed("AIRFLOW_API_URL"), _needed("PROMETHEUS_PASSWORD"), target)
            pause = every_seconds
        except requests.RequestException as error:
            console.print(f"No token yet: {error}", markup=False)
            pause = 30.0
        time.sleep(pause)


def _login(name: str, role: str, password: str) -> None:
    user = ["--username", name, "--role", role, "--email", f"{name}@example.com"]
    user += ["--firstname", name, "--lastname", role]
    # Airflow takes a password as an argument or from a terminal alone; this container has no other
    # process that could look.
    _run("airflow", "users", "create", *user, "--password", password)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own words


def _needed(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise InvalidInputError(
            f"The environment variable {name}", "is needed", "Set it; `make secrets` makes a .env."
        )
    return value


if __name__ == "__main__":
    main()

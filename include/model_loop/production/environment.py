"""The settings of a deployment: ``.env`` with fresh secrets, and its annotated example."""

from __future__ import annotations

import hashlib
import secrets
import textwrap
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass

from model_loop.settings import all_settings


def _word() -> str:
    # Hexadecimal: safe inside every address and every shell.
    return secrets.token_hex(24)


def _fernet() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Variable:
    """One variable of the compose file.

    Parameters
    ----------
    name
        Name in the compose file.
    about
        Purpose of the variable.
    make
        Makes a fresh secret; None for what has a default.
    default
        Default of the compose file.
    needed
        Whether nothing starts without the secret.
    digest_of
        Variable whose SHA-256 this one is.
    """

    name: str
    about: str
    make: Callable[[], str] | None = None
    default: str = ""
    needed: bool = True
    digest_of: str = ""


def _of_setting(name: str, setting: str) -> Variable:
    """A variable with the text and the default of a setting."""
    field = all_settings().model_fields[setting]
    return Variable(name, str(field.description), default=str(field.default))


#: Secrets have no default: without them, nothing starts.
VARIABLES = (
    Variable("POSTGRES_PASSWORD", "Postgres: its administrator.", _word),
    Variable("AIRFLOW_DB_PASSWORD", "Postgres: Airflow's own database.", _word),
    Variable("MLFLOW_DB_PASSWORD", "Postgres: MLflow's databases.", _word),
    Variable("REQUESTS_DB_PASSWORD", "Postgres: the request log.", _word),
    Variable("REDIS_PASSWORD", "Redis: the queue of tasks.", _word),
    Variable("S3_ACCESS_KEY", "Object store: name of the key.", lambda: secrets.token_hex(10)),
    Variable("S3_SECRET_KEY", "Object store: the key.", _word),
    Variable("AIRFLOW_FERNET_KEY", "Encrypts Airflow's connections and variables.", _fernet),
    Variable("AIRFLOW_SECRET_KEY", "Signs the session cookies of the Airflow UI.", _word),
    Variable("AIRFLOW_JWT_SECRET", "Signs the tokens of users and of running tasks.", _word),
    Variable("AIRFLOW_ADMIN_PASSWORD", "Login admin of Airflow; counts at the first start.", _word),
    Variable(
        "PROMETHEUS_PASSWORD",
        "Login prometheus of Airflow (viewer); counts at the first start.",
        _word,
    ),
    Variable("MLFLOW_ADMIN_PASSWORD", "Login admin of MLflow; counts at the first start.", _word),
    Variable("MLFLOW_SECRET_KEY", "Signs what MLflow's pages keep in browsers.", _word),
    Variable(
        "CODE_KEYS", "Signs code that was admitted, encrypts its values.", _fernet, needed=False
    ),
    Variable("RUNNER_TOKEN", "Token of those who ask the runner.", _word, needed=False),
    Variable(
        "RUNNER_TOKEN_SHA256",
        "SHA-256 of that token: all that the runner knows of it.",
        digest_of="RUNNER_TOKEN",
    ),
    Variable(
        "MODEL_LOOP_IMAGE",
        "Image of the package; built from here.",
        default="model-loop:local",
    ),
    Variable("BIND_ADDRESS", "Where the proxy listens; 0.0.0.0 for all.", default="127.0.0.1"),
    Variable(
        "AIRFLOW_ADDRESS",
        "Site of Airflow. A host name makes the proxy serve HTTPS on port 443, with a certificate "
        "that it gets by itself.",
        default="http://:8080",
    ),
    Variable("AIRFLOW_URL", "The same as users type it.", default="http://127.0.0.1:8080"),
    Variable("MLFLOW_ADDRESS", "Site of MLflow.", default="http://:5000"),
    Variable(
        "MLFLOW_HOSTS",
        "Host names under which MLflow answers, beside its own.",
        default="localhost:*,127.0.0.1:*",
    ),
    Variable("SERVING_ADDRESS", "Site of the predictions.", default="http://:8090"),
    Variable(
        "BODY_TIMEOUT",
        "Time in which the body of a request has to reach the proxy whole; raise it for large "
        "models that are logged from outside over a slow line.",
        default="60s",
    ),
    Variable("S3_BUCKET", "Bucket for partitions, results and models.", default="trip-duration"),
    Variable("S3_REGION", "Region of the object store.", default="us-east-1"),
    Variable(
        "S3_ENDPOINT",
        "Another object store than the one that is started.",
        default="http://s3:8333",
    ),
    Variable("SMTP_HOST", "Mail server; the catcher keeps all mails.", default="mail"),
    Variable("SMTP_PORT", "Its port.", default="1025"),
    Variable("SMTP_LOGIN", "Login there, where it asks for one."),
    Variable("SMTP_PASSWORD", "And its password."),
    Variable("SMTP_DISABLE_TLS", "false for STARTTLS.", default="true"),
    Variable("MAIL_TO", "Addresses that failures are mailed to.", default="ml-team@example.com"),
    _of_setting("SOURCE", "source"),
    Variable("ALLOWED_SOURCES", "Further folders and addresses that forms may name as source."),
    Variable("APPROVAL", "Require an approval for a promotion.", default="false"),
    Variable("CORS_ORIGINS", "Web pages that may ask the prediction server, by origin."),
    Variable("OVERRIDE_USERS", "Airflow users who may trigger promotion_override."),
    _of_setting("SERVICE", "variant"),
    Variable("WORKER_CONCURRENCY", "Tasks of one worker at the same time.", default="2"),
    Variable(
        "WORKER_CPUS",
        "Processors of one worker; more than the machine has are refused by the engine.",
        default="2",
    ),
    Variable("WORKER_MEMORY", "Memory of one worker.", default="6G"),
    Variable(
        "CLUSTER_ADDRESS",
        "Scheduler of the Dask cluster for fits of large tables, as tls://dask-scheduler:8786 with "
        "the profile cluster; none, if empty.",
    ),
    _of_setting("CLUSTER_ROWS", "cluster_rows"),
    Variable("CLUSTER_CPUS", "Processors of one worker of the cluster.", default="2"),
    Variable("CLUSTER_MEMORY", "Memory of one worker of the cluster.", default="6G"),
    Variable(
        "CODE",
        "true lets models be code of their own, which the service runner of the profile code runs.",
        default="false",
    ),
    Variable(
        "CODE_ROLES", "Roles of Airflow that may bring code in; all that start DAGs, if empty."
    ),
    Variable("RUNNER_CPUS", "Processors of the runner, for all versions together.", default="2"),
    Variable("RUNNER_MEMORY", "Memory of the runner, and of the files in it.", default="4G"),
    _of_setting("RUNNER_VERSION_MEMORY", "runner_memory_bytes"),
    Variable(
        "TRAINING_SLOTS", "Cores for fits, of all workers together (pool training).", default="2"
    ),
)

_HEADER = """\
# Settings of docker-compose.yaml. `make secrets` writes a .env with fresh secrets; without each of
# them the start is refused. Made by `make docs` from
# include/model_loop/production/environment.py.
"""


def example() -> str:
    """Every variable, with no secret in it."""
    return _text(lambda _: "")


def fresh_environment() -> str:
    """Return the environment with a fresh secret for each that is needed."""
    return _text(lambda make: make())


def _text(secret: Callable[[Callable[[], str]], str]) -> str:
    entries, made = [_HEADER], {"": ""}
    for one in VARIABLES:
        about = "\n".join(f"# {line}" for line in textwrap.wrap(one.about, 96))
        if one.make:
            made[one.name] = secret(one.make)
        elif token := made[one.digest_of]:
            made[one.name] = hashlib.sha256(token.encode()).hexdigest()
        known = one.make or one.digest_of
        value = f"{one.name}={made.get(one.name, '')}" if known else f"# {one.name}={one.default}"
        entries.append(f"{about}\n{value}\n")
    return "\n".join(entries)

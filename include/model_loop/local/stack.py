"""Local stack: folders, ports, processes and their environment."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from model_loop.settings import ENVIRONMENT_PREFIX, Settings
from model_loop.settings.servers import PATIENT_WORKERS
from model_loop.sources.allowed import ANY

HOST = "127.0.0.1"
ADMIN = "admin"

#: Marks every process of a stack, so that `down` finds them all, also after a crash.
MARKER = f"{ENVIRONMENT_PREFIX}STACK"

#: The process whose tasks need all others until they end.
SCHEDULER = "airflow-scheduler"

#: Environment wherever Airflow and MLflow run this package; the Dockerfile sets the same.
EVERYWHERE = {
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__XCOM_BACKEND": "model_loop.orchestration.xcom.ModelLoopXComBackend",
    # A file that changes is read again at once; the others need not be, twice a minute.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    # Seven job workers that nothing here uses take 1.6 GB.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Git is asked for its commit at every run that is tracked; there may be none.
    "GIT_PYTHON_REFRESH": "quiet",
}

#: Tasks that may run at the same time; fits are limited further by the pool `training`.
PARALLELISM = 4


@dataclass(frozen=True)
class LocalStack:
    """A local stack: its folder, ports and settings.

    Parameters
    ----------
    project
        The checkout: it holds ``dags`` and ``plugins``.
    settings
        State folder, ports, and the settings of the tasks.
    """

    project: Path
    settings: Settings

    @property
    def state(self) -> Path:
        """The folder that holds everything the stack writes."""
        return self.settings.state.resolve()

    @property
    def airflow_url(self) -> str:
        """Address of the Airflow UI."""
        return f"http://{HOST}:{self.settings.airflow_port}"

    @property
    def execution_url(self) -> str:
        """Address of the API that running tasks speak to."""
        return f"http://{HOST}:{self.settings.execution_port}/execution"

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow UI."""
        return f"http://{HOST}:{self.settings.mlflow_port}"

    @property
    def storage_root(self) -> str:
        """Folder of partitions, results and products; the state folder by default."""
        told = "storage_root" in self.settings.model_fields_set
        return self.settings.storage_root if told else f"file://{self.state / 'storage'}"

    @property
    def allowed_sources(self) -> str:
        """Sources that forms may name; by default anything, on one machine."""
        told = "allowed_sources" in self.settings.model_fields_set
        return self.settings.allowed_sources if told else ANY

    @property
    def mails(self) -> Path:
        """Folder of the mails that were sent (a Maildir)."""
        return self.state / "mail"

    @property
    def logs(self) -> Path:
        """Folder of the processes' logs."""
        return self.state / "logs"

    @property
    def ports(self) -> dict[str, int]:
        """Ports by the name of the setting that changes them."""
        names = ("airflow_port", "execution_port", "mlflow_port", "mail_port")
        return {name: getattr(self.settings, name) for name in names}

    @property
    def password(self) -> str | None:
        """Password of the Airflow login, once the stack was started."""
        return self.password_of(ADMIN)

    def password_of(self, user: str) -> str | None:
        """Password of a login, once the stack was started."""
        file = self._passwords
        if not file.exists():
            return None
        password: str | None = json.loads(file.read_text()).get(user)
        return password

    def _make_passwords(self) -> None:
        """Make the passwords that are missing: those that Airflow makes stand in its log."""
        names = [one.partition(":")[0].strip() for one in self.settings.airflow_users.split(",")]
        passwords = json.loads(self._passwords.read_text()) if self._passwords.exists() else {}
        made = {name: secrets.token_urlsafe(12) for name in names if name and name not in passwords}
        if made:
            self.make_state()
            whole = self._passwords.with_name(f".passwords-{secrets.token_hex(4)}")
            with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                json.dump({**passwords, **made}, out)
            whole.replace(self._passwords)

    def programs(self) -> dict[str, str]:
        """Command line of each process."""
        python, settings = sys.executable, self.settings
        airflow = [python, "-m", "airflow"]
        mlflow = [python, "-m", "mlflow", "server", "--host", HOST, "--workers", "2"]
        commands = {
            "mlflow": [
                *mlflow,
                *("--port", str(settings.mlflow_port)),
                *("--backend-store-uri", f"sqlite:///{self.state / 'mlflow' / 'mlflow.db'}"),
                *("--artifacts-destination", str(self.state / "mlflow" / "artifacts")),
                *("--uvicorn-opts", PATIENT_WORKERS),
            ],
            "mail": [
                *(python, "-m", "aiosmtpd", "-n", "-l", f"{HOST}:{settings.mail_port}"),
                *("-c", "aiosmtpd.handlers.Mailbox", str(self.mails)),
            ],
            # Two servers: a request of the UI that waits for the database lets its server wait with
            # it, also for the answer to a task whose transaction holds the lock of SQLite.
            "airflow-api-server": self.api_server("core", settings.airflow_port),
            "airflow-execution-api": self.api_server("execution", settings.execution_port),
            SCHEDULER: [
                *(python, "-m", "model_loop.local.scheduler"),
                "--skip-serve-logs",
            ],
            "airflow-dag-processor": [*airflow, "dag-processor"],
            "airflow-triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
        }
        return {name: shlex.join(command) for name, command in commands.items()}

    def api_server(self, apps: str, port: int) -> list[str]:
        """Return the command line of one of Airflow's servers."""
        command = [sys.executable, "-m", "airflow", "api-server", "--apps", apps, "--workers", "1"]
        return [*command, "--host", HOST, "--port", str(port)]

    @property
    def database(self) -> Path:
        """Airflow's database, once it was started."""
        return self.state / "airflow" / "airflow.db"

    def environment(self) -> dict[str, str]:
        """Environment of every process: the caller's, and what the stack adds."""
        return {**os.environ, **self._own_environment()}

    def _own_environment(self) -> dict[str, str]:
        keys = self._keys()
        self._make_passwords()
        mail_sink = {
            "conn_type": "smtp",
            "host": HOST,
            "port": self.settings.mail_port,
            "extra": {"disable_ssl": True, "disable_tls": True},
        }
        settings = self.settings.model_dump(mode="json") | {
            "state": str(self.state),
            "storage_root": self.storage_root,
            "allowed_sources": self.allowed_sources,
            "tracking_uri": self.mlflow_url,
        }
        return {
            **EVERYWHERE,
            MARKER: str(self.state),
            **{f"{ENVIRONMENT_PREFIX}{name.upper()}": str(it) for name, it in settings.items()},
            # The console scripts of this environment, which Airflow starts by name.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "AIRFLOW_HOME": str(self.state / "airflow"),
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__SECRET_KEY": keys["api"],
            "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"{self.storage_root}/xcom",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.project / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.execution_url}/",
            "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
            "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.project / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": self.settings.airflow_users,
            # Looking for work ten times a second would take an eighth of a core from the fits.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(mail_sink),
            # Threads of a fit that wait for each other let others run. By default they turn in
            # circles, and where Airflow needs one of their cores for a moment, a fit takes several
            # times as long.
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        }

    def make_state(self) -> None:
        """Make the state folder; it holds the login, so only its owner may look into it."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def _passwords(self) -> Path:
        return self.state / "passwords.json"

    def _keys(self) -> dict[str, str]:
        """Keys that Airflow's processes share: made once, readable by the owner alone."""
        file = self.state / "keys.json"
        if not file.exists():
            self.make_state()
            keys = {
                "api": secrets.token_urlsafe(32),
                "jwt": secrets.token_urlsafe(64),
                "fernet": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            }
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                json.dump(keys, out)
        found: dict[str, str] = json.loads(file.read_text())
        return found

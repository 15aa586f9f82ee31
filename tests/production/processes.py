"""The services of docker-compose.yaml as processes of this machine.

Commands and environments are those of the file; only addresses and folders are replaced. Postgres
and Redis are Debian's, the object store is moto's.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests
from tests.production.compose import ROOT, filled, services
from tests.production.contents import without_the_rest
from tests.servers import free_port

HOST = "127.0.0.1"
_BIN = Path(sys.executable).parent
_START_SECONDS = 180
#: Postgres refuses to run as root.
_POSTGRES_USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def postgres_program(name: str) -> str | None:
    """Where Debian keeps a program of Postgres."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@dataclass
class Topology:
    """The services, started one by one.

    Parameters
    ----------
    folder
        What they write.
    secrets
        The variables of the compose file.
    doors
        Where clients find a service, when that is another port than its own.
    """

    folder: Path
    secrets: Mapping[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    doors: dict[str, int] = field(default_factory=dict)
    _launches: dict[str, Callable[[], subprocess.Popen[bytes]]] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("postgres", "redis", "s3", "mlflow", "airflow-api-server", "serving", "mail")
        self.ports = {name: free_port() for name in (*names, "prometheus", "proxy")}
        for name in ("logs", "serving", "tokens", "scrape", "airflow", "run", "certificates"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def url(self, service: str) -> str:
        """Address of a service."""
        return f"http://{HOST}:{self.ports[service]}"

    def environment(self, service: str) -> dict[str, str]:
        """What the compose file and the image give to a service, and no module besides."""
        own = services()[service].get("environment", {})
        found = {name: self._here(filled(str(value), self.secrets)) for name, value in own.items()}
        unused = ("WORKER_LOG_SERVER_PORT", "TRIGGER_LOG_SERVER_PORT")
        ports = {f"AIRFLOW__LOGGING__{name}": str(free_port()) for name in unused}
        environment = {
            "PATH": os.pathsep.join([str(_BIN), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "include"), str(ROOT)]),
            "HOME": str(self.folder),
            **self._image(),
            **ports,
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
            "MODEL_LOOP_SAMPLE_TRIPS_PER_MONTH": "1500",
            "MODEL_LOOP_XGBOOST_THREADS": "1",
            "MODEL_LOOP_SERVING_HOST": HOST,
            **found,
        }
        return without_the_rest(self.folder / "image", environment)

    def run(self, service: str) -> None:
        """Run what ends by itself."""
        log = self.folder / "run" / f"{service}.log"
        with log.open("a") as out:
            command = self._command(service)
            environment = self.environment(service)
            done = subprocess.run(
                command, env=environment, stdout=out, stderr=out, check=False, cwd=self.folder
            )
        assert done.returncode == 0, log.read_text()[-3_000:]

    def start(self, service: str, name: str = "", *more: str, **environment: str) -> None:
        """Start what runs for long, in a process group of its own."""
        command = [*self._command(service), *more]
        environment = {**self.environment(service), **environment}
        self._launch(name or service, command, environment)

    def start_again(self, name: str) -> None:
        """Start what has ended once more, with the same command and environment."""
        self._running[name] = self._launches[name]()

    def start_data_services(self) -> None:
        """Postgres and Redis, behind the passwords of the compose file."""
        self._start_postgres()
        config = f"port {self.ports['redis']}\nbind {HOST}\ndir {self.folder}\nsave ''\n"
        # The queue outlives the process, as in the compose file.
        config += "appendonly yes\n"
        file = self.folder / "redis.conf"
        file.write_text(config + f"requirepass {self.secrets['REDIS_PASSWORD']}\n")
        self._start_program("redis", "redis-server", str(file))
        mails = str(self.folder / "mail")
        address = f"{HOST}:{self.ports['mail']}"
        sink = ("-m", "aiosmtpd", "-n", "-l", address, "-c", "aiosmtpd.handlers.Mailbox", mails)
        self._start_program("mail", sys.executable, *sink)
        store = ("-H", HOST, "-p", str(self.ports["s3"]))
        self._start_program("s3", str(_BIN / "moto_server"), *store)
        self.wait(f"{self.url('s3')}/moto-api/")

    def wait(self, url: str, seconds: float = _START_SECONDS) -> None:
        """Wait until an address answers well."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            dead = [name for name, one in self._running.items() if one.poll() is not None]
            assert not dead, "\n".join(self.log(name) for name in dead)
            with contextlib.suppress(requests.RequestException):
                if requests.get(url, timeout=5).ok:
                    return
            time.sleep(0.3)
        raise AssertionError(f"{url} did not answer\n" + "\n".join(map(self.log, self._running)))

    def log(self, name: str) -> str:
        """The end of a log."""
        return f"== {name}\n{(self.folder / 'run' / f'{name}.log').read_text()[-1_500:]}"

    def end(self, name: str) -> None:
        """Tell a service to stop, and wait until it has."""
        service = self._running.pop(name)
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(timeout=60)

    def stop(self) -> None:
        """End all, the last one first."""
        for one in reversed(list(self._running.values())):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGTERM)
        for one in self._running.values():
            try:
                one.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()
        self._running.clear()

    def _start_postgres(self) -> None:
        home, initdb = self.folder / "postgres", postgres_program("initdb")
        home.mkdir(exist_ok=True)
        password = home / "password"
        password.write_text(self.secrets["POSTGRES_PASSWORD"])
        shutil.chown(home, _POSTGRES_USER)
        password.chmod(0o644)
        login = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}"]
        data = str(home / "data")
        made = subprocess.run(
            [str(initdb), "-D", data, "--no-sync", *login],
            user=_POSTGRES_USER,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        port = str(self.ports["postgres"])
        command = ["-D", data, "-p", port, "-k", str(home), "-h", HOST, "-c", "max_connections=300"]
        program = str(postgres_program("postgres"))
        self._start_program("postgres", program, *command, user=_POSTGRES_USER)
        ready = [str(postgres_program("pg_isready")), "-h", HOST, "-p", port]
        deadline = time.monotonic() + 30
        while subprocess.run(ready, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, self.log("postgres")
            time.sleep(0.2)

    def _start_program(self, name: str, *command: str, user: str | None = None) -> None:
        self._launch(name, command, None, user)

    def _launch(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None,
        user: str | None = None,
    ) -> None:
        def launch() -> subprocess.Popen[bytes]:
            with (self.folder / "run" / f"{name}.log").open("a") as out:
                return subprocess.Popen(
                    command,
                    env=environment,
                    stdout=out,
                    stderr=out,
                    cwd=self.folder,
                    user=user,
                    start_new_session=True,
                )

        self._launches[name] = launch
        self.start_again(name)

    def _command(self, service: str) -> list[str]:
        command = [filled(str(word), self.secrets) for word in services()[service]["command"]]
        if command[0] == "python":
            command[0] = sys.executable
        if service == "airflow-api-server":
            # One server of its own is enough here.
            command = [word.replace("8080", str(self.ports[service])) for word in command]
            command[command.index("--host") + 1] = HOST
            command[command.index("--workers") + 1] = "1"
        elif service == "mlflow":
            command += ["--host", HOST, "--port", str(self.ports["mlflow"])]
        elif service == "proxy":
            command[command.index("--config") + 1] = str(ROOT / "deploy" / "proxy" / "Caddyfile")
        return command

    def _here(self, value: str) -> str:
        """A value with the addresses and folders of this machine."""
        for name, port in (
            ("postgres", 5432),
            ("redis", 6379),
            ("s3", 8333),
            ("mlflow", 5000),
            ("airflow-api-server", 8080),
            ("prometheus", 9090),
        ):
            pattern = rf"(?<![\w-]){name}:{port}\b"
            value = re.sub(pattern, f"{HOST}:{self._door(name)}", value)
        value = value.replace('"host": "mail", "port": 1025', self._mail)
        return value.replace("/var/lib/model-loop", str(self.folder))

    @property
    def _mail(self) -> str:
        return f'"host": "{HOST}", "port": {self._door("mail")}'

    def _door(self, service: str) -> int:
        return self.doors.get(service, self.ports[service])

    def _image(self) -> dict[str, str]:
        """The environment that the Dockerfile gives."""
        text = (ROOT / "Dockerfile").read_text()
        found = dict(re.findall(r"\b((?:AIRFLOW|MLFLOW|TRIP|DO_NOT|GIT)\w*)=(\S+)", text))
        found = {name: self._here(value) for name, value in found.items()}
        return {name: it.replace("/opt/model-loop", str(ROOT)) for name, it in found.items()}


@contextlib.contextmanager
def topology(folder: Path, secrets: Mapping[str, str]) -> Iterator[Topology]:
    """A topology whose processes all end."""
    made = Topology(folder, secrets)
    try:
        yield made
    finally:
        made.stop()

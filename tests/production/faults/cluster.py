"""The services of docker-compose.yaml, behind a network that can be broken, and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.production.faults.door import proxy
from tests.production.faults.relay import Network
from tests.production.processes import HOST, Topology
from tests.servers import free_port

SCHEDULER, PROCESSOR = "airflow-scheduler", "airflow-dag-processor"
TRIGGERER, API = "airflow-triggerer", "airflow-api-server"
WORKERS, SERVERS = ("worker-1", "worker-2"), ("serving-1", "serving-2")
#: A server that is attacked alone, and the predictions that may wait for its log.
LITTLE, BUFFER = "serving-3", 2_000
#: What is reached through a relay.
RELAYED = ("postgres", "redis", "s3", "mlflow", API, "mail")
#: Folders with a small disk of their own, and its size; it can be filled.
DISKS = {"worker-1": "300m", "serving-2": "300m", "postgres": "1200m"}
#: Processes whose clock can jump.
CLOCKS = ("worker-2", SCHEDULER, "serving-1")

#: Docker waits for a tenth of a second, then for twice as long each time.
_RESTART_SECONDS = 0.5
_STOP_SECONDS = 1.0
#: As in the compose file: what has not ended by then is killed.
_TERMINATE_SECONDS = 90.0

#: Airflow's own times, so that what was killed is found in seconds. docs/faults.md says what the
#: defaults are and what they mean.
SHORTENED = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
    "MODEL_LOOP_RETRY_DELAY_SECONDS": "2",
    "MODEL_LOOP_ALERT_WINDOW_SECONDS": "0",
    "MODEL_LOOP_MONITORING_SCHEDULE": "",
    "MODEL_LOOP_RETRAINING_SCHEDULE": "",
    # Those of the loop are switched on, and `alerts`.
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    # Nobody takes metrics here.
    "AIRFLOW__METRICS__OTEL_ON": "False",
}


def jumping_clock(folder: Path) -> Path | None:
    """The library that shows a process another time; None without a C compiler."""
    compiler, library = shutil.which("cc"), folder / "clock.so"
    if compiler is None:
        return None
    source = str(Path(__file__).with_name("clock.c"))
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), source], check=True)
    return library


@dataclass
class Cluster(Topology):
    """A topology whose parts can be hurt, and which are started again when they end.

    Parameters
    ----------
    disks
        Whether disks can be filled.
    """

    disks: bool = field(default_factory=lambda: os.geteuid() == 0)
    network: Network = field(default_factory=Network)
    _closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ports |= {name: free_port() for name in (*SERVERS, LITTLE)}
        self.doors = {name: free_port() for name in RELAYED}
        for name in RELAYED:
            self.network.lead(name, self.doors[name], self.ports[name])
        for name, size in DISKS.items() if self.disks else ():
            self.disk(name).mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs"]
            subprocess.run([*mount, str(self.disk(name))], check=True)
        (self.folder / "clocks").mkdir()
        self.clock = jumping_clock(self.folder / "clocks")
        for name in CLOCKS:
            self.set_clock(name, 0)

    def disk(self, name: str) -> Path:
        """The folder that a part writes to."""
        return self.folder / ("postgres" if name == "postgres" else f"disk-{name}")

    def environment(self, service: str) -> dict[str, str]:
        """The same with shorter times."""
        return {**super().environment(service), **SHORTENED}

    def start_all(self) -> None:
        """Start every service in the order of the compose file."""
        self.start_data_services()
        self.run("init")
        self.start("mlflow")
        self.start(API)
        for name in (SCHEDULER, PROCESSOR, TRIGGERER):
            self.start(name, **self._clock(name))
        for name in WORKERS:
            own = {"TMPDIR": str(self._small(name)), **self._clock(name)}
            self.start("worker", name, "--celery-hostname", f"{name}@{HOST}", **own)
        for name in (*SERVERS, LITTLE):
            port = str(self.ports[name])
            folder = str(self._small(name))
            told = {"MODEL_LOOP_SERVING_PORT": port, "MODEL_LOOP_SERVING_FOLDER": folder}
            if name == LITTLE:
                told["MODEL_LOOP_REQUEST_LOG_BUFFER"] = str(BUFFER)
            self.start("serving", name, **told, **self._clock(name))
        self.wait(f"{self.url('mlflow')}/health")
        self.wait(f"{self.url(API)}/api/v2/version")
        for name in (*SERVERS, LITTLE):
            self.wait(f"{self.url(name)}/healthz")
        threading.Thread(target=self._keep_up, name="restarts", daemon=True).start()

    def kill(self, name: str) -> int:
        """SIGKILL to a part and all its processes, as when its container is killed; how many."""
        killed, ended = 0, self._running[name]
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(ended.pid)
            parent.suspend()
            for process in (*parent.children(recursive=True), parent):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    killed += 1
        ended.wait(timeout=10)
        return killed

    def terminate(self, name: str) -> None:
        """SIGTERM to a part, as when its container is stopped, and wait until it has ended."""
        ended = self._running[name]
        ended.terminate()
        ended.wait(timeout=_TERMINATE_SECONDS)

    def serving(self, name: str) -> Path:
        """The folder of a prediction server."""
        return self.disk(name)

    def tasks(self, worker: str) -> list[psutil.Process]:
        """The processes of a worker that do the work of a task."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self._running[worker].pid).children(recursive=True)
            return [one for one in found if _is_task(one)]
        return []

    def freeze(self, name: str, *, frozen: bool) -> bool:
        """Stop every process of a part where it is, or let them go on; whether it stands still."""
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._running[name].pid)
            for process in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)
            deadline = time.monotonic() + _STOP_SECONDS if frozen else 0.0
            while not (stands := parent.status() == psutil.STATUS_STOPPED):
                # It stops when it comes back from the kernel.
                if time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            return stands
        return False

    def fill(self, name: str, *, full: bool) -> bool:
        """Fill a small disk to the last byte, or make room again; whether there is no room."""
        ballast = self.disk(name) / "ballast"
        if not full:
            ballast.unlink(missing_ok=True)
            return False
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * 1_000_000):
                pass
        return shutil.disk_usage(self.disk(name)).free == 0

    def set_clock(self, name: str, seconds: int) -> bool:
        """Let the clock of a part show another time, at once; whether it runs and looks there."""
        # In place: its processes have mapped the file.
        file = os.open(self.folder / "clocks" / name, os.O_WRONLY | os.O_CREAT)
        os.write(file, struct.pack("l", seconds))
        os.close(file)
        with contextlib.suppress(psutil.NoSuchProcess, KeyError):
            mapped = psutil.Process(self._running[name].pid).memory_maps()
            return (
                any(one.path.endswith(self.clock.name) for one in mapped) if self.clock else False
            )
        return False

    def runs(self, name: str) -> bool:
        """Whether a part has a process that lives."""
        running = self._running.get(name)
        return running is not None and running.poll() is None

    def listens(self, name: str) -> bool:
        """Whether somebody takes connections at a part's own port."""
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, self.ports[name]), timeout=3).close()
            return True
        return False

    def stop(self) -> None:
        """End all, and take the small disks away."""
        self._closing.set()
        for name in self._running:
            self.kill(name)
        super().stop()
        self.network.close()
        for name in DISKS if self.disks else ():
            subprocess.run(["umount", "--lazy", str(self.disk(name))], check=False)

    def _keep_up(self) -> None:
        """Start again what has ended: `restart: unless-stopped`."""
        while not self._closing.wait(_RESTART_SECONDS):
            for name, process in list(self._running.items()):
                if process.poll() is not None and not self._closing.is_set():
                    self.start_again(name)

    def _small(self, name: str) -> Path:
        """Where a part writes; a small disk where it has one."""
        folder = self.disk(name)
        folder.mkdir(exist_ok=True)
        return folder

    def _clock(self, name: str) -> dict[str, str]:
        if name not in CLOCKS or self.clock is None:
            return {}
        told = str(self.folder / "clocks" / name)
        return {"LD_PRELOAD": str(self.clock), "JUMPING_CLOCK": told}


def _is_task(process: psutil.Process) -> bool:
    """Whether it does the work of a task, and not the supervision."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline()).startswith("airflow worker -- ")
    return False


@contextlib.contextmanager
def cluster(
    folder: Path, secrets: Mapping[str, str], keep: Path | None = None
) -> Iterator[Cluster]:
    """A cluster while it is up.

    Parameters
    ----------
    keep
        Where logs and mails are copied to in the end.
    """
    made = Cluster(folder, secrets)
    try:
        made.start_all()
        with proxy(made, SERVERS):
            yield made
    finally:
        made.stop()
        if keep is not None:
            for name in ("run", "logs", "mail"):
                shutil.copytree(folder / name, keep / name, dirs_exist_ok=True)

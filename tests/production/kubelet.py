"""Containers of a cluster, each started once by the engine as a kubelet starts them.

There is no cluster: user, rights, mounts, variables and probes of a container are handed to the
engine, beside the databases of a running compose project.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.production.chart import Container, Object, config_maps
from tests.production.compose import START_SECONDS
from tests.production.engine import Engine, EngineError

from model_loop.cluster.certificates import write_certificates

Secrets = Mapping[str, Mapping[str, str]]
"""Values by the name of the secret and their key."""

#: Asks a pod's own address, as a kubelet does: path, port and further headers are its arguments.
_ASK = (
    "import socket, sys, urllib.request as u; "
    "host = socket.gethostbyname(socket.gethostname()); "
    "headers = dict(one.split('=', 1) for one in sys.argv[3:]); "
    "u.urlopen(u.Request(f'http://{host}:{sys.argv[2]}{sys.argv[1]}', headers=headers), timeout=30)"
)
_CONNECT = (
    "import socket, sys; "
    "socket.create_connection((socket.gethostbyname(socket.gethostname()), int(sys.argv[1])), 30)"
)
#: Containers that are well only beside another one.
NEEDS = {"Deployment/dask-worker/worker": "Deployment/dask-scheduler/scheduler"}


def secrets_of(told: Mapping[str, str]) -> Secrets:
    """Return the secrets that docs/how-to/production.md names, as a compose project has them.

    Parameters
    ----------
    told
        The variables of its compose file.
    """
    airflow = f"airflow:{told['AIRFLOW_DB_PASSWORD']}@postgres:5432/airflow"
    mlflow = f"postgresql+psycopg://mlflow:{told['MLFLOW_DB_PASSWORD']}@postgres:5432"
    log = f"requests:{told['REQUESTS_DB_PASSWORD']}@postgres:5432/requests"
    store = {
        "AWS_ACCESS_KEY_ID": told["S3_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": told["S3_SECRET_KEY"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://s3:8333",
    }
    return {
        "model-loop-airflow": {
            "connection": f"postgresql://{airflow}",
            "fernet-key": told["AIRFLOW_FERNET_KEY"],
            "api-secret-key": told["AIRFLOW_SECRET_KEY"],
            "jwt-secret": told["AIRFLOW_JWT_SECRET"],
        },
        "model-loop-result-backend": {"connection": f"db+postgresql+psycopg://{airflow}"},
        "model-loop-broker": {"connection": f"redis://:{told['REDIS_PASSWORD']}@redis:6379/0"},
        "model-loop-settings": {
            **store,
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": told["MLFLOW_ADMIN_PASSWORD"],
            "MODEL_LOOP_REQUEST_LOG_URL": f"postgresql+psycopg://{log}",
            "AIRFLOW_CONN_SMTP_DEFAULT": '{"conn_type": "smtp", "host": "mail", "port": 1025}',
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+psycopg://{airflow}",
        },
        "model-loop-mlflow": {
            **store,
            "MLFLOW_DATABASE_URL": f"{mlflow}/mlflow",
            "MLFLOW_AUTH_DATABASE_URL": f"{mlflow}/mlflow_auth",
            "MLFLOW_AUTH_ADMIN_PASSWORD": told["MLFLOW_ADMIN_PASSWORD"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": told["MLFLOW_SECRET_KEY"],
        },
        "model-loop-tokens": {"tokens.json": '{"tokens": []}'},
        "model-loop-certificates": _certificates(),
        "model-loop-runner": {"token-sha256": told["RUNNER_TOKEN_SHA256"]},
    }


def _certificates() -> Mapping[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        write_certificates(Path(folder))
        return {path.name: path.read_text() for path in Path(folder).iterdir()}


@contextlib.contextmanager
def started(engine: Engine, container: Container, secrets: Secrets, folder: Path) -> Iterator[str]:
    """Start a container, and remove it in the end.

    Yields how long it took until it was well, or had ended.

    Parameters
    ----------
    engine
        With the databases that it needs.
    container
        What is started.
    secrets
        What it may ask for.
    folder
        Where files are written that are mounted into it.

    Raises
    ------
    EngineError
        If it fails, is not well in its time, or names a secret that nobody makes.
    """
    name = container.name.lower().replace("/", "-")
    began = time.monotonic()
    options = [*_rights(container), *_mounts(container, secrets, folder)]
    if container.name in NEEDS.values():
        # The name of its service; other services run in the compose project under their names.
        options.append(f"--network-alias={container.owner.partition('/')[2]}")
    options += [word for one in _variables(container, secrets) for word in ("--env", one)]
    engine.start(name, options, container.command)
    try:
        if container.ends:
            engine.wait(name, START_SECONDS)
        for probe in container.probes.values():
            _until_well(engine, name, probe, container)
        said = "ended" if container.ends else "well"
        yield f"{said} after {time.monotonic() - began:.0f} s"
    finally:
        engine.discard(name)


def _rights(container: Container) -> Iterator[str]:
    context = container.told["securityContext"]
    user, group = container.user
    yield f"--user={user}:{group}"
    for one in context["capabilities"]["drop"]:
        yield f"--cap-drop={one}"
    for one in context["capabilities"].get("add", ()):
        yield f"--cap-add={one}"
    if not context["allowPrivilegeEscalation"]:
        yield "--security-opt=no-new-privileges:true"
    if context.get("readOnlyRootFilesystem"):
        yield "--read-only"
    memory = container.told.get("resources", {}).get("limits", {}).get("memory")
    if memory:
        yield f"--memory={memory.removesuffix('i').lower()}"


def _mounts(container: Container, secrets: Secrets, folder: Path) -> Iterator[str]:
    for number, (mount, volume) in enumerate(container.mounts):
        path = mount["mountPath"]
        if "configMap" in volume:
            file = folder / str(number)
            text = config_maps()[volume["configMap"]["name"]].get(mount["subPath"])
            if text is None:
                # A kubelet makes a folder where a config map has no such key.
                file.mkdir()
            else:
                file.write_text(text)
            yield f"--volume={file}:{path}:ro"
        elif "secret" in volume:
            files = folder / str(number)
            files.mkdir(exist_ok=True)
            for key, value in secrets[volume["secret"]["secretName"]].items():
                (files / key).write_text(value)
            yield f"--volume={files}:{path}:ro"
        else:
            # An empty folder of root's, which the group of the pod (fsGroup) may write into.
            group = container.pod["securityContext"].get("fsGroup")
            mode = "mode=1777" if group is None else f"mode=2770,gid={group}"
            yield f"--tmpfs={path}:{mode},exec"


def _variables(container: Container, secrets: Secrets) -> Iterator[str]:
    for one in container.told.get("envFrom", ()):
        for key, value in _secret(secrets, one["secretRef"]["name"]).items():
            yield f"{key}={value}"
    for one in container.told.get("env", ()):
        if "value" in one:
            yield f"{one['name']}={one['value']}"
        elif "secretKeyRef" in one["valueFrom"]:
            asked = one["valueFrom"]["secretKeyRef"]
            yield f"{one['name']}={_secret(secrets, asked['name'])[asked['key']]}"


def _secret(secrets: Secrets, name: str) -> Mapping[str, str]:
    if name not in secrets:
        raise EngineError(f"the secret {name} is asked for, and docs/how-to/production.md lacks it")
    return secrets[name]


def _until_well(engine: Engine, name: str, probe: Object, container: Container) -> None:
    """Ask as a probe asks, until it is content.

    Raises
    ------
    EngineError
        If the container has ended, or is not well within the time that a start may take.
    """
    command = _asking(probe, container)
    deadline = time.monotonic() + START_SECONDS
    while not engine.well(name, command):
        if time.monotonic() > deadline:
            raise EngineError(f"{container.name} is not well after {START_SECONDS} s: {command}")
        time.sleep(1)


def _asking(probe: Object, container: Container) -> Sequence[str]:
    if "exec" in probe:
        command: Sequence[str] = probe["exec"]["command"]
        return command
    ports = {one["name"]: one["containerPort"] for one in container.told.get("ports", ())}
    if "tcpSocket" in probe:
        return ["python", "-c", _CONNECT, str(ports[probe["tcpSocket"]["port"]])]
    asked = probe["httpGet"]
    headers = [f"{one['name']}={one['value']}" for one in asked.get("httpHeaders", ())]
    port = ports.get(asked["port"], asked["port"])
    return ["python", "-c", _ASK, asked["path"], str(port), *headers]

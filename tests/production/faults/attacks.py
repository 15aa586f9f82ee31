"""Attacks on a running cluster: what somebody does to it, and what has to hold meanwhile.

Each returns what did not hold; None if there was nothing yet to be attacked.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import requests
from tests.production.asking import TRIP, bearer
from tests.production.faults.cluster import BUFFER, LITTLE, SERVERS, Cluster
from tests.production.faults.relay import Weather
from tests.production.processes import HOST

if TYPE_CHECKING:
    from tests.production.faults.kinds import Fault

MODEL = "trip_duration_green"
#: A chunk whose size is no number: every server refuses it and closes the connection.
_BROKEN = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"
)
_MUCH = 60_000_000
_SILENT_SECONDS = 2.0
#: Two seconds are promised for a decision, and the machine does much else.
_DECISION_SECONDS = 10.0
_ANSWER_SECONDS = 90.0
_LOG_SECONDS = 60.0

Violations = list[str] | None


def send_broken_chunks(cluster: Cluster, fault: Fault) -> Violations:
    """Send what every server refuses, again and again; others are answered meanwhile."""
    site, stopped = cluster.ports["proxy"], threading.Event()

    def attack() -> None:
        while not stopped.wait(0.25):
            with contextlib.suppress(OSError), socket.create_connection((HOST, site), 10) as one:
                one.sendall(_BROKEN)
                one.recv(1_000)

    attacker = threading.Thread(target=attack)
    attacker.start()
    found, end = list[int](), time.monotonic() + fault.seconds
    while time.monotonic() < end:
        found.append(_predict(cluster, f"http://{HOST}:{site}").status_code)
    stopped.set()
    attacker.join()
    refused = [status for status in found if status != requests.codes.ok]
    if refused or len(found) < fault.seconds:
        return [f"{len(refused)} of {len(found)} predictions through the proxy: {set(refused)}"]
    return []


def send_endless_header(cluster: Cluster, fault: Fault) -> Violations:
    """Send a header that never ends, without a token; the server ends it and answers others."""
    sent = 0
    with socket.create_connection((HOST, cluster.ports[fault.part]), timeout=30) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ")
        with contextlib.suppress(ConnectionError):
            while sent < _MUCH:
                client.sendall(b"a" * 65_536)
                sent += 65_536
    began = time.monotonic()
    requests.get(f"{cluster.url(fault.part)}/healthz", timeout=30).raise_for_status()
    silent = time.monotonic() - began
    found = [f"a header of {sent:,} bytes was read"] if sent >= _MUCH else []
    return found + ([f"silent for {silent:.1f} s"] if silent > _SILENT_SECONDS else [])


def write_odd_tag(cluster: Cluster, fault: Fault) -> Violations:  # noqa: ARG001 - as every attack
    """Write a tag that cannot be read; what is decided then is applied all the same."""
    *others, newest = _versions(cluster)
    if not others:
        return None
    tags = {"challenger_share": "10%", "challenger_share_ended": "ten"}
    with _alias(cluster, "challenger", newest), _tags(cluster, tags):
        return _decides(cluster)


def decide_while_loading(cluster: Cluster, fault: Fault) -> Violations:  # noqa: ARG001 - as every attack
    """Disable and enable while a version is loaded from a store that says nothing."""
    for name in SERVERS:
        # Of a version that answered before, nothing has to be loaded.
        cluster.kill(name)
    found = [one for name in SERVERS for one in _answers_again(cluster, name)]
    ready = {one["version"] for name in SERVERS for one in _models(cluster, name)["versions"]}
    others = [number for number in _versions(cluster) if number not in ready]
    if not others:
        return None
    for name in SERVERS:
        for folder in (cluster.serving(name) / "models").glob(f"*/{others[0]}-*"):
            # Its files are not there yet, for all that the server knows.
            folder.rename(folder.with_name(f".{folder.name}-{uuid.uuid4().hex}"))
    cluster.network.change("s3", Weather.SILENT)
    try:
        with _alias(cluster, "shadow", others[0]):
            time.sleep(2 * _SILENT_SECONDS)
            found += _decides(cluster)
            for name in SERVERS:
                listed = _models(cluster, name)["versions"]
                if any(one["ready"] for one in listed if one["version"] == others[0]):
                    return None
            return found
    finally:
        cluster.network.change("s3", Weather.FINE)


def damage_kept_models(cluster: Cluster, fault: Fault) -> Violations:
    """Damage every file of every kept version; the next start fetches them again."""
    folder = cluster.serving(fault.part) / "models"
    damaged = {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size and path.name != ".digests.json"
    }
    if not damaged:
        return None
    for path, content in damaged.items():
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :])
    cluster.kill(fault.part)
    return _answers_again(cluster, fault.part)


def start_on_full_disk(cluster: Cluster, fault: Fault) -> Violations:
    """Kill a server whose log is locked, let it start without room; then nothing is stranded."""
    spool = cluster.serving(fault.part) / "spool"
    with _locked(cluster):
        time.sleep(2.0)
        left = {path.name for path in spool.iterdir()}
        cluster.fill(fault.part, full=True)
        cluster.kill(fault.part)
        # What it has not kept of a model it cannot fetch yet.
        starts = _becomes(lambda: _is_up(cluster, fault.part), _ANSWER_SECONDS)
    cluster.fill(fault.part, full=False)
    if not left:
        return None
    found = [] if starts else [f"{fault.part} does not start on a full disk"]
    if not _becomes(lambda: not left & {path.name for path in spool.iterdir()}, _LOG_SECONDS):
        found.append(f"what {fault.part} had kept is not taken over")
    return found


def lock_log_and_kill(cluster: Cluster, fault: Fault) -> Violations:
    """Kill a server that cannot write its log and has lost some of it."""
    return _lose(cluster, fault, lambda: cluster.kill(LITTLE))


def lock_log_and_stop(cluster: Cluster, fault: Fault) -> Violations:
    """Stop a server that cannot write its log and has lost some of it."""
    return _lose(cluster, fault, lambda: cluster.terminate(LITTLE))


def _lose(cluster: Cluster, fault: Fault, end: Callable[[], object]) -> Violations:
    """Have more answered than a locked log can hold, end the server, count what has become of it.

    Every acknowledged prediction is committed, or told as lost, once the server is back.
    """
    found = _answers_again(cluster, fault.part)
    before = _lost(cluster)
    with _locked(cluster):
        ids = list[str]()
        for _ in range(4):
            answer = _predict(cluster, cluster.url(LITTLE), BUFFER // 2 + 100)
            answer.raise_for_status()
            ids += [one["prediction_id"] for one in answer.json()]
        end()
        # The lock outlives the process, as a database that hangs does.
        time.sleep(1.0)
    found += _answers_again(cluster, fault.part)

    def missing() -> int:
        return len(ids) - _committed(cluster, ids) - (_lost(cluster) - before)

    if not _becomes(lambda: missing() == 0, _LOG_SECONDS):
        told = f"{_committed(cluster, ids)} committed, {_lost(cluster) - before} told as lost"
        found.append(f"of {len(ids)} acknowledged predictions {told}")
    if _lost(cluster) == before:
        found.append("nothing was lost: the attack had no effect")
    return found


def _decides(cluster: Cluster) -> list[str]:
    """Disable the service and enable it again; which servers did not follow in time."""
    with _tags(cluster, {"disabled": "an attack"}):
        late = [name for name in SERVERS if not _comes_to(cluster, name, enabled=False)]
    found = [f"{name} answers after {_DECISION_SECONDS:.0f} s, though disabled" for name in late]
    late = [name for name in SERVERS if not _comes_to(cluster, name, enabled=True)]
    return found + [f"{name} is not enabled after {_DECISION_SECONDS:.0f} s" for name in late]


def _comes_to(cluster: Cluster, name: str, *, enabled: bool) -> bool:
    """Whether a server comes to answer, or to refuse, in time."""
    url = cluster.url(name)
    return _becomes(lambda: _predict(cluster, url).ok is enabled, _DECISION_SECONDS)


def _answers_again(cluster: Cluster, name: str) -> list[str]:
    def answers() -> bool:
        with contextlib.suppress(requests.RequestException):
            return _predict(cluster, cluster.url(name)).ok
        return False

    if _becomes(answers, _ANSWER_SECONDS):
        return []
    return [f"{name} has not answered for {_ANSWER_SECONDS:.0f} s"]


def _is_up(cluster: Cluster, name: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{cluster.url(name)}/healthz", timeout=5).ok
    return False


def _becomes(is_so: Callable[[], bool], seconds: float) -> bool:
    """Whether something becomes so in time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _predict(cluster: Cluster, url: str, trips: int = 1) -> requests.Response:
    body = {"inputs": [TRIP] * trips} if trips > 1 else TRIP
    return requests.post(f"{url}/predict", json=body, headers=bearer(cluster), timeout=30)


def _models(cluster: Cluster, name: str) -> dict[str, Any]:
    answer = requests.get(f"{cluster.url(name)}/models", headers=bearer(cluster), timeout=30)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


@contextlib.contextmanager
def _tags(cluster: Cluster, tags: dict[str, str]) -> Iterator[None]:
    """Tags of the registered model, while this lasts."""
    for key, value in tags.items():
        _mlflow(cluster, "POST", "set-tag", {"name": MODEL, "key": key, "value": value})
    try:
        yield
    finally:
        for key in tags:
            _mlflow(cluster, "DELETE", "delete-tag", {"name": MODEL, "key": key})


@contextlib.contextmanager
def _alias(cluster: Cluster, alias: str, version: int) -> Iterator[None]:
    """An alias of the registered model, while this lasts."""
    named = {"name": MODEL, "alias": alias}
    _mlflow(cluster, "POST", "alias", {**named, "version": str(version)})
    try:
        yield
    finally:
        _mlflow(cluster, "DELETE", "alias", named)


def _versions(cluster: Cluster) -> list[int]:
    """Numbers of the registered versions, the oldest first."""
    url = f"{cluster.url('mlflow')}/api/2.0/mlflow/model-versions/search"
    found = requests.get(url, auth=_login(cluster), params={"max_results": 100}, timeout=30)
    found.raise_for_status()
    return sorted(int(one["version"]) for one in found.json().get("model_versions", []))


def _mlflow(cluster: Cluster, method: str, action: str, told: dict[str, str]) -> None:
    url = f"{cluster.url('mlflow')}/api/2.0/mlflow/registered-models/{action}"
    answer = requests.request(method, url, auth=_login(cluster), json=told, timeout=30)
    answer.raise_for_status()


def _login(cluster: Cluster) -> tuple[str, str]:
    return ("admin", cluster.secrets["MLFLOW_ADMIN_PASSWORD"])


@contextlib.contextmanager
def _requests_db(cluster: Cluster) -> Iterator[psycopg.Connection]:
    """The database of the log, past the network that can be broken."""
    login = f"postgresql://requests:{cluster.secrets['REQUESTS_DB_PASSWORD']}@{HOST}"
    address = f"{login}:{cluster.ports['postgres']}/requests"
    with psycopg.connect(address, connect_timeout=10) as connection:
        yield connection


@contextlib.contextmanager
def _locked(cluster: Cluster) -> Iterator[None]:
    """Hold the tables of the log, so that nothing can be written."""
    with _requests_db(cluster) as connection:
        connection.execute("LOCK TABLE predictions, losses IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def _committed(cluster: Cluster, ids: list[str]) -> int:
    query = "SELECT count(*) FROM predictions WHERE prediction_id = ANY(%s)"
    with _requests_db(cluster) as connection:
        found = connection.execute(query, [ids]).fetchone()
    assert found is not None
    return int(found[0])


def _lost(cluster: Cluster) -> int:
    """Predictions that the log tells as lost."""
    with _requests_db(cluster) as connection:
        found = connection.execute("SELECT coalesce(sum(predictions), 0) FROM losses").fetchone()
    assert found is not None
    return int(found[0])

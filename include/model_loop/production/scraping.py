"""The tokens that Prometheus scrapes with, as files that it reads at every scrape."""

from __future__ import annotations

import os
from pathlib import Path

import requests

from model_loop.serving.http.tokens import TokenFile

#: Name of Prometheus among the tokens of the prediction server, and its login in Airflow.
PROMETHEUS = "prometheus"

_READABLE_BY_GROUP = 0o640
_TIMEOUT_SECONDS = 30.0


def serving_token(tokens: TokenFile, target: Path) -> bool:
    """Keep a token of the prediction server; return whether it had to be made.

    Parameters
    ----------
    tokens
        Those of the prediction server.
    target
        File that Prometheus reads.
    """
    known = PROMETHEUS in {token.name for token in tokens.read()}
    if known and target.exists():
        return False
    if known:
        # Nothing can show its secret again.
        tokens.revoke(PROMETHEUS)
    _write(target, tokens.add(PROMETHEUS, rate=0, scopes=("read",)))
    return True


def airflow_token(url: str, password: str, target: Path) -> None:
    """Fetch a new token of Airflow's REST API; the old one stays until the new one is whole.

    Parameters
    ----------
    url
        Address of the api-server.
    password
        Password of the login.
    target
        File that Prometheus reads.

    Raises
    ------
    requests.RequestException
        If the api-server does not answer, or refuses.
    """
    login = {"username": PROMETHEUS, "password": password}
    answer = requests.post(f"{url}/auth/token", json=login, timeout=_TIMEOUT_SECONDS)
    answer.raise_for_status()
    _write(target, answer.json()["access_token"])


def _write(target: Path, secret: str) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(partial, flags, _READABLE_BY_GROUP), "w") as out:
        # Regardless of the umask: Prometheus reads as another user of the same group.
        os.fchmod(out.fileno(), _READABLE_BY_GROUP)
        out.write(secret)
    partial.rename(target)

"""The shipped proxy before the prediction servers of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tests.production.compose import ROOT
from tests.production.names import name_server
from tests.production.processes import HOST
from tests.servers import free_port

if TYPE_CHECKING:
    from tests.production.faults.cluster import Cluster

_HOSTS = (HOST, "127.0.0.2")


@contextlib.contextmanager
def proxy(cluster: Cluster, servers: Sequence[str]) -> Iterator[None]:
    """The shipped proxy before both servers, as one name with two addresses."""
    inner = free_port()
    for host, name in zip(_HOSTS, servers, strict=True):
        cluster.network.lead(f"door-{name}", inner, cluster.ports[name], host)
    with name_server(_HOSTS) as resolver:
        rules = (ROOT / "deploy" / "proxy" / "Caddyfile").read_text()
        rules = rules.replace("refresh 5s", f"refresh 5s\n\t\t\tresolvers {resolver}")
        file = cluster.folder / "Caddyfile"
        file.write_text(rules.replace("127.0.0.1:2020", f"{HOST}:{free_port()}"))
        others = {f"{name}_ADDRESS": f"http://:{free_port()}" for name in ("AIRFLOW", "MLFLOW")}
        cluster.start(
            "proxy",
            "proxy",
            *("--config", str(file)),
            **others,
            SERVING_ADDRESS=f"http://:{cluster.ports['proxy']}",
            SERVING_NAME="serving.",
            SERVING_PORT=str(inner),
            XDG_DATA_HOME=str(cluster.folder / "proxy"),
        )
        cluster.wait(f"{cluster.url('proxy')}/healthz")
        yield

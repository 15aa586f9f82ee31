"""Give a fit to the workers of a Dask cluster, and take the trees from them."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dask.distributed import Client, Future, Lock, Security, as_completed
from xgboost.tracker import RabitTracker

from model_loop.cluster.certificates import AUTHORITY, CERTIFICATE, PRIVATE_KEY
from model_loop.cluster.job import FitJob, fit_rank, forget
from model_loop.errors import InvalidInputError, ModelLoopError

_LOCK = "model-loop-fit"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

logger = logging.getLogger(__name__)


class ClusterError(ModelLoopError):
    """A fit on the cluster has failed; the next try goes on from the last checkpoint."""


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster whose workers have this package.

    Parameters
    ----------
    address
        Address of the scheduler: ``tls://host:port``, or ``tcp://`` on this machine alone.
    certificates
        Folder of the certificates for ``tls://``.
    timeout_seconds
        Longest wait for a worker that does not answer: while workers meet, and in each round.
    workers
        Most workers of a fit; 0 for all that are there.
    """

    address: str
    certificates: Path | None = None
    timeout_seconds: int = 600
    workers: int = 0

    def __post_init__(self) -> None:
        """Refuse an address over which others could read along or send work.

        Raises
        ------
        InvalidInputError
            If the address is another one.
        """
        parts = urlsplit(self.address)
        local = parts.scheme == "tcp" and parts.hostname in _LOOPBACK
        if not local and (parts.scheme != "tls" or self.certificates is None):
            raise InvalidInputError(
                f"The address {self.address!r} of the cluster",
                "is neither tls:// with a folder of certificates nor tcp:// on this machine",
                "Give tls://host:port and MODEL_LOOP_CLUSTER_CERTIFICATES: whoever reaches a "
                "scheduler can run code on its workers.",
            )

    def fit(self, job: FitJob) -> bytes:
        """Fit on as many workers as there are; return the trees (UBJSON).

        One fit runs at a time: workers that wait for each other must all be free.

        Raises
        ------
        ClusterError
            If there is no worker, or one of them has failed.
        """
        with self._client() as client, self._turn():
            names = self._free_workers(client, len(job.shards))
            logger.info("Fitting on %d workers of %s", len(names), self.address)
            tracker = client.run_on_scheduler(
                begin_tracker, len(names), urlsplit(self.address).hostname, self.timeout_seconds
            )
            futures = [
                client.submit(
                    fit_rank,
                    job.to_json(),
                    rank,
                    len(names),
                    tracker,
                    workers=[name],
                    allow_other_workers=False,
                    pure=False,
                    retries=0,
                )
                for rank, name in enumerate(names)
            ]
            trees = _trees_of(client, futures)
        forget(job)
        return trees

    @contextlib.contextmanager
    def _client(self) -> Iterator[Client]:
        try:
            client = Client(self.address, security=self._security(), timeout=self.timeout_seconds)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"The cluster at {self.address}",
                f"does not answer: {error}",
                "See whether its scheduler runs, and whether the certificates are its own.",
            ) from error
        with client:
            yield client

    def _security(self) -> Security | None:
        if self.certificates is None:
            return None
        authority, certificate, key = (
            str(self.certificates / name) for name in (AUTHORITY, CERTIFICATE, PRIVATE_KEY)
        )
        return Security(
            tls_ca_file=authority,
            tls_client_cert=certificate,
            tls_client_key=key,
            require_encryption=True,
        )

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other fit runs; a client that is gone gives its turn back."""
        lock = Lock(_LOCK)
        if not lock.acquire(timeout=self.timeout_seconds):
            raise ClusterError(
                f"The cluster at {self.address}",
                f"has been busy with another fit for {self.timeout_seconds} s",
                "Try again later, or give it more workers.",
            )
        try:
            yield
        finally:
            lock.release()

    def _free_workers(self, client: Client, shards: int) -> list[str]:
        """Return the addresses of the workers of a fit, as many as there are shards at most."""
        names = sorted(client.scheduler_info(n_workers=-1)["workers"])
        if not names:
            raise ClusterError(
                f"The cluster at {self.address}", "has no worker", "Start a dask-worker or more."
            )
        return names[: min(self.workers or len(names), shards)]


def begin_tracker(ranks: int, host: str, timeout_seconds: int) -> dict[str, Any]:
    """Start XGBoost's tracker where this runs; return what workers need to find each other.

    Parameters
    ----------
    ranks
        Number of workers.
    host
        Name or address under which workers reach this machine.
    timeout_seconds
        Seconds after which the tracker, and each worker, gives up.
    """
    tracker = RabitTracker(
        ranks, socket.gethostbyname(host), sortby="task", timeout=timeout_seconds
    )
    tracker.start()
    threading.Thread(target=_wait_for, args=(tracker,), daemon=True).start()
    return {**tracker.worker_args(), "dmlc_timeout": timeout_seconds, "dmlc_retry": 3}


def _wait_for(tracker: RabitTracker) -> None:
    """Hold a tracker until its workers have ended."""
    try:
        tracker.wait_for()
    except Exception:
        # A worker was lost: the client hears of it from the worker's own future.
        logger.warning("The workers of a fit have not all ended", exc_info=True)


def _trees_of(client: Client, futures: list[Future[bytes | None]]) -> bytes:
    """Wait for all workers; as soon as one fails, all fail."""
    trees = b""
    try:
        for _, found in as_completed(futures, with_results=True):
            trees = found or trees
    except Exception as error:  # of any kind: whatever a worker raises
        client.cancel(futures, force=True)
        # XGBoost's errors end with a stack of its library.
        reason = " ".join(str(error).partition("Stack trace")[0].split())
        raise ClusterError(
            f"The fit on {len(futures)} workers",
            f"has failed: {type(error).__name__}: {reason}",
            "Try again: it goes on from its last checkpoint with the workers that are there.",
        ) from error
    return trees

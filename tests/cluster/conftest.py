"""A Dask cluster of processes on this machine, with one thread each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import LocalCluster


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalCluster]:
    """Run a scheduler and four workers."""
    with LocalCluster(
        n_workers=4,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster

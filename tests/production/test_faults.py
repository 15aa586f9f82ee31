"""A handful of faults while the whole loop runs; `make test-production-faults` does many more."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.production.faults.__main__ import impossible, say, secrets
from tests.production.faults.campaign import Campaign
from tests.production.faults.cluster import LITTLE, SCHEDULER, cluster
from tests.production.faults.kinds import CLOCK_JUMP, DISK_FULL, Fault
from tests.production.processes import postgres_program

pytestmark = [pytest.mark.production, pytest.mark.integration, pytest.mark.timeout(1_500)]

#: One of each kind that has found something, or could.
FAULTS = (
    Fault("killed", "serving-1"),
    Fault("answers lost", "mlflow", 4.0),
    Fault("killed", "worker-1"),
    Fault("cut off", "postgres", 4.0),
    Fault(DISK_FULL, "serving-2", 4.0),
    Fault("killed", SCHEDULER),
    Fault(CLOCK_JUMP, "worker-2", 4.0, 3_600),
    Fault("chunks that are none", "proxy", 4.0),
    Fault("a tag that cannot be read", "mlflow"),
    Fault("log locked and killed", LITTLE),
)


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    """What came of the faults."""
    if not (shutil.which("redis-server") and postgres_program("initdb")):
        pytest.skip("needs the programs of Postgres and Redis")
    # Others have to reach it: Postgres runs as another user.
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        Path(folder).chmod(0o755)
        with cluster(Path(folder), secrets()) as made:
            without = impossible(made)
            say(f"left out, this machine cannot do it: {', '.join(without) or 'nothing'}")
            found = Campaign(made, 7, say)
            possible = [fault for fault in FAULTS if fault.kind not in without]
            found.run(possible, len(possible), stop_after_seconds=240, rest_seconds=300)
            yield found


def test_the_loop_survives(campaign: Campaign) -> None:
    """Every fault was done, every part came back, and no invariant was violated."""
    assert len(campaign.rows) >= len(FAULTS) - 2
    assert [row.fault for row in campaign.rows if row.recovery_seconds is None] == []
    assert list(campaign.violations()) == []


def test_the_loop_ran_meanwhile(campaign: Campaign) -> None:
    """The invariants were asked of something: runs, versions and answers there were."""
    assert campaign.rested
    assert sum(bool(row.runs) for row in campaign.rows) >= 3
    assert len(campaign.invariants.known_versions) >= 2
    assert len(campaign.loop.answers) > 100

"""The long campaign: `make test-production-faults`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from tests.production.faults.campaign import Campaign
from tests.production.faults.cluster import Cluster, cluster
from tests.production.faults.kinds import CLOCK_JUMP, DISK_FULL, FULL_START, KINDS, plan
from tests.production.faults.table import write

from model_loop.production.environment import fresh_environment


def secrets() -> dict[str, str]:
    """As `make secrets` makes them."""
    found = dotenv_values(stream=StringIO(fresh_environment()))
    return {name: value or "" for name, value in found.items()}


def impossible(made: Cluster) -> list[str]:
    """The kinds that this machine cannot do."""
    return (
        [] + ([] if made.clock else [CLOCK_JUMP]) + ([] if made.disks else [DISK_FULL, FULL_START])
    )


def main() -> None:
    """Run it, write the table, and fail if an invariant was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=35.0, help="no fault begins later")
    parser.add_argument("--rest-minutes", type=float, default=8.0, help="for what still runs then")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="", help="kinds, separated by commas; all by default")
    parser.add_argument("--table", type=Path, default=Path("docs/faults.md"))
    parser.add_argument("--keep", type=Path, help="copy the logs there")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    say(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        Path(folder).chmod(0o755)
        with cluster(Path(folder), secrets(), keep=given.keep) as made:
            without = impossible(made)
            for kind in without:
                say(f"left out, this machine cannot do it: {kind}")
            only = given.only.split(",") if given.only else [kind.name for kind in KINDS]
            without += [kind.name for kind in KINDS if kind.name not in only]
            campaign = Campaign(made, seed, say)
            chance = random.Random(seed)  # noqa: S311 - to be repeated, not secret
            faults = plan(chance, without=without)
            campaign.run(faults, given.faults, 60 * given.minutes, 60 * given.rest_minutes)
            write(campaign, given.table)
    violations = list(campaign.violations())
    say(f"{len(campaign.rows)} faults, {len(violations)} violations")
    say("\n".join(violations))
    sys.exit(1 if violations or len(campaign.rows) < given.faults else 0)


def say(text: str) -> None:
    """Tell it at once."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The commands of the documentation run: each block, or it says why it is not run."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from tests.servers import free_port

from model_loop.local.airflow_api import AirflowApi
from model_loop.local.stack import ADMIN, LocalStack
from model_loop.settings import all_settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: So many blocks are not run. Fewer are welcome; a further one has to be made to run instead.
MOST_NOT_RUN = 20
START_SECONDS = 300

#: `curl` fails where the server refuses; `make` does not look for newer packages.
PRELUDE = """set -euo pipefail
curl() { command curl --fail-with-body "$@"; }
make() { command make --silent -o install "$@"; }
"""


@dataclass(frozen=True)
class Block:
    """A block of commands on a page.

    Parameters
    ----------
    page
        Where it stands.
    commands
        What it says.
    reason
        Why it is not run; empty if it is.
    """

    page: str
    commands: str
    reason: str

    def __str__(self) -> str:
        first = self.commands.strip().splitlines()[0]
        return f"{self.page}: {first[:60]}"


def blocks() -> Iterator[Block]:
    """Every block of commands."""
    fence = re.compile(
        r"(?:<!-- not run: (.+?) -->\n)?^ *```(?:sh|bash)\n(.*?)^ *```", re.DOTALL | re.MULTILINE
    )
    for page in PAGES:
        for reason, commands in fence.findall(page.read_text(encoding="utf-8")):
            yield Block(str(page.relative_to(ROOT)), commands, reason)


BLOCKS = list(blocks())
#: Followed in folders of their own, by tests of their own.
FOLLOWED = (
    "docs/how-to/your-own-table.md",
    "docs/how-to/classification.md",
    "docs/how-to/databases.md",
    "docs/how-to/own-code.md",
)
#: Those without Airflow are run by `test_examples`.
RUN = [
    one
    for one in BLOCKS
    if not one.reason
    and not one.commands.startswith("model-loop prepare")
    and one.page not in FOLLOWED
]


def test_what_is_not_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """The list is printed, and does not grow."""
    left = [one for one in BLOCKS if one.reason]
    with capsys.disabled():
        sys.stdout.write("\nBlocks of commands that no test runs:\n")
        sys.stdout.writelines(f"  {one} ({one.reason})\n" for one in left)
    assert len(left) <= MOST_NOT_RUN
    assert len(RUN) > 10


def test_airflows_commands_work_on_every_page() -> None:
    """A page names `make airflow`, or Airflow inside a container: alone it finds no database."""
    for one in BLOCKS:
        alone = re.findall(r"^ *airflow .*", one.commands, re.MULTILINE)
        assert alone == [], one


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The local stack, of which only Airflow's api-server runs: what is triggered stays queued."""
    settings = all_settings()(state=tmp_path_factory.mktemp("state"), airflow_port=free_port())
    stack = LocalStack(ROOT, settings)
    stack.make_state()
    environment = stack.environment()
    program = str(Path(sys.executable).parent / "airflow")
    for command in (["db", "migrate"], ["dags", "reserialize"]):
        done = subprocess.run(
            [program, *command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2_000:]
    log = stack.state / "api-server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            stack.api_server("core", settings.airflow_port),
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            _wait_for(f"{stack.airflow_url}/api/v2/version", log)
            yield stack
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=60)


def _wait_for(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.5)
    pytest.fail(f"{url} did not answer:\n{log.read_text()[-2_000:]}")


@pytest.fixture(scope="module")
def ending(stack: LocalStack) -> Iterator[AirflowApi]:
    """Runs that were asked for end as failed, so that whoever waits for one is answered.

    In the database, as a scheduler ends them: a run that has a teardown is not ended over REST.
    """
    over = threading.Event()

    def end() -> None:
        while not over.wait(1):
            with contextlib.closing(
                sqlite3.connect(stack.state / "airflow" / "airflow.db")
            ) as known:
                known.execute("UPDATE dag_run SET state = 'failed' WHERE state = 'queued'")
                known.commit()

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    yield AirflowApi(stack.airflow_url, ADMIN, str(stack.password))
    over.set()
    thread.join(60)


PAGES_RUN = sorted({one.page for one in RUN})


@pytest.mark.integration
@pytest.mark.parametrize("page", PAGES_RUN)
def test_the_commands_of_a_page_run(page: str, stack: LocalStack, ending: AirflowApi) -> None:
    """One after another, in one shell, with nothing but the login put in."""
    script = "\n".join(one.commands for one in RUN if one.page == page)
    # What a reader puts in.
    script = script.replace("http://127.0.0.1:8080", stack.airflow_url)
    script = script.replace('"password": "…"', f'"password": "{stack.password}"')
    given = {
        "AIRFLOW": stack.airflow_url,
        "PASSWORD": str(stack.password),
        "TOKEN": str(ending._session.headers["Authorization"]).removeprefix("Bearer "),
        "MODEL_LOOP_STATE": str(stack.state),
    }
    done = subprocess.run(
        ["bash", "-c", PRELUDE + script],
        cwd=ROOT,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, (script, done.stdout[-1_000:], done.stderr[-2_000:])

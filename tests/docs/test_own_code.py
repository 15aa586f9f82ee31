"""The page about code of one's own, followed word by word with a real runner."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runner.conftest import USERS
from tests.servers import free_port

from model_loop.errors import InvalidInputError
from model_loop.runner.separation import choose_separation

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "how-to" / "own-code.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
(FROM_CODE,) = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
#: Between what two blocks print.
CUT = "----- next block -----"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A copy of the examples, in a folder that other users may pass."""
    try:
        choose_separation(next(USERS))
    except InvalidInputError as error:
        pytest.skip(f"code cannot be kept apart here: {error}")
    with tempfile.TemporaryDirectory(prefix="own-code-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        ignored = shutil.ignore_patterns("*.csv", "weights.json", "model", "booster.txt")
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
        yield folder
        pid = folder / "runner.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)


def follow(folder: Path, *blocks: str) -> list[str]:
    """Run blocks of the page in one shell; return what each of them prints."""
    port = str(free_port())
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MODEL_LOOP_DATASETS_FOLDER": str(folder / "datasets"),
        "MODEL_LOOP_STATE": str(folder / "state"),
        "MODEL_LOOP_STORAGE_ROOT": str(folder / "storage"),
        # Nothing answers there, as on a machine of one's own.
        "MODEL_LOOP_TRACKING_URI": "http://127.0.0.1:9",
        "MODEL_LOOP_RUNNER_PORT": port,
        "MODEL_LOOP_RUNNER_FIRST_USER": str(next(USERS)),
    }
    commands = f"\necho '{CUT}'\n".join(blocks).replace("8095", port)
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{commands}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, (done.stdout[-2_000:], done.stderr[-3_000:])
    return done.stdout.split(CUT)


@pytest.mark.integration
def test_the_script_is_brought_in_and_answers(folder: Path) -> None:
    """Each step does what the page says of it."""
    prepared, checked, _, answered, added, predicted, rotated, _ = follow(folder, *COMMANDS)
    assert "569 rows" in prepared
    assert "It answers for the dataset breast_cancer." in checked
    assert re.search(r"[0-9a-f]{64} +[\d,]+  weights\.json", checked)
    answer = json.loads(answered)
    assert answer["pred"] == 0
    assert answer["proba"] < 0.01
    assert "is version 2 of breast_cancer" in added
    told = json.loads(predicted)
    assert told["model_version"] == 2
    (one,) = told["predictions"]
    assert one["probabilities"]["1"] == pytest.approx(answer["proba"])
    assert one["reasons"]["strongest"]
    assert "breast_cancer, version 2\n1 version is sealed by the newest key." in rotated


@pytest.mark.stacks
def test_the_model_from_code_answers(folder: Path) -> None:
    """LightGBM is installed for that package alone, and is no requirement of the project."""
    *_, answered = follow(folder, COMMANDS[2], FROM_CODE)
    minutes = json.loads(answered.strip().splitlines()[-1])["minutes"]
    assert 1 < minutes < 60

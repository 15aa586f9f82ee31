"""Examples of the documentation do what they say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SMALL = {"MODEL_LOOP_SAMPLE_TRIPS_PER_MONTH": "600", "PATH": "/usr/bin:/bin"}


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language, without those that are marked ``notest``."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


PYTHON = [(page, block) for page in PAGES for block in blocks(page, "python")]


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=lambda value: getattr(value, "stem", "code"))
def test_python_runs(page: Path, code: str, tmp_path: Path) -> None:
    """Every Python example runs."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=SMALL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (page, done.stderr)
    assert done.stdout


def test_there_are_python_examples() -> None:
    """The search for examples finds some."""
    assert PYTHON


def test_command_line_of_the_readme(tmp_path: Path) -> None:
    """The commands that the README shows for use without Airflow run, one after another."""
    (block,) = (text for text in blocks(PAGES[0], "sh") if "model-loop prepare" in text)
    commands = sorted(block.strip().splitlines(), key=lambda line: "sample" not in line)
    assert len(commands) == 5
    for command in commands:
        arguments = shlex.split(command.replace("--max-evaluations 20", "--max-evaluations 2"))
        if arguments[1] == "train":
            arguments += ["--max-evaluations", "1"]
        arguments[0] = str(Path(sys.executable).parent / arguments[0])
        done = subprocess.run(
            arguments, cwd=tmp_path, env=SMALL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)


def test_make_targets_that_are_named_exist() -> None:
    """Every `make` target that a page names is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page

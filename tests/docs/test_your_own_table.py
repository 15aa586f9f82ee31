"""The pages about tables of one's own, and about classes, followed word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from model_loop.datasets.declaration_file import read_declaration
from model_loop.drafting import analysis, checks, leaks, reading

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "your-own-table.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
TOML = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
CLASSES = (PAGE.parent / "classification.md").read_text(encoding="utf-8")


def follow(commands: str, folder: Path) -> str:
    """Run commands of the page in a folder; return what they print."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MODEL_LOOP_DATASETS_FOLDER": str(folder / "datasets"),
        "MODEL_LOOP_STORAGE_ROOT": str(folder / "storage"),
    }
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{commands}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, (commands, done.stderr)
    return done.stdout


@pytest.mark.integration
def test_the_page_leads_to_a_dataset(tmp_path: Path) -> None:
    """Each step does what the page says of it."""
    table, first, answered, check, run, add = COMMANDS
    follow(table, tmp_path)
    printed = follow(first, tmp_path)
    for code, column in re.findall(
        r"^\| `(id_like|target_copy)` \| `(\w+)` \|", TEXT, re.MULTILINE
    ):
        assert re.search(rf"{code} +{column}", printed)
    path = tmp_path / "orders.toml"
    assert read_declaration(path).open_questions == ("columns.seconds.known",)
    question = printed.split("Which columns are known only after")[1]
    assert question.index("bell ") < question.index("loaves ")
    follow(answered, tmp_path)
    declaration = read_declaration(path)
    assert declaration.status == "ready"
    assert declaration.columns["bell"].known == declaration.columns["seconds"].known == "later"
    follow(check, tmp_path)
    printed = follow(run, tmp_path)
    assert "Champion at the moment request: version" in printed
    assert "median of all rows" in printed
    assert "orders" in follow(add, tmp_path)
    follow("model-loop datasets check orders\nmodel-loop datasets remove orders", tmp_path)


@pytest.mark.integration
def test_the_page_about_classes_leads_to_a_champion(tmp_path: Path) -> None:
    """The draft is the one that the page shows, and nothing is left open after its answer."""
    table, first, run = re.findall(r"```bash\n(.*?)```", CLASSES, re.DOTALL)
    follow(table, tmp_path)
    printed = follow(first.replace("--known-later refund ", ""), tmp_path)
    assert re.search(r"target_copy +refund", printed) or re.search(
        r"leak_suspected +refund", printed
    )
    printed = follow(first.rstrip() + " --force", tmp_path)
    assert re.search(r"positive_class +cancelled", printed)
    declaration = read_declaration(tmp_path / "orders.toml")
    assert (declaration.status, declaration.task.positive_class) == ("ready", "yes")
    printed = follow(run, tmp_path)
    assert "Champion at the moment request: version" in printed


@pytest.mark.integration
def test_the_page_about_databases_leads_to_a_champion(tmp_path: Path) -> None:
    """Each command does what the page says of it; what it installs is installed."""
    text = (PAGE.parent / "databases.md").read_text(encoding="utf-8")
    make, connect, draft, run = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    follow(re.sub(r"^pip .*$", "", make, flags=re.MULTILINE), tmp_path)
    assert "6,000 of 6,000 rows of database://warehouse/visits" in follow(connect + draft, tmp_path)
    assert read_declaration(tmp_path / "visits.toml").status == "ready"
    assert "Champion at the moment request: version" in follow(connect + run, tmp_path)
    (shown,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "shown.toml").write_text(shown)
    assert str(read_declaration(tmp_path / "shown.toml").source) == ("database://warehouse/visits")


@pytest.mark.parametrize("part", re.findall(r"```toml\n(.*?)```", CLASSES, re.DOTALL))
def test_parts_of_declarations_about_classes_are_read(part: str, tmp_path: Path) -> None:
    """Each of them, in a declaration of a table that has such a target."""
    path = tmp_path / "orders.toml"
    task = "" if "[task]" in part else '[task]\nkind = "binary"\npositive_class = "yes"\n'
    path.write_text(f'name = "orders"\nsource = "orders.csv"\ntarget = "arr_delay"\n{task}{part}')
    assert read_declaration(path).task.kind == "binary"


def test_its_parts_of_declarations_are_read(tmp_path: Path) -> None:
    """Moments, a rule and an accepted finding, in one declaration."""
    path = tmp_path / "orders.toml"
    parts = "\n".join([TOML[0], *TOML[1:]])
    path.write_text(f'name = "orders"\nsource = "orders.csv"\ntarget = "minutes"\n{parts}')
    declaration = read_declaration(path)
    assert len(declaration.moments) == 3
    assert declaration.rules[0].action == "set_aside"
    assert declaration.accepted[0].code == "time_gaps"
    assert len(tomllib.loads(path.read_text())["recipes"]) == 2


def test_every_code_of_a_finding_is_explained() -> None:
    """A reader looks it up on the page."""
    explained = set(re.findall(r"`(\w+)`", TEXT.split("## Findings")[1]))
    codes = {
        code
        for module in (checks, leaks, reading, analysis)
        for code in re.findall(
            r'(?:inding|RefusedTableError)\(\s*"(\w+)"',
            Path(str(module.__file__)).read_text(encoding="utf-8"),
        )
    }
    assert len(codes) > 10
    assert codes <= explained

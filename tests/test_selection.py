"""What is left out of a command is there, has a reason, and belongs to another command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.selection import (
    OWN_COMMANDS,
    REST,
    SKIPS,
    STACKS,
    not_tested,
    pytest_ignore_collect,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("listed", [*REST, *STACKS])
def test_what_is_left_to_other_commands_is_there(listed: str) -> None:
    """A file that was renamed would be listed for nothing, and its reason be told for ever."""
    file, _, test = listed.partition("::")
    assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8")
    assert {**REST, **STACKS}[listed]


@pytest.mark.parametrize(
    ("group", "file", "ignored"),
    [
        *(("rest", file.partition("::")[0], None) for file in REST),
        *(("stacks", file.partition("::")[0], None) for file in STACKS),
        ("rest", "tests/trip_duration/test_zones.py", None),
        ("rest", "tests/test_selection.py", True),
        ("stacks", "tests/trip_duration/test_zones.py", True),
        ("stacks", "tests/conftest.py", None),
        ("", "tests/test_selection.py", None),
    ],
)
def test_a_group_imports_its_own_files(
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
    group: str,
    file: str,
    *,
    ignored: bool | None,
) -> None:
    """With those whose tests have a marker, and no others; without a group, all are imported."""
    monkeypatch.setattr(pytestconfig.option, "group", group)
    assert pytest_ignore_collect(ROOT / file, pytestconfig) is ignored


def test_the_commands_exist() -> None:
    """Each command that is named is one of the Makefile, and runs what it is named for."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for marker, command in OWN_COMMANDS.items():
        recipe = re.search(rf"^{command.removeprefix('make ')}:.*\n\t(.*)$", makefile, re.MULTILINE)
        assert recipe is not None, command
        assert re.search(rf'-m "?[^"]*{marker}', recipe[1]), command


def test_what_was_not_tested_is_said_in_one_paragraph() -> None:
    """With the numbers, the commands and what is needed; nothing is left where nothing is."""
    reason = next(iter(SKIPS))
    said = not_tested([f"Skipped: {reason}", f"Skipped: {reason}"], {"make test-rest": 5})
    assert said == f"Not tested: 5 left to `make test-rest`; 2 skipped: {SKIPS[reason]}."
    assert not_tested([], {}) == "Everything was tested."

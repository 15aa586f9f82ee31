"""The list of faults is about code and tests that are there; `make test-mutants` tries them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_changes_code_that_is_there(mutant: Mutant, tmp_path: Path) -> None:
    """Code that was moved would leave a fault that nobody tries, and tests that nobody runs."""
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    shutil.copy(ROOT / "include" / mutant.file, copy)
    mutant.apply(tmp_path)
    compile(copy.read_text(), mutant.file, "exec")
    assert all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests)


def test_names_tell_them_apart() -> None:
    """Each is chosen by its name."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)

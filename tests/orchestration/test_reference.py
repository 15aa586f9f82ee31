"""The reference page."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from model_loop.cli.reference import commands
from model_loop.datasets import declaration
from model_loop.datasets.reference import descriptions, keys_of_declarations
from model_loop.orchestration.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_reference_is_not_stale() -> None:
    """docs/reference.md says what the code says; `make docs` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_commands_are_not_stale() -> None:
    """docs/commands.md lists what the command line takes; `make docs` writes it anew."""
    assert PAGE.with_name("commands.md").read_text(encoding="utf-8") == commands()


def test_keys_of_declarations_are_not_stale() -> None:
    """docs/declaration.md lists what a dataset's file takes; `make docs` writes it anew."""
    assert PAGE.with_name("declaration.md").read_text(encoding="utf-8") == keys_of_declarations()


def test_every_key_of_a_declaration_is_described() -> None:
    """Docstrings name each key of their table, and no key that it has not."""
    tables = [
        each
        for each in vars(declaration).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each.model_fields
    ]
    assert declaration.Declaration in tables
    for table in tables:
        assert list(descriptions(table)) == list(table.model_fields), table.__name__


def test_every_link_in_the_docs_leads_somewhere() -> None:
    """Links between the pages, and from the README, name files that exist."""
    root = PAGE.parents[1]
    for page in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

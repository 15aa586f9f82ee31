"""Links of the pages at the root lead somewhere; `make site` checks those of `docs/`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    """To a file or folder, and to a heading that the page has."""
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        assert (ROOT / path).exists(), link
        if heading:
            lines = (ROOT / path).read_text(encoding="utf-8").lower().splitlines()
            headings = [re.sub(r"[^\w -]", "", line).strip() for line in lines if line[:1] == "#"]
            assert heading in [each.replace(" ", "-") for each in headings], link


def test_files_that_are_named_exist() -> None:
    """A change is looked for in a file that is there."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+/[\w/]*\.\w+)`", text):
        homes = (ROOT, ROOT / "include", ROOT / "include" / "model_loop", ROOT / "docs")
        assert any((home / name).is_file() for home in homes), name


def test_each_page_is_in_the_index() -> None:
    """As an item of a list, from which the site makes its navigation."""
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^ *- \[[^]]+\]\(([^)#]+\.md)\)", index, re.MULTILINE)
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"README.md"}
    assert sorted(listed) == sorted(page for page in pages if not page.startswith("decisions/"))

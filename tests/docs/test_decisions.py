"""The records of decisions are whole, and the page of the architecture lists them and the rooms."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.test_figures import FIGURE
from tests.test_architecture import ENDS, FLOW

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = sorted((DOCS / "decisions").glob("*.md"))
SECTIONS = ["Context", "Decision", "Measured", "What would change it"]


def test_records_are_numbered_in_order() -> None:
    """The name of a file begins with the number in its title; none is missing."""
    for number, record in enumerate(RECORDS, start=1):
        assert record.name.startswith(f"{number:04d}-"), record.name
        assert record.read_text(encoding="utf-8").startswith(f"# {number}. "), record.name


def test_records_have_all_sections() -> None:
    """A decision without its reason, or without a way out, cannot be revised."""
    for record in RECORDS:
        text = record.read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS, record.name
        assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE))


def test_records_leave_figures_to_the_page_that_measures_them() -> None:
    """They link there."""
    for record in RECORDS:
        assert FIGURE.findall(record.read_text(encoding="utf-8")) == [], record.name


def test_each_record_is_listed_once_by_its_title() -> None:
    """The index of the architecture is complete."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"- \[(.+)\]\(decisions/(.+)\)", page)
    titles = [record.read_text().partition("\n")[0].partition(". ")[2] for record in RECORDS]
    names = [record.name for record in RECORDS]
    assert sorted(listed) == sorted(zip(titles, names, strict=True))


def test_each_room_is_on_the_map() -> None:
    """In the order in which data pass through them."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("| Room |")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert re.findall(r"`(\w+)`", " ".join(cells)) == [*FLOW, *ENDS]

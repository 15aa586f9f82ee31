"""The glossary defines each word once, in order, and names a file that exists."""

from __future__ import annotations

import re
from pathlib import Path

GLOSSARY = Path(__file__).parents[2] / "docs" / "glossary.md"
#: A cell ends at a bar that is not escaped.
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
][2:]


def test_each_word_is_defined_once_and_in_order() -> None:
    """A reader looks a word up by its first letters."""
    words = [word.casefold() for word, _, _ in ROWS]
    assert len(words) >= 40
    assert words == sorted(set(words))


def test_each_definition_is_one_sentence() -> None:
    """It begins with a capital letter and ends with the only full stop."""
    for word, meaning, _ in ROWS:
        assert re.fullmatch(r"[A-Z][^.]*(?:\.\w[^.]*)*\.", meaning), word


def test_each_word_leads_to_a_file_that_exists() -> None:
    """A module is named by its path below the package, a page by a heading that it has."""
    for word, _, home in ROWS:
        label, target = re.fullmatch(r"\[(.+)\]\((.+)\)", home).groups()  # type: ignore[union-attr] # Fails as it should.
        address, _, heading = target.partition("#")
        path = (GLOSSARY.parent / address).resolve()
        assert path.is_file(), word
        if path.suffix == ".py":
            named = label.strip("`")
            homes = ("include/model_loop/", "include/")
            assert any(f"{home}{named}" in address for home in homes), word
        else:
            lines = path.read_text(encoding="utf-8").lower().replace(",", "").splitlines()
            assert any(f"# {heading.replace('-', ' ')}" in line for line in lines), word

"""Docstrings and comments begin with a verb or a noun, and nothing "is told".

A sentence that begins with a free relative (*what waits is …*) has to be read twice.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("include/model_loop", "include/trip_duration", "benchmarks", "dags", "plugins")

#: Beginnings of a sentence whose verb comes last, or that has none.
_INVERTED = re.compile(
    r"(As|How|If|In|Of|On|By|So|That|The same|Whatever|What|When|Where|Whether|Which|Whoever|Whose"
    r"|Who|Why)\b"
)
#: Such beginnings of comments, which may begin with a condition or a place.
_INVERTED_COMMENT = re.compile(
    r"(How|Of|So many|So much|That of|The same|Whatever|What|Whether|Which|Whoever|Whose|Who)\b"
)
#: Say, pass, report, send and distinguish are plainer.
_TOLD = re.compile(r"\b(am|are|be|been|being|is|was|were)\s+told\b")


def _files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def _comments(source: str) -> Iterator[str]:
    """Yield comments; lines of the same column that follow one another are one."""
    lines: list[str] = []
    end = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start != (end[0] + 1, end[1]) and lines:
            yield " ".join(lines)
            lines = []
        end = token.start
        lines.append(token.string.lstrip("#: "))
    yield " ".join(lines)


def _prose(source: str) -> Iterator[str]:
    """Yield all comments and texts, docstrings and messages among them."""
    yield from _comments(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _is_inverted(source: str) -> bool:
    return any(_INVERTED.match(text) for text in _docstrings(source))


def _inverted_comments(source: str) -> list[str]:
    # Most files have none, and reading their tokens takes long.
    if not re.search(rf"#:? *{_INVERTED_COMMENT.pattern}", source):
        return []
    return [text for text in _comments(source) if _INVERTED_COMMENT.match(text)]


def _told(source: str) -> list[str]:
    if "told" not in source:
        return []
    return [text for text in _prose(source) if _TOLD.search(text)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_begin_with_a_verb_or_a_noun(folder: str) -> None:
    """No file has another beginning."""
    files = {path: path.read_text() for path in _files(folder)}
    assert files
    assert [str(path) for path, text in files.items() if _is_inverted(text)] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_comments_begin_with_their_subject(folder: str) -> None:
    """No comment begins with a free relative."""
    found = {str(path): _inverted_comments(path.read_text()) for path in _files(folder)}
    assert {path: texts for path, texts in found.items() if texts} == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_told(folder: str) -> None:
    """Neither comments, docstrings nor messages say that something is told."""
    found = {str(path): _told(path.read_text()) for path in _files(folder)}
    assert {path: texts for path, texts in found.items() if texts} == {}


def test_every_kind_of_definition_is_looked_at() -> None:
    """Modules, classes, methods and coroutines; a longer word that begins alike is another one."""
    for source in (
        '"""What it is."""',
        'class A:\n    """Which one."""',
        'class A:\n    def b(self):\n        """Whether so."""',
        'async def b():\n    """The same."""',
    ):
        assert _is_inverted(source)
    assert not _is_inverted('"""Assets and offers, Inside."""\ndef a():\n    """Return how."""')


def test_every_kind_of_comment_is_looked_at() -> None:
    """Comments above, beside and of attributes; the second line of one begins nothing."""
    for source in ("# What it is.", "a = 1  # Who knows", "#: How many.", "#: A.\n\n# Of b."):
        assert _inverted_comments(source)
    assert not _inverted_comments("# If so, the first of\n# what it is.\n# Offers.")


def test_messages_are_looked_at() -> None:
    """Texts with values in them, and sentences over two lines."""
    for source in ('f"{a} is told"', '"was " "told"', "# It is\n# told.", '"""It is\n    told."""'):
        assert _told(source)
    assert not _told('"This is toldness, and tells."')
